#include "backend/source/platform.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

std::string_view VariantOf(const Platform& platform) {
  return platform.variant.empty() ? DefaultVariant(platform.architecture) : platform.variant;
}

bool IsWord(std::string_view text) {
  return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
  });
}

}  // namespace

Platform HostPlatform() {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kNames = {{
      {"x86_64", "amd64"},
      {"aarch64", "arm64"},
      {"armv7l", "arm"},
      {"i686", "386"},
      {"ppc64le", "ppc64le"},
      {"riscv64", "riscv64"},
  }};
  utsname name{};
  std::string architecture = "amd64";
  if (uname(&name) == 0) {
    architecture = name.machine;
    for (const auto& [machine, go_name] : kNames) {
      if (machine == name.machine) architecture = go_name;
    }
  }
  return {.os = "linux", .architecture = architecture, .variant = ""};
}

absl::StatusOr<Platform> ParsePlatform(std::string_view text) {
  std::array<std::string, 3> parts;
  size_t count = 0;
  for (std::string_view rest = text;; ++count) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (count == parts.size() || !IsWord(part)) {
      return InvalidArgument("platform \"" + std::string(text) +
                             "\" is not of the form os/arch[/variant], such as linux/arm64/v8");
    }
    parts[count] = part;
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (count == 0) {
    return InvalidArgument("platform \"" + std::string(text) +
                           "\" has no architecture: write os/arch[/variant], such as linux/amd64");
  }
  return Platform{.os = parts[0], .architecture = parts[1], .variant = parts[2]};
}

std::string FormatPlatform(const Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) text += "/" + platform.variant;
  return text;
}

bool PlatformMatches(const Platform& wanted, const Platform& offered) {
  return wanted.os == offered.os && wanted.architecture == offered.architecture &&
         VariantOf(wanted) == VariantOf(offered);
}

}  // namespace slacker
