// What stands between a server's bytes and libnfs 4.0, whose decoder believes them.
//
// libnfs calls even its own exported functions by way of the dynamic linker, which finds a program's
// definition of a name before a library's. So these of its functions are defined by us
// (libnfs_xdr.cc, libnfs_guard.cc), and libnfs calls ours:
//
//   libnfs_zdr_bytes, _opaque, _string   no length is believed before the bytes are there
//   libnfs_zdr_array, _pointer           nor a number of elements; kMaxBlocks, so that a list, which
//                                        is decoded by recursion, does not overflow the stack
//   libnfs_zdr_replymsg                  the header of a reply: a message that is no reply, or whose
//                                        header is against RFC 5531, is malformed
//   zdr_malloc, libnfs_zdr_destroy       the memory of a decoded reply: kMaxDecodedBytes
//   rpc_process_pdu                      counts what is received (ReceivedBytes), then calls libnfs'
//
// A reply that they refuse is, to its call, a malformed one. What remains libnfs' own: its loop that
// reads the socket, its table of calls, and the descriptions of the messages, which consist of calls of
// these functions and of bounds-checked integers.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace slacker::nfs {

// What a server may send before it must have answered a call of this connection.
inline constexpr uint64_t kMaxUnansweredBytes = 32 << 20;
// A message, put together from fragments, and their number: libnfs looks through the list of
// fragments for each that it appends.
inline constexpr uint64_t kMaxMessageBytes = (1 << 20) + (64 << 10);
inline constexpr uint32_t kMaxFragments = 1024;
// A decoded reply: what is allocated beside the message itself, and in how many pieces. We ask for
// pages of 64 KiB of a directory, whose smallest entry has 24 bytes and needs two pieces.
inline constexpr uint64_t kMaxDecodedBytes = 4 << 20;
inline constexpr uint32_t kMaxBlocks = 8192;

// OK when libnfs calls our functions; INTERNAL otherwise: then nothing may be asked of a server. Any
// thread.
absl::Status CheckGuard();

// What a connection has received. One thread.
class ReceivedBytes {
 public:
  // Counts a fragment of a message; false when the connection is to be broken for it.
  bool Add(uint64_t bytes, bool last);
  // A call was answered.
  void Answered() { unanswered_bytes_ = 0; }
  // Whether Add has returned false.
  bool exceeded() const { return exceeded_; }

 private:
  uint64_t unanswered_bytes_ = 0;
  uint64_t message_bytes_ = 0;
  uint32_t fragments_ = 0;
  bool exceeded_ = false;
};

// While it lives, what libnfs reads on this thread counts for `received`. Without one nothing is
// taken from a server.
class Receiving {
 public:
  explicit Receiving(ReceivedBytes* received);
  ~Receiving();
  Receiving(const Receiving&) = delete;
  Receiving& operator=(const Receiving&) = delete;
};

// A function of libnfs that is defined by us.
struct Replaced {
  const char* name;
  const void* ours;
};
// Those of libnfs_xdr.cc.
std::span<const Replaced> ReplacedXdr();

}  // namespace slacker::nfs
