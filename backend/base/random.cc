#include "backend/base/random.h"

#include <sys/random.h>

#include <array>

#include "backend/base/check.h"

namespace slacker {
namespace {

// At most 256 bytes, which come whole; there is no error but that of an ancient kernel.
void Fill(void* bytes, size_t size) {
  SLACKER_CHECK(getrandom(bytes, size, 0) == static_cast<ssize_t>(size),
                "the kernel has random numbers");
}

}  // namespace

std::string RandomHex() {
  std::array<unsigned char, 16> random;
  Fill(random.data(), random.size());
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : random) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

uint64_t RandomNumber() {
  uint64_t number = 0;
  Fill(&number, sizeof number);
  return number;
}

}  // namespace slacker
