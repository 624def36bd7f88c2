#include "backend/base/random.h"

#include <sys/random.h>

#include <array>

#include "backend/base/check.h"

namespace slacker {

std::string RandomHex() {
  std::array<unsigned char, 16> random;
  // So few bytes come whole; there is no error but that of an ancient kernel.
  SLACKER_CHECK(getrandom(random.data(), random.size(), 0) == ssize_t{random.size()},
                "the kernel has random numbers");
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : random) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

}  // namespace slacker
