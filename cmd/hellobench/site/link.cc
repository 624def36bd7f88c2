#include "cmd/hellobench/site/link.h"

#include <charconv>
#include <system_error>

#include "backend/base/status.h"

namespace slacker::hellobench {
namespace {

constexpr int64_t kMaxGbit = 400;
constexpr int64_t kMaxDelayMs = 10000;
constexpr int64_t kMbitPerGbit = 1000;

// The number at the beginning of `text`, which is taken away with `unit` behind it.
bool TakeNumber(std::string_view* text, std::string_view unit, int64_t* number) {
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, *number);
  if (error != std::errc() || *number < 1) return false;
  std::string_view remaining(rest, static_cast<size_t>(end - rest));
  if (!remaining.starts_with(unit)) return false;
  remaining.remove_prefix(unit.size());
  *text = remaining;
  return true;
}

bool TakeRate(std::string_view* text, int64_t* mbit) {
  if (TakeNumber(text, "mbit", mbit)) return *mbit <= kMaxGbit * kMbitPerGbit;
  int64_t gbit = 0;
  if (!TakeNumber(text, "gbit", &gbit) || gbit > kMaxGbit) return false;
  *mbit = gbit * kMbitPerGbit;
  return true;
}

bool TakeDelay(std::string_view* text, int64_t* delay_ms) {
  if (!text->starts_with('-')) return false;
  text->remove_prefix(1);
  return TakeNumber(text, "ms", delay_ms) && *delay_ms <= kMaxDelayMs;
}

}  // namespace

absl::StatusOr<Link> ParseLink(std::string_view text) {
  Link link;
  link.name = std::string(text);
  if (text == "loopback") return link;
  std::string_view rest = text;
  if (TakeRate(&rest, &link.mbit) &&
      (rest.empty() || (TakeDelay(&rest, &link.delay_ms) && rest.empty()))) {
    return link;
  }
  return InvalidArgument("link \"" + std::string(text) +
                         "\": must be loopback, as in 1gbit or 200mbit (up to 400gbit), or as in "
                         "200mbit-10ms (up to 10000ms)");
}

}  // namespace slacker::hellobench
