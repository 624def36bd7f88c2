#include "backend/base/failpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

namespace slacker {
namespace {

struct Plan {
  std::string name;
  std::atomic<long> passages_left{1};
  int trace_fd = -1;

  Plan() {
    if (const char* spec = std::getenv("SLACKER_FAILPOINT"); spec != nullptr) {
      name = spec;
      if (const size_t colon = name.find(':'); colon != std::string::npos) {
        passages_left = std::strtol(name.c_str() + colon + 1, nullptr, 10);
        name.resize(colon);
      }
    }
    if (const char* path = std::getenv("SLACKER_FAILPOINT_TRACE"); path != nullptr) {
      trace_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
  }
};

}  // namespace

void PassFailpoint(const char* name) {
  // NOLINTNEXTLINE(clang-analyzer-optin.cplusplus.VirtualCall): read once, from the environment
  static Plan plan;
  if (plan.trace_fd >= 0) {
    const std::string line = std::string(name) + "\n";
    (void)!write(plan.trace_fd, line.data(),
                 line.size());  // a trace that cannot be written fails its test
  }
  if (plan.name == name && plan.passages_left.fetch_sub(1) == 1) (void)raise(SIGKILL);
}

bool IsTakenAway(const char* name) {
  const char* taken = std::getenv("SLACKER_WITHOUT");
  if (taken == nullptr) return false;
  // Between commas, so that no name is found within another.
  return ("," + std::string(taken) + ",").find("," + std::string(name) + ",") != std::string::npos;
}

}  // namespace slacker
