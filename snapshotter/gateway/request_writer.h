// What this node asks of who publishes: images that it has to pull the ordinary way, and boot packs
// of what it saw starts reading.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/store/requests.h"
#include "backend/store/start_trace.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

// Thread-safe. Everything is written by a thread of its own, which may wait for the store; at most
// kMaxWaiting wait for it, others are dropped: the next pull asks again, and traces are hints.
class RequestWriter {
 public:
  static constexpr size_t kMaxWaiting = 64;

  // `platform`: of what this node runs. `on_written`, which may be null, is called after each
  // request that has been written, on the writer's thread.
  RequestWriter(std::shared_ptr<Backend> store, Platform platform,
                std::function<void()> on_written = nullptr);
  // Waits for what is being written; what waits is dropped.
  ~RequestWriter();

  // A layer whose chain is `ref` is going to be pulled because it is not published. If it is the top
  // of an image, as its labels (of the CRI plugin) say, a request for the image is written, soon.
  // Layers without these labels cannot be asked for: that is logged once. `name_space`: as in
  // PublishRequest.
  void Note(const std::string& ref, const Labels& labels, const std::string& name_space = {});
  // Leaves a trace in the store, soon.
  void Leave(StartTrace trace);

 private:
  void Write(const PublishRequest& request);
  void Write(const StartTrace& trace);

  const std::shared_ptr<Backend> store_;
  const Platform platform_;
  const std::function<void()> on_written_;
  Mutex mutex_;
  std::set<Digest> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t traces_waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
  ThreadPool thread_{"slk-request", 1};  // last: its destructor waits
};

}  // namespace slacker
