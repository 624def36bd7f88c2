// Claims on requests, so that several servers on one store do not do the same work. A claim is an
// object beside the request (backend/store/requests.h) that says who serves it and until when; who
// works goes on saying so. It is no lock: who dies leaves one that is soon over, and two who take
// one over in the same instant both have it, which publishing is made for. The servers' clocks must
// agree to within half a minute for claims to be of use.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/clock.h"

namespace slacker {

// "host/PID/random": no two claimants of one store are called the same.
std::string ClaimantName();

// A claim that this process has. Thread-compatible.
class RequestClaimHolder {
 public:
  static constexpr int64_t kClaimSeconds = 120;
  static constexpr int64_t kRenewSeconds = 30;

  // Null when somebody else has it. Errors: those of the store.
  static absl::StatusOr<std::unique_ptr<RequestClaimHolder>> Take(std::shared_ptr<Backend> backend,
                                                                  const std::string& request_name,
                                                                  const std::string& claimant,
                                                                  const Clock* clock);

  // Called at any rate while the work goes on: says so in the store when it is time to. A store
  // that fails costs at most that somebody else begins, too.
  void Renew();
  // The work is done, or was given up.
  absl::Status Release();

 private:
  RequestClaimHolder(std::shared_ptr<Backend> backend, std::string name, std::string claimant,
                     const Clock* clock);

  const std::shared_ptr<Backend> backend_;
  const std::string name_;  // of the claim
  const std::string claimant_;
  const Clock* const clock_;
  std::chrono::steady_clock::time_point renewed_;
};

}  // namespace slacker
