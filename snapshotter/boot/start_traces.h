// The starts of this node's images: each is watched once, from the first read of a tree that was
// just attached until it is quiet or has gone on for long enough, and kept as a trace.
//
//   <root>/traces/<chain ID, hex>   a trace (docs/formats.md, "Traces"), at most kMaxTraceBytes
//
// An image has at most one; it goes with the image. A start that is under way when slackerd ends is
// not kept, nor is one that reads nothing.
//
// Threads: one of its own ("slk-trace"), which waits for the end of starts and writes. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"
#include "snapshotter/boot/start_recording.h"
#include "snapshotter/fill/blob_filler.h"

namespace slacker {

class StartTraces final : public ReadObserver {
 public:
  struct Options {
    std::string directory;  // <root>/traces; made when it is missing
    const Clock* clock = nullptr;
    std::chrono::nanoseconds longest = std::chrono::seconds(30);  // from the first read
    std::chrono::nanoseconds quiet = std::chrono::seconds(10);    // without a read
    // Told of each trace that was kept; on the thread. May be null.
    std::function<void(const StartTrace&)> on_trace;
  };

  static absl::StatusOr<std::unique_ptr<StartTraces>> Open(Options options);
  ~StartTraces() override;
  // What is watched is forgotten; nothing is watched any more.
  void Stop();

  // The image's tree was just attached: watches its start, unless there is a trace of it.
  void Begin(const Digest& chain_id, const std::vector<BlobRow>& layers);
  void OnRead(uint64_t blob_id, uint64_t offset, uint32_t size) override;

  // The image is gone.
  absl::Status Remove(const Digest& chain_id);
  // Every trace of an image that is not of `chains`. Names that are none of ours stay.
  absl::Status RemoveAllBut(const std::set<Digest>& chains);

  size_t watched_for_test() const { return watched_; }

 private:
  struct Start {
    Start(const Digest& chain_id, const std::vector<BlobRow>& layers)
        : recording(chain_id, layers) {}
    StartRecording recording;
    std::chrono::steady_clock::time_point first, last;  // reads; of no meaning while it is empty
  };

  explicit StartTraces(Options options) : options_(std::move(options)) {}
  std::string PathOf(const Digest& chain_id) const;
  void Watch();
  std::vector<StartTrace> TakeEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Keep(const StartTrace& trace);

  const Options options_;
  std::atomic<size_t> watched_ = 0;  // starts_.size(): spares reads the lock
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<Digest, std::unique_ptr<Start>> starts_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// The trace of an image on a node. NOT_FOUND, DATA_LOSS.
absl::StatusOr<StartTrace> ReadNodeTrace(const std::string& root, const Digest& chain_id);

}  // namespace slacker
