#include "backend/temporary_name.h"

#include "backend/base/random.h"

namespace slacker {
namespace {

constexpr std::string_view kPrefix = ".tmp-";
constexpr size_t kDigits = 32;

}  // namespace

std::string NewTemporaryName() { return std::string(kPrefix) + RandomHex(); }

bool IsTemporaryName(std::string_view name) {
  return name.size() == kPrefix.size() + kDigits && name.starts_with(kPrefix) &&
         name.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

}  // namespace slacker
