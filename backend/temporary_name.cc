#include "backend/temporary_name.h"

#include <sys/random.h>

#include <array>
#include <cerrno>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr std::string_view kPrefix = ".tmp-";
constexpr size_t kRandomBytes = 16;
constexpr std::string_view kHex = "0123456789abcdef";

}  // namespace

absl::StatusOr<std::string> NewTemporaryName() {
  std::array<unsigned char, kRandomBytes> random;
  // So few bytes come whole, or not at all.
  if (getrandom(random.data(), random.size(), 0) != ssize_t{random.size()}) {
    return ErrnoError(errno, "getrandom");
  }
  std::string name(kPrefix);
  for (const unsigned char byte : random) {
    name += kHex[byte >> 4];
    name += kHex[byte & 15];
  }
  return name;
}

bool IsTemporaryName(std::string_view name) {
  return name.size() == kPrefix.size() + 2 * kRandomBytes &&
         name.substr(0, kPrefix.size()) == kPrefix &&
         name.find_first_not_of(kHex, kPrefix.size()) == std::string_view::npos;
}

}  // namespace slacker
