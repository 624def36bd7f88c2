// Claims on requests, so that several servers on one store do not do the same work. A claim is an
// object beside the request (backend/store/requests.h) that says who serves it and until when; who
// works goes on saying so. It is no lock: who dies leaves one that is soon over, and who stood still for longer may work
// on beside his successor, which publishing is made for. The servers' clocks must agree to within half a minute for claims to be of use.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"

namespace slacker {

// "host/PID/random": no two claimants of one store are called the same.
std::string ClaimantName();

// A claim that this process has, and goes on saying that it has, every kRenewSeconds, whatever the
// work is waiting for: a thread of its own does that, until the claim is released, or is found to
// name somebody else or to be gone (a process that stood still for kClaimSeconds has lost it). A
// store that fails costs at most that somebody else begins, too. Thread-compatible.
class RequestClaimHolder {
 public:
  static constexpr int64_t kClaimSeconds = 120;
  static constexpr int64_t kRenewSeconds = 30;

  // Null when somebody else has it. Errors: those of the store, and RESOURCE_EXHAUSTED: there is no thread
  // for it. `clock` outlives the holder.
  static absl::StatusOr<std::unique_ptr<RequestClaimHolder>> Take(std::shared_ptr<Backend> backend,
                                                                  const std::string& request_name,
                                                                  const std::string& claimant,
                                                                  const Clock* clock);
  // Leaves what is in the store, as the death of the process does.
  ~RequestClaimHolder();
  RequestClaimHolder(const RequestClaimHolder&) = delete;
  RequestClaimHolder& operator=(const RequestClaimHolder&) = delete;

  // The work is done, or was given up. What names somebody else stays.
  absl::Status Release();

 private:
  RequestClaimHolder(std::shared_ptr<Backend> backend, std::string name, std::string claimant,
                     const Clock* clock);
  void Run();
  // False when the claim was lost.
  bool Renew();
  // False when it is gone, or names somebody else.
  absl::StatusOr<bool> IsOurs();
  void EndThread();

  const std::shared_ptr<Backend> backend_;
  const std::string name_;  // of the claim
  const std::string claimant_;
  const Clock* const clock_;
  std::chrono::steady_clock::time_point renewed_;  // the thread's, from its start on
  Mutex mutex_;
  CondVar changed_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace slacker
