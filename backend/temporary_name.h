// Names of objects under construction, for backends whose objects are files: ".tmp-" and 32
// lower-case hexadecimal digits, in the directory where the object will appear. No object has such
// a name (ValidateObjectName). Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace slacker {

// What a dead writer left may be removed once it has not been modified for so long: no writer takes
// that long for one object, and no clock is that wrong.
inline constexpr int64_t kTemporaryLifeSeconds = 24 * 60 * 60;

// A name that nobody else has.
std::string NewTemporaryName();
bool IsTemporaryName(std::string_view name);

}  // namespace slacker
