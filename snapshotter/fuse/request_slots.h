// The requests that a server has read from /dev/fuse and not answered, in memory that outlives it:
// for kernels that do not send them again (before Linux 6.9, see FuseServer). The memory is a memfd,
// which the keeper keeps; every server has its own.
//
// A slot is kSlotBytes: a request as the kernel wrote it, of which the first kRequestBytes are kept
// (what the handler needs of any request is shorter), and a word that says that read(2) has
// returned. It is free when the request's length is 0.
//
//   free --read(2)--> filled --Filled--> whole --answered, Free--> free
//
// A request is read straight into its slot, and the kernel counts it as taken only once all of it is
// there: whenever a server dies, what it has taken and not answered stands in a slot. A request that
// was answered may stand there too: answered twice, it means nothing to the kernel, whose names for
// requests never come again.
//
// A process with a SIGKILL pending may still be inside read(2): of such a one only what is whole is
// taken over, the rest when it has gone. Nothing is written to a predecessor's memory.
//
// Behind the slots there is one more that is never used, free for who does not know better: whose
// memory this is (PID and start time). So each of several predecessors is waited for by itself,
// however many servers have died in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker::fuse {

// Thread-safe.
class RequestSlots {
 public:
  // More than requests that the kernel has under way in the background, and as many others again.
  static constexpr size_t kSlots = 2048;
  static constexpr size_t kSlotBytes = 256;
  static constexpr size_t kRequestBytes = kSlotBytes - sizeof(uint64_t);

  // New memory, all free; locked where that is permitted, so that read(2) never waits for it.
  static absl::StatusOr<std::unique_ptr<RequestSlots>> Create();
  ~RequestSlots();
  RequestSlots(const RequestSlots&) = delete;
  RequestSlots& operator=(const RequestSlots&) = delete;

  // Memory like that, with nothing in it but whose it is: for who needs no slots.
  static absl::StatusOr<UniqueFd> MakeMemory();
  // For the keeper.
  const UniqueFd& memory() const { return memory_; }
  // A pidfd of the process that reads into a predecessor's memory; invalid when it has gone, with all
  // of its threads, or is this one. NOT_FOUND: the memory does not say (of versions before).
  static absl::StatusOr<UniqueFd> ReaderOf(const UniqueFd& memory);

  // A free slot, waited for if there is none; none after Stop.
  std::optional<size_t> Take();
  void Stop();
  // Where a request is to be read to. REQUIRES for all that follows: `slot` was taken.
  std::span<char> Buffer(size_t slot) { return {At(slot), kRequestBytes}; }
  void Filled(size_t slot);
  // The request in a filled slot: all that is kept of it.
  std::string_view Request(size_t slot) const;
  // Answered, or nothing was read.
  void Free(size_t slot);

  enum class Predecessor { kMayBeReading, kGone };
  // Copies the requests of a predecessor's memory that were not taken over before into slots of our
  // own, and gives each to `handle`; waits for free slots. CANCELLED: stopped before the last one.
  // INVALID_ARGUMENT: no such memory.
  absl::Status TakeOver(const UniqueFd& memory, Predecessor predecessor,
                        const std::function<void(size_t slot)>& handle);
  // The same of a predecessor that has gone, without waiting: `slots` are those with the copies, to be
  // handled later. False: there were not enough; the rest is for TakeOver.
  absl::StatusOr<bool> Gather(const UniqueFd& memory, std::vector<size_t>* slots);

 private:
  using TakeSlot = std::function<std::optional<size_t>()>;
  RequestSlots(UniqueFd memory, char* base);
  char* At(size_t slot) const { return base_ + slot * kSlotBytes; }
  std::optional<size_t> TakeNow();
  absl::StatusOr<bool> Copy(const UniqueFd& memory, Predecessor predecessor, const TakeSlot& take,
                            const std::function<void(size_t slot)>& handle);

  const UniqueFd memory_;
  char* const base_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<size_t> free_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> taken_over_ ABSL_GUARDED_BY(mutex_);  // names of requests
};

}  // namespace slacker::fuse
