// Requests that failed for a passing reason are made again, when the server wants them.
#pragma once

#include <chrono>

#include "absl/status/status.h"
#include "backend/registry/http_client.h"
#include "backend/registry/registry_options.h"

namespace slacker {

// No connection, no answer in time, or an answer that says so: UNAVAILABLE, DEADLINE_EXCEEDED.
bool IsPassing(const absl::Status& status);

// An error remembers how long the answer behind it asks to wait (Retry-After: seconds, or a date); none
// and nonsense are 0.
void SetRetryAfter(const HttpResponse& answer, absl::Status* error);
std::chrono::milliseconds RetryAfterOf(const absl::Status& error);

// The tries of one request; one thread.
class RetrySchedule {
 public:
  explicit RetrySchedule(const RegistryOptions& options)
      : options_(options), delay_(options.retry_delay) {}

  // After a try that failed: OK, and how long to wait before the next one; or the error that it ends
  // with, because the reason does not pass, max_tries were made, or the server asks to wait longer
  // than max_retry_delay.
  absl::Status Next(const absl::Status& failure, std::chrono::milliseconds* delay);

 private:
  const RegistryOptions& options_;
  std::chrono::milliseconds delay_;
  int tries_ = 0;
};

}  // namespace slacker
