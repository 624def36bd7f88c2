#include "backend/publish/request_server.h"

#include <algorithm>
#include <random>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

// The reference leads to something else by now, or the source does not keep what is needed: trying
// again would not help.
bool IsFinal(const absl::Status& status) { return absl::IsFailedPrecondition(status); }

}  // namespace

absl::StatusOr<size_t> RequestServer::ServeOnce() {
  ASSIGN_OR_RETURN(std::vector<StoredRequest> requests, ListRequests(*options_.requests));
  std::shuffle(requests.begin(), requests.end(), std::mt19937_64(std::random_device()()));
  for (const StoredRequest& stored : requests) {
    if (options_.stopping && options_.stopping()) break;
    RETURN_IF_ERROR(Serve(stored));
  }
  return requests.size();
}

absl::Status RequestServer::Serve(const StoredRequest& stored) {
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
  ASSIGN_OR_RETURN(const ResolvedImage image, ResolveImage(*source, request.platform));
  if (ChainId(image.diff_ids) != request.chain_id) {
    return FailedPrecondition(request.reference + " is another image than the one asked for");
  }
  PublishOptions options = options_.publish;
  options.platform = request.platform;
  options.name = "docker://" + request.reference;
  ASSIGN_OR_RETURN(const PublishedImage done, Publish(*source, options_.store, options, nullptr));
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
