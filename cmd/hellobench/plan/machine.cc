#include "cmd/hellobench/plan/machine.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>

namespace slacker::hellobench {
namespace {

// The rest of the first line that begins with `key`.
std::string ValueIn(const char* path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(key)) return line.substr(key.size());
  }
  return "";
}

std::string Unquoted(std::string text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

}  // namespace

Machine ThisMachine() {
  Machine machine;
  machine.cpu = ValueIn("/proc/cpuinfo", "model name\t: ");
  machine.os = Unquoted(ValueIn("/etc/os-release", "PRETTY_NAME="));
  machine.cpus = sysconf(_SC_NPROCESSORS_ONLN);
  if (utsname names{}; uname(&names) == 0) machine.kernel = names.release;
  struct sysinfo info {};
  if (sysinfo(&info) == 0)
    machine.memory_bytes = static_cast<int64_t>(info.totalram) * info.mem_unit;
  return machine;
}

}  // namespace slacker::hellobench
