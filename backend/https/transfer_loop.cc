#include "backend/https/transfer_loop.h"

#include <pthread.h>

#include <chrono>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/log.h"
#include "backend/base/start_thread.h"
#include "backend/base/status.h"

namespace slacker::https {
namespace {

constexpr int kMaxPollMillis = 1000;
constexpr std::chrono::milliseconds kPause{100};

CURLM* MakeMulti(const HttpsOptions& options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  SLACKER_CHECK(ready == CURLE_OK, "libcurl starts");
  CURLM* multi = curl_multi_init();
  SLACKER_CHECK(multi != nullptr, "out of memory");
  const long connections = options.max_transfers;
  SLACKER_CHECK(curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections) == CURLM_OK &&
                    curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX) == CURLM_OK,
                "libcurl knows every option that we set");
  return multi;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TransferLoop>> TransferLoop::Start(HttpsOptions options) {
  ASSIGN_OR_RETURN(auto callbacks, ThreadPool::Make("https-store", kCallbackThreads));
  std::unique_ptr<TransferLoop> loop(new TransferLoop(std::move(options), std::move(callbacks)));
  ASSIGN_OR_RETURN(loop->thread_, StartThread([raw = loop.get()] {
                     (void)pthread_setname_np(pthread_self(), "slk-https");  // only a label
                     raw->Run();
                   }));
  return loop;
}

TransferLoop::TransferLoop(HttpsOptions options, std::unique_ptr<ThreadPool> callbacks)
    : options_(std::move(options)), multi_(MakeMulti(options_)), callbacks_(std::move(callbacks)) {}

TransferLoop::~TransferLoop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    stopped_.SignalAll();
  }
  (void)curl_multi_wakeup(multi_);
  if (thread_.joinable()) thread_.join();
  (void)curl_multi_cleanup(multi_);
}

void TransferLoop::Add(Request request) {
  {
    MutexLock lock(&mutex_);
    if (!stopping_) {
      queue_.push_back(std::move(request));
      // Under the lock: once it is released, the destructor may go on and take multi_ away.
      (void)curl_multi_wakeup(multi_);
      return;
    }
  }
  Answer(request, Unavailable("the store is being closed"));
}

void TransferLoop::Run() {
  bool failing = false;
  for (;;) {
    {
      MutexLock lock(&mutex_);
      if (stopping_) break;
    }
    const bool started = StartQueued();
    int running = 0;
    CURLMcode code = curl_multi_perform(multi_, &running);
    if (code == CURLM_OK && !TakeEnded() && !started) {
      code = curl_multi_poll(multi_, nullptr, 0, kMaxPollMillis, nullptr);
    }
    if (code == CURLM_OK) {
      failing = false;
      continue;
    }
    // The node is short of memory for a moment: no transfer is lost by that.
    if (!std::exchange(failing, true)) {
      Log(LogLevel::kWarning, "libcurl's loop stands still, tried again, ignoring",
          {{"error", curl_multi_strerror(code)}});
    }
    Pause();
  }
  AnswerAll();
}

void TransferLoop::Pause() {
  MutexLock lock(&mutex_);
  if (!stopping_) (void)stopped_.WaitFor(&mutex_, kPause);
}

bool TransferLoop::StartQueued() {
  bool started = false;
  while (running_.size() < static_cast<size_t>(options_.max_transfers)) {
    std::unique_ptr<Transfer> next;
    {
      MutexLock lock(&mutex_);
      if (queue_.empty()) break;
      next = std::make_unique<Transfer>(&options_, std::move(queue_.front()));
      queue_.pop_front();
    }
    StartTry(std::move(next));
    started = true;
  }
  return started;
}

void TransferLoop::StartTry(std::unique_ptr<Transfer> transfer) {
  const absl::StatusOr<CURL*> handle = transfer->Prepare();
  if (!handle.ok()) {
    Answer(transfer->request(), handle.status());
    return;
  }
  if (const CURLMcode code = curl_multi_add_handle(multi_, *handle); code != CURLM_OK) {
    Answer(transfer->request(), Unavailable(std::string("libcurl: ") + curl_multi_strerror(code)));
    return;
  }
  running_.emplace(*handle, std::move(transfer));
}

bool TransferLoop::TakeEnded() {
  bool any = false;
  int queued = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
    if (message->msg != CURLMSG_DONE) continue;
    any = true;
    CURL* const handle = message->easy_handle;
    const CURLcode code = message->data.result;
    (void)curl_multi_remove_handle(multi_, handle);  // `message` is gone with it
    auto node = running_.extract(handle);
    std::unique_ptr<Transfer> transfer = std::move(node.mapped());
    if (auto reply = transfer->Ended(code); reply.has_value()) {
      Answer(transfer->request(), *std::move(reply));
    } else {
      StartTry(std::move(transfer));
    }
  }
  return any;
}

void TransferLoop::Answer(const Request& request, absl::StatusOr<Reply> reply) {
  // std::function wants copies: the reply may be large.
  auto shared = std::make_shared<absl::StatusOr<Reply>>(std::move(reply));
  callbacks_->Add([done = request.done, shared] { done(std::move(*shared)); });
}

void TransferLoop::AnswerAll() {
  const absl::Status closed = Unavailable("the store is being closed");
  for (auto& [handle, transfer] : running_) {
    (void)curl_multi_remove_handle(multi_, handle);
    Answer(transfer->request(), closed);
  }
  running_.clear();
  std::deque<Request> left;
  {
    MutexLock lock(&mutex_);
    left.swap(queue_);
  }
  for (const Request& request : left) Answer(request, closed);
}

}  // namespace slacker::https
