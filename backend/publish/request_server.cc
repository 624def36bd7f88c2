#include "backend/publish/request_server.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "backend/base/mutex.h"
#include "backend/base/start_thread.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

// The reference leads to something else by now, or the source does not keep what is needed: trying
// again would not help.
bool IsFinal(const absl::Status& status) { return absl::IsFailedPrecondition(status); }

bool CanBeRead(const absl::StatusOr<PublishRequest>& request) {
  return request.ok() || absl::IsDataLoss(request.status());
}

bool IsOfTheStore(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// Cancels a source that takes too long, or longer than the process wants to live. A thread of its own
// looks at the clock.
class TimeLimit {
 public:
  TimeLimit(ImageSource* source, const RequestServer::Options* options)
      : source_(source),
        options_(options),
        end_(options->clock->Monotonic() + std::chrono::seconds(options->max_seconds)) {}
  ~TimeLimit() { (void)End(); }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

  // RESOURCE_EXHAUSTED: there is no thread for it.
  absl::Status Start() {
    ASSIGN_OR_RETURN(thread_, StartThread([this] { Run(); }));
    return absl::OkStatus();
  }
  // Why the source was cancelled; OK if it was not.
  absl::Status End() {
    {
      MutexLock lock(&mutex_);
      ended_ = true;
      changed_.SignalAll();
    }
    if (thread_.joinable()) thread_.join();
    return why_;
  }

 private:
  void Run() {
    constexpr std::chrono::milliseconds kLook{100};
    bool stopping = false;
    for (;;) {
      {
        MutexLock lock(&mutex_);
        if (!ended_) (void)changed_.WaitFor(&mutex_, kLook);
        if (ended_) return;
      }
      const auto now = options_->clock->Monotonic();
      if (!stopping && options_->stopping && options_->stopping()) {
        stopping = true;
        end_ = std::min(end_, now + std::chrono::seconds(options_->grace_seconds));
      }
      if (now < end_) continue;
      why_ = DeadlineExceeded(stopping ? "it was not done when the service had to stop"
                                       : "it took longer than " +
                                             std::to_string(options_->max_seconds) + " s");
      source_->Cancel();
      return;
    }
  }

  ImageSource* const source_;
  const RequestServer::Options* const options_;
  std::chrono::steady_clock::time_point end_;  // the thread's
  absl::Status why_;                           // the thread's, until it is joined
  Mutex mutex_;
  CondVar changed_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<size_t> RequestServer::ServeOnce() {
  ASSIGN_OR_RETURN(std::vector<StoredRequest> requests, ListRequests(*options_.requests));
  std::shuffle(requests.begin(), requests.end(), std::mt19937_64(std::random_device()()));
  std::set<std::string> stuck;
  for (const StoredRequest& stored : requests) {
    if (options_.stopping && options_.stopping()) break;
    const absl::Status status = Serve(stored);
    if (status.ok()) continue;
    if (IsOfTheStore(status)) return status;
    if (!stuck_.contains(stored.name)) options_.on_result(stored, status);
    stuck.insert(stored.name);
  }
  stuck_ = std::move(stuck);
  return static_cast<size_t>(std::ranges::count_if(
      requests, [](const StoredRequest& stored) { return CanBeRead(stored.request); }));
}

absl::Status RequestServer::Serve(const StoredRequest& stored) {
  if (!CanBeRead(stored.request)) return stored.request.status();
  if (!stored.request.ok()) {  // nothing that a node of ours wrote
    RETURN_IF_ERROR(Forget(stored));
    options_.on_result(stored, stored.request.status());
    return absl::OkStatus();
  }
  if (stored.failure.has_value()) {
    if (stored.failure->until_unix_seconds > Now()) return absl::OkStatus();
    if (stored.failure->given_up) return Forget(stored);
  }
  ASSIGN_OR_RETURN(
      const std::unique_ptr<RequestClaimHolder> claim,
      RequestClaimHolder::Take(options_.requests, stored.name, claimant_, options_.clock));
  if (claim == nullptr) return absl::OkStatus();
  const absl::StatusOr<ServedRequest> done = PublishAsRequested(*stored.request);
  RETURN_IF_ERROR(done.ok() ? Forget(stored) : RecordFailure(stored, done.status()));
  options_.on_result(stored, done);
  return claim->Release();
}

absl::StatusOr<ServedRequest> RequestServer::PublishAsRequested(const PublishRequest& request) {
  ASSIGN_OR_RETURN(const bool published, IsPublished(request));
  if (published) return ServedRequest::kWasThere;
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageSource> source, options_.open(request));
  TimeLimit limit(source.get(), &options_);
  RETURN_IF_ERROR(limit.Start());
  auto served = PublishFrom(*source, request);
  const absl::Status late = limit.End();
  if (!served.ok() && !late.ok()) return late;
  return served;
}

absl::StatusOr<ServedRequest> RequestServer::PublishFrom(ImageSource& source,
                                                         const PublishRequest& request) {
  ASSIGN_OR_RETURN(const ResolvedImage image, ResolveImage(source, request.platform));
  if (ChainId(image.diff_ids) != request.chain_id) {
    return FailedPrecondition(request.reference + " is another image than the one asked for");
  }
  PublishOptions options = options_.publish;
  options.platform = request.platform;
  options.name = "docker://" + request.reference;
  ASSIGN_OR_RETURN(const PublishedImage done, Publish(source, options_.store, options, nullptr));
  if (done.entry.chain_id != request.chain_id) {
    return FailedPrecondition(request.reference + " has become another image meanwhile");
  }
  return ServedRequest::kPublished;
}

absl::StatusOr<bool> RequestServer::IsPublished(const PublishRequest& request) const {
  Trust trust;
  if (const auto& key = options_.publish.store.key; key.has_value()) {
    trust.keys.push_back(key->public_key());
  }
  const absl::Status found =
      StoreReader(options_.store, trust).ReadGrantedManifest(request.chain_id, "").status();
  if (found.ok()) return true;
  // Damaged, unsigned or private ones are published again.
  if (absl::IsUnavailable(found) || absl::IsDeadlineExceeded(found)) return found;
  return false;
}

absl::Status RequestServer::RecordFailure(const StoredRequest& stored, const absl::Status& why) {
  RequestFailure failure;
  // Anybody may have written what is there: the number has to be fit for the shift below.
  failure.attempts =
      std::min(stored.failure.has_value() ? stored.failure->attempts : 0, kMaxAttempts) + 1;
  failure.reason = Message(why);
  failure.given_up = IsFinal(why) || failure.attempts >= kMaxAttempts;
  if (failure.given_up && options_.keep_seconds == 0) return Forget(stored);
  failure.until_unix_seconds =
      Now() + (failure.given_up ? options_.keep_seconds
                                : options_.first_pause_seconds << (failure.attempts - 1));
  return options_.requests->Replace(RequestFailureName(stored.name), EncodeRequestFailure(failure));
}

absl::Status RequestServer::Forget(const StoredRequest& stored) {
  // The request first: a failure without one is never looked at.
  RETURN_IF_ERROR(options_.requests->Remove(stored.name));
  return options_.requests->Remove(RequestFailureName(stored.name));
}

}  // namespace slacker
