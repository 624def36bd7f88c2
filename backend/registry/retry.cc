#include "backend/registry/retry.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "backend/base/clock.h"
#include "backend/base/status.h"
#include "backend/registry/http_url.h"

namespace slacker {
namespace {

using std::chrono::milliseconds;

constexpr char kRetryAfterPayload[] = "slacker/retry-after";  // seconds
constexpr int64_t kMostSeconds = int64_t{366} * 86'400;

}  // namespace

bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

void SetRetryAfter(const HttpResponse& answer, absl::Status* error) {
  const std::string text = answer.Header("retry-after");
  int64_t seconds = 0;
  const auto [end, result] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (result != std::errc() || end != text.data() + text.size()) {
    seconds = HttpDate(text) - SystemClock().WallNanos() / 1'000'000'000;
  }
  seconds = std::clamp<int64_t>(seconds, 0, kMostSeconds);
  if (seconds > 0) error->SetPayload(kRetryAfterPayload, absl::Cord(std::to_string(seconds)));
}

milliseconds RetryAfterOf(const absl::Status& error) {
  const auto payload = error.GetPayload(kRetryAfterPayload);
  return payload.has_value() ? std::chrono::seconds(std::stoll(std::string(*payload)))
                             : std::chrono::seconds(0);
}

absl::Status RetrySchedule::Next(const absl::Status& failure, milliseconds* delay) {
  if (!IsPassing(failure)) return failure;
  const milliseconds asked = RetryAfterOf(failure);
  if (asked > options_.max_retry_delay) {
    return Annotate(failure, "the registry asks to wait for " +
                                 std::to_string(asked.count() / 1000) +
                                 " s before the next request");
  }
  if (++tries_ >= options_.max_tries) return failure;
  *delay = std::max(delay_, asked);
  delay_ *= 2;
  return absl::OkStatus();
}

}  // namespace slacker
