// What FuseServer does with one request. Inside snapshotter/fuse only.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/fuse/fuse_protocol.h"
#include "snapshotter/fuse/fuse_server.h"
#include "snapshotter/fuse/locked_buffers.h"
#include "snapshotter/fuse/request_slots.h"

namespace slacker::fuse {

// What an answer needs: the kernel's name for the request, and where the request is kept.
struct Ticket {
  uint64_t unique = 0;
  std::optional<size_t> slot;  // of RequestSlots
};

// Thread-safe.
class Handler {
 public:
  // `device` stays open for as long as the handler lives, and so does `slots` (may be null).
  // `serving`: see FuseServer.
  Handler(int device, BlobSource* source, RequestSlots* slots, UniqueFd serving)
      : device_(device), source_(source), slots_(slots), serving_(std::move(serving)) {}

  // Handles one request as read from /dev/fuse, and frees its slot once it is answered. `owner`
  // keeps this handler alive until the answer is written, which may be later and on another thread.
  void Handle(std::string_view bytes, std::optional<size_t> slot,
              const std::shared_ptr<void>& owner);
  // That was left by a predecessor: counted as resent.
  void CountTakenOver() { ++resent_; }

  FuseCounters counters() const;

 private:
  struct Request {
    fuse_in_header header{};
    std::string_view body;
    Ticket ticket;
  };
  void Init(const Request& request);
  void Lookup(const Request& request);
  void GetAttr(const Request& request);
  void Open(const Request& request);
  void Read(const Request& request, const std::shared_ptr<void>& owner);
  void FinishRead(const Ticket& ticket, size_t expected, const absl::StatusOr<std::string>& data);
  void NoteServing();
  void StatFs(const Ticket& ticket);
  // The blob's size, remembered: it never changes.
  absl::StatusOr<uint64_t> SizeOf(uint64_t blob_id);
  void Reply(const Ticket& ticket, std::string_view body);
  void ReplyError(const Ticket& ticket, int error);
  // 0 or an errno value.
  int Write(const Ticket& ticket, int error, std::string_view body);
  // Nothing is left to be done for the request.
  void Finish(const Ticket& ticket);

  const int device_;
  BlobSource* const source_;
  RequestSlots* const slots_;
  const UniqueFd serving_;
  std::atomic<bool> has_served_{false};
  LockedBuffers answers_{kMaxAnswerBytes, kAnswerBuffers};
  std::atomic<uint64_t> requests_{0}, reads_{0}, resent_{0}, errors_{0};
  std::atomic<uint64_t> in_flight_{0}, max_in_flight_{0};
  Mutex mutex_;
  std::unordered_map<uint64_t, uint64_t> sizes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker::fuse
