#include "cmd/common/duration.h"

#include <charconv>
#include <string>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int64_t kDaySeconds = 24 * 60 * 60;

}  // namespace

absl::StatusOr<int64_t> ParseDuration(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  constexpr int64_t kMax = 100 * 365;  // days: whatever the unit, nothing overflows
  if (error == std::errc() && value >= 0) {
    if (unit == "d" && value <= kMax) return value * kDaySeconds;
    if (unit == "h" && value <= kMax * 24) return value * 60 * 60;
    if (unit == "m" && value <= kMax * 24 * 60) return value * 60;
    if (unit == "s" && value <= kMax * kDaySeconds) return value;
    if (unit.empty() && value == 0) return value;
  }
  return InvalidArgument("\"" + std::string(text) + "\" is not a time: write 30d, 12h, 45m or 10s");
}

}  // namespace slacker
