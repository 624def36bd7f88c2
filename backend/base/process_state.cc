#include "backend/base/process_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

constexpr unsigned long kExiting = 0x4;  // PF_EXITING of linux/sched.h, as /proc/PID/stat shows it

std::string ReadSmallFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(8192, '\0');
  const ssize_t size = fd.valid() ? read(fd.get(), text.data(), text.size()) : 0;
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return text;
}

// The value of a "Field:\tvalue" line of /proc/PID/status.
std::string Field(const std::string& status, const std::string& name) {
  const size_t at = status.find("\n" + name + ":\t");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 3;
  return status.substr(begin, status.find('\n', begin) - begin);
}

bool HasSigkill(const std::string& mask) {
  return (std::strtoull(mask.c_str(), nullptr, 16) >> (SIGKILL - 1) & 1) != 0;
}

// The flags of /proc/PID/stat: the seventh field after the name, which may hold anything.
unsigned long TaskFlags(const std::string& stat) {
  size_t at = stat.rfind(')');
  for (int field = 0; field < 7 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  return at == std::string::npos ? 0 : std::strtoul(stat.c_str() + at, nullptr, 10);
}

}  // namespace

bool IsBeyondActing(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  const std::string status = ReadSmallFile(process + "/status");
  if (status.empty()) return true;
  const std::string state = Field(status, "State");
  if (state.starts_with("Z") || state.starts_with("X")) return true;
  if (HasSigkill(Field(status, "SigPnd")) || HasSigkill(Field(status, "ShdPnd"))) return true;
  // A thread that has taken its SIGKILL has it pending no more.
  return (TaskFlags(ReadSmallFile(process + "/stat")) & kExiting) != 0;
}

}  // namespace slacker
