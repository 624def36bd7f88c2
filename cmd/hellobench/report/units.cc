#include "cmd/hellobench/report/units.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace slacker::hellobench {
namespace {

std::string Fixed(double value, int digits) {
  char text[400];  // the greatest double has 309 digits
  (void)std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// Three digits, but none of those before the point is lost.
std::string ThreeDigits(double value) {
  if (value == 0) return "0";
  // What rounds up to the next power of ten has a digit more before the point.
  const double rounded = std::abs(value) * (1 + 1e-12);
  int digits = 2 - static_cast<int>(std::floor(std::log10(rounded)));
  if (digits > 0 && std::round(rounded * std::pow(10, digits)) >= 1000) --digits;
  return Fixed(value, std::clamp(digits, 0, 9));
}

// 12345678 as "12 345 678", with spaces that do not break.
std::string Grouped(double value) {
  std::string digits = Fixed(std::abs(value), 0);
  for (size_t place = digits.size(); place > 3;) {
    place -= 3;
    digits.insert(place, "\u202f");
  }
  return (value < 0 ? "-" : "") + digits;
}

std::string Scaled(double value, std::initializer_list<std::pair<double, const char*>> scales) {
  const auto* scale = scales.begin();
  while (scale + 1 != scales.end() && std::abs(value) >= (scale + 1)->first * 0.9995) ++scale;
  return ThreeDigits(value / scale->first) + "\u00a0" + scale->second;
}

}  // namespace

std::string Format(double value, Unit unit) {
  if (std::isnan(value)) return "–";
  if (std::isinf(value)) return "∞";
  switch (unit) {
    case Unit::kPlain:
      return std::abs(value) >= 1000 ? Grouped(value) : ThreeDigits(value);
    case Unit::kCount:
      return value == std::floor(value) || std::abs(value) >= 100 ? Grouped(value)
                                                                  : ThreeDigits(value);
    case Unit::kMilliseconds:
      return Scaled(value, {{1, "ms"}, {1e3, "s"}});
    case Unit::kSeconds:
      return Scaled(value * 1e3, {{1, "ms"}, {1e3, "s"}});
    case Unit::kBytes:
      return Scaled(value, {{1, "B"}, {1e3, "kB"}, {1e6, "MB"}, {1e9, "GB"}, {1e12, "TB"}});
    case Unit::kTimes:
      return ThreeDigits(value) + "×";
    case Unit::kPercent:
      return ThreeDigits(value) + "\u00a0%";
  }
  return "";
}

Unit UnitOf(std::string_view name) {
  if (name == "ms") return Unit::kMilliseconds;
  if (name == "s") return Unit::kSeconds;
  if (name == "bytes") return Unit::kBytes;
  if (name == "%") return Unit::kPercent;
  if (name == "×") return Unit::kTimes;
  return Unit::kPlain;
}

bool IsTime(std::string_view unit) { return unit == "ms" || unit == "s"; }

bool IsRate(std::string_view unit) { return unit.ends_with("/s"); }

}  // namespace slacker::hellobench
