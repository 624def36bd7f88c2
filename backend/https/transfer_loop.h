// The thread that runs every transfer to one web server, over connections that are kept.
#pragma once

#include <curl/curl.h>

#include <deque>
#include <map>
#include <memory>
#include <thread>

#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/https/transfer.h"

namespace slacker::https {

// Thread-safe. Requests begin in the order in which they were added; their `done` runs on threads
// of its own, where answers can be verified while others arrive.
class TransferLoop {
 public:
  static constexpr int kCallbackThreads = 4;

  // RESOURCE_EXHAUSTED: there are no threads for it.
  static absl::StatusOr<std::unique_ptr<TransferLoop>> Start(HttpsOptions options);
  // Requests that have no answer yet, and those that come from now on, get UNAVAILABLE. Waits for
  // every `done`.
  ~TransferLoop();
  TransferLoop(const TransferLoop&) = delete;
  TransferLoop& operator=(const TransferLoop&) = delete;

  void Add(Request request);
  // Answers it, without asking anybody.
  void Reject(const Request& request, const absl::Status& status) { Answer(request, status); }

 private:
  TransferLoop(HttpsOptions options, std::unique_ptr<ThreadPool> callbacks);
  void Run();
  // Waits a moment, but not for the end.
  void Pause();
  // Both return whether anything changed, so that there may be more to do. Loop's thread.
  bool StartQueued();
  bool TakeEnded();
  void StartTry(std::unique_ptr<Transfer> transfer);
  void Answer(const Request& request, absl::StatusOr<Reply> reply);
  void AnswerAll();

  const HttpsOptions options_;
  CURLM* const multi_;
  Mutex mutex_;
  CondVar stopped_;
  std::deque<Request> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<CURL*, std::unique_ptr<Transfer>> running_;  // loop's thread
  const std::unique_ptr<ThreadPool> callbacks_;
  std::thread thread_;
};

}  // namespace slacker::https
