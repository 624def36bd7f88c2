// Names that nobody else uses.
#pragma once

#include <string>

namespace slacker {

// 32 lower-case hex digits (128 bits) of the kernel's random numbers. Thread-safe.
std::string RandomHex();

}  // namespace slacker
