// What FuseServer does with one request. Inside snapshotter/fuse only.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>

#include "backend/base/mutex.h"
#include "snapshotter/fuse/fuse_protocol.h"
#include "snapshotter/fuse/fuse_server.h"

namespace slacker::fuse {

// Thread-safe.
class Handler {
 public:
  // `device` stays open for as long as the handler lives.
  Handler(int device, BlobSource* source) : device_(device), source_(source) {}

  // Handles one request as read from /dev/fuse. `owner` keeps this handler alive until the answer
  // is written, which may be later and on another thread.
  void Handle(std::string_view request, const std::shared_ptr<void>& owner);

  FuseCounters counters() const;

 private:
  void Init(const fuse_in_header& header, std::string_view body);
  void Lookup(const fuse_in_header& header, std::string_view body);
  void GetAttr(const fuse_in_header& header);
  void Open(const fuse_in_header& header);
  void Read(const fuse_in_header& header, std::string_view body,
            const std::shared_ptr<void>& owner);
  void FinishRead(uint64_t unique, size_t expected, absl::StatusOr<std::string> data);
  void StatFs(uint64_t unique);
  // The blob's size, remembered: it never changes.
  absl::StatusOr<uint64_t> SizeOf(uint64_t blob_id);
  void Reply(uint64_t unique, std::string_view body) const;
  void ReplyError(uint64_t unique, int error) const;

  const int device_;
  BlobSource* const source_;
  std::atomic<uint64_t> requests_{0}, reads_{0}, resent_{0}, errors_{0};
  std::atomic<uint64_t> in_flight_{0}, max_in_flight_{0};
  std::atomic<bool> kernel_resends_{false};
  Mutex mutex_;
  std::unordered_map<uint64_t, uint64_t> sizes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker::fuse
