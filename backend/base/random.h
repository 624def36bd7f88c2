// Random numbers of the kernel, and names that nobody else uses. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

namespace slacker {

// 32 lower-case hex digits (128 bits).
std::string RandomHex();

uint64_t RandomNumber();

}  // namespace slacker
