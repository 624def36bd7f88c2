// Asks for images to be published that this node has to pull the ordinary way.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/store/requests.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

// Thread-safe. Requests are written by a thread of its own, which may wait for the store; at most
// kMaxWaiting wait for it, others are dropped: the next pull asks again.
class RequestWriter {
 public:
  static constexpr size_t kMaxWaiting = 64;

  // `platform`: of what this node runs.
  RequestWriter(std::shared_ptr<Backend> store, Platform platform);
  // Waits for what is being written; what waits is dropped.
  ~RequestWriter();

  // A layer whose chain is `ref` is going to be pulled because it is not published. If it is the top
  // of an image, as its labels (of the CRI plugin) say, a request for the image is written, soon.
  // Layers without these labels cannot be asked for: that is logged once.
  void Note(const std::string& ref, const Labels& labels);

 private:
  void Write(const PublishRequest& request);

  const std::shared_ptr<Backend> store_;
  const Platform platform_;
  Mutex mutex_;
  std::set<Digest> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
  ThreadPool thread_{"slk-request", 1};  // last: its destructor waits
};

}  // namespace slacker
