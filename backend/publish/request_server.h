// Serves the requests of nodes (backend/store/requests.h): pulls each image from where it comes from,
// checks that it is what the node unpacked, publishes and signs it, removes the request.
//
// Several servers may work on one store. They take requests in an order of chance, and claim each
// (request_claim.h) before they do anything about it. There is no lock that one could leave behind:
// at worst two publish the same image at the same time, which publishing is made for, and the second
// finds it there.
//
// A request that fails is tried again after a pause, doubled each time; after kMaxAttempts, or at
// once when the reference leads to another image than the one that was asked for, or its source does
// not keep what is needed, it is given up. What happened stands beside it. What was given up stays for a while, so that nodes
// that ask again change nothing; then it may be asked for anew.
//
// No source holds up the others for ever: an image that is not published within max_seconds counts as
// failed, and so does one that is not within grace_seconds after the server was told to stop.
//
// An object that cannot be read, or acted upon, is left where it is, and told once.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "backend/base/clock.h"
#include "backend/publish/publisher.h"
#include "backend/publish/request_claim.h"
#include "backend/store/requests.h"

namespace slacker {

enum class ServedRequest {
  kPublished,
  kWasThere,  // somebody had published it: its source was not asked
};

// Thread-compatible.
class RequestServer {
 public:
  static constexpr uint32_t kMaxAttempts = 8;

  struct Options {
    std::shared_ptr<Backend> store;     // images go here
    std::shared_ptr<Backend> requests;  // and are asked for here
    PublishOptions publish;             // with the key; platform and name are the request's
    // Opens what a request names.
    std::function<absl::StatusOr<std::unique_ptr<ImageSource>>(const PublishRequest& request)> open;
    const Clock* clock = nullptr;
    int64_t first_pause_seconds = 30;
    int64_t keep_seconds = 7 * 24 * 60 * 60;  // what was given up; 0: it is forgotten at once
    int64_t max_seconds = 60 * 60;            // for one image
    int64_t grace_seconds = 10 * 60;          // for it to end after `stopping` said true
    // Told of every request that something was done about. DATA_LOSS of one that was none: it was
    // removed.
    std::function<void(const StoredRequest&, const absl::StatusOr<ServedRequest>&)> on_result;
    // Asked before each request: true ends the round. Asked while one is served, too, by one thread
    // at a time.
    std::function<bool()> stopping;
  };
  explicit RequestServer(Options options)
      : options_(std::move(options)), claimant_(ClaimantName()) {}

  // Does what is due, and returns how many requests there were that can be read. An error is one of
  // the whole store (UNAVAILABLE, DEADLINE_EXCEEDED, or that it cannot be listed); those of single
  // requests are recorded, or told.
  absl::StatusOr<size_t> ServeOnce();

 private:
  absl::Status Serve(const StoredRequest& stored);
  absl::StatusOr<ServedRequest> PublishAsRequested(const PublishRequest& request);
  absl::StatusOr<ServedRequest> PublishFrom(ImageSource& source, const PublishRequest& request);
  absl::StatusOr<bool> IsPublished(const PublishRequest& request) const;
  absl::Status RecordFailure(const StoredRequest& stored, const absl::Status& why);
  absl::Status Forget(const StoredRequest& stored);
  int64_t Now() const { return options_.clock->WallNanos() / 1'000'000'000; }

  const Options options_;
  const std::string claimant_;
  std::set<std::string> stuck_;  // requests of the last round that nothing could be done about
};

}  // namespace slacker
