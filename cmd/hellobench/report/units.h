// Figures as people read them: three digits, and the unit that suits.
#pragma once

#include <string>
#include <string_view>

namespace slacker::hellobench {

enum class Unit { kPlain, kCount, kMilliseconds, kSeconds, kBytes, kTimes, kPercent };

// kMilliseconds 1234 "1.23 s"; kBytes 1500000 "1.50 MB" (10^6); kTimes 5.3 "5.30×"; kPercent 6.4 "6.40 %";
// kCount 12345 "12 345"; kPlain 0.00123 "0.00123". What is no number: "∞" or "–".
std::string Format(double value, Unit unit);
// The unit of a scenario's figure, as results name it: "ms", "s", "bytes", "%", "×"; kPlain for others.
Unit UnitOf(std::string_view name);
// Less is better.
bool IsTime(std::string_view unit);
// Counted for a second ("requests/s"): more is better.
bool IsRate(std::string_view unit);

}  // namespace slacker::hellobench
