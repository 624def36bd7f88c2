#include "backend/nfs/libnfs_guard.h"

#include <dlfcn.h>

#include <cstring>
#include <string>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/nfs/libnfs.h"

// Of libnfs, but in none of its headers.
// NOLINTNEXTLINE(readability-identifier-naming): the library's name
extern "C" int rpc_process_pdu(rpc_context* rpc, char* bytes, int size);

namespace slacker::nfs {
namespace {

using ProcessPdu = int (*)(rpc_context* rpc, char* bytes, int size);

thread_local ReceivedBytes* received = nullptr;

ProcessPdu LibnfsProcessPdu() {
  static const auto function = reinterpret_cast<ProcessPdu>(dlsym(RTLD_NEXT, "rpc_process_pdu"));
  return function;
}

absl::Status CheckOne(const Replaced& function) {
  // libnfs must have one of its own, and everybody must find ours first.
  if (dlsym(RTLD_NEXT, function.name) != nullptr &&
      dlsym(RTLD_DEFAULT, function.name) == function.ours) {
    return absl::OkStatus();
  }
  return Internal(std::string("this libnfs does not call our ") + function.name);
}

// Whether libnfs calls what the linker finds: it may have been built to call its own functions
// directly. 4.0's own takes a handle of 2^31 bytes for a good one.
absl::Status CheckLibnfsIsLinkedDynamically() {
  char message[] =
      "\x80\x00\x00\x00"
      "handle..";
  ZDR zdr{};
  libnfs_zdrmem_create(&zdr, message, sizeof message - 1, ZDR_DECODE);
  nfs_fh3 handle{};
  const bool believed = zdr_nfs_fh3(&zdr, &handle) != 0;
  libnfs_zdr_destroy(&zdr);
  return believed ? Internal("this libnfs does not call our libnfs_zdr_bytes") : absl::OkStatus();
}

}  // namespace

absl::Status CheckGuard() {
  RETURN_IF_ERROR(CheckOne({"rpc_process_pdu", reinterpret_cast<const void*>(&rpc_process_pdu)}));
  for (const Replaced& function : ReplacedXdr()) RETURN_IF_ERROR(CheckOne(function));
  return CheckLibnfsIsLinkedDynamically();
}

bool ReceivedBytes::Add(uint64_t bytes, bool last) {
  unanswered_bytes_ += bytes;
  message_bytes_ += bytes;
  ++fragments_;
  exceeded_ = exceeded_ || unanswered_bytes_ > kMaxUnansweredBytes ||
              message_bytes_ > kMaxMessageBytes || fragments_ > kMaxFragments;
  if (last) {
    message_bytes_ = 0;
    fragments_ = 0;
  }
  return !exceeded_;
}

Receiving::Receiving(ReceivedBytes* bytes) {
  SLACKER_CHECK(received == nullptr, "a thread reads from one connection at a time");
  received = bytes;
}

Receiving::~Receiving() { received = nullptr; }

}  // namespace slacker::nfs

// What libnfs has read: the record mark of RFC 5531, 11, and a fragment. -1 has it end the connection.
int rpc_process_pdu(rpc_context* rpc, char* bytes, int size) {
  using slacker::nfs::received;
  if (received == nullptr || size < 4) return -1;
  const bool last = (static_cast<unsigned char>(bytes[0]) & 0x80) != 0;
  if (!received->Add(static_cast<uint64_t>(size), last)) return -1;
  return slacker::nfs::LibnfsProcessPdu()(rpc, bytes, size);
}
