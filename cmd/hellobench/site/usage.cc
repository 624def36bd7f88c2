#include "cmd/hellobench/site/usage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker::hellobench {
namespace {

namespace fs = std::filesystem;

constexpr char kContainerd[] = "containerd";
constexpr int64_t kBlockBytes = 512;  // of st_blocks, whatever the file system's are
constexpr int64_t kKib = 1024;

std::string ProcPath(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// Empty where there is none, as of a process that has ended meanwhile.
std::string TextIn(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  for (size_t at = 0; (at = text.find_first_not_of(" \t\n", at)) != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(" \t\n", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

template <typename Number>
bool ParseNumber(std::string_view text, Number* number) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && rest == end;
}

// Bytes of "VmHWM:  1234 kB"; 0 of a process without memory.
int64_t PeakRss(pid_t pid) {
  const std::string text = TextIn(ProcPath(pid, "status"));
  const size_t at = text.find("VmHWM:");
  if (at == std::string::npos) return 0;
  const std::vector<std::string_view> words = Words(std::string_view(text).substr(at));
  int64_t kib = 0;
  return words.size() > 1 && ParseNumber(words[1], &kib) ? kib * kKib : 0;
}

}  // namespace

absl::StatusOr<ProcessStat> ParseStat(std::string_view text) {
  // The name may have blanks and parentheses of its own.
  const size_t open = text.find(" (");
  const size_t close = text.rfind(") ");
  const absl::Status wrong = Internal("no process: " + std::string(text.substr(0, 100)));
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return wrong;
  }
  ProcessStat stat;
  stat.name = std::string(text.substr(open + 2, close - open - 2));
  // Fields 3 and up: state, parent, …; 14 to 17: ticks of user and kernel, of itself and its children.
  const std::vector<std::string_view> fields = Words(text.substr(close + 2));
  constexpr size_t kFirst = 3, kParent = 4, kUser = 14, kTickFields = 4, kStart = 22;
  if (fields.size() <= kStart - kFirst || !ParseNumber(text.substr(0, open), &stat.pid) ||
      !ParseNumber(fields[kParent - kFirst], &stat.parent) ||
      !ParseNumber(fields[kStart - kFirst], &stat.start)) {
    return wrong;
  }
  for (size_t field = kUser; field < kUser + kTickFields; ++field) {
    uint64_t ticks = 0;
    if (!ParseNumber(fields[field - kFirst], &ticks)) return wrong;
    stat.cpu_ticks += ticks;
  }
  return stat;
}

absl::StatusOr<std::vector<ProcessStat>> ProcessesOf(pid_t init) {
  std::error_code error;
  const fs::path own = fs::read_symlink(ProcPath(init, "ns/pid"), error);
  if (error) return ErrnoError(error.value(), "read the process namespace of a node");
  std::vector<ProcessStat> found;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    pid_t pid = 0;
    if (!ParseNumber(entry->path().filename().string(), &pid)) continue;
    std::error_code gone;
    if (fs::read_symlink(ProcPath(pid, "ns/pid"), gone) != own || gone) continue;
    const absl::StatusOr<ProcessStat> stat = ParseStat(TextIn(ProcPath(pid, "stat")));
    if (stat.ok()) found.push_back(*stat);
  }
  if (error) return ErrnoError(error.value(), "read /proc");
  return found;
}

std::map<pid_t, std::string> Owners(const std::vector<ProcessStat>& processes, pid_t init,
                                    pid_t containerd, const std::string& snapshotter) {
  std::map<pid_t, const ProcessStat*> by_pid;
  for (const ProcessStat& process : processes) by_pid[process.pid] = &process;
  // The nearest among a process and its ancestors that says whose it is.
  const auto owner = [&](const ProcessStat& process) -> std::string {
    const ProcessStat* at = &process;
    for (size_t step = 0; step <= processes.size(); ++step) {
      if (at->name.starts_with("containerd-shim")) return "";
      if (at->pid == containerd) return kContainerd;
      const auto parent = by_pid.find(at->parent);
      if (parent == by_pid.end() || at->parent == init) break;
      at = parent->second;
    }
    return snapshotter;
  };
  std::map<pid_t, std::string> owners;
  for (const ProcessStat& process : processes) {
    if (process.pid == init) continue;
    const std::string name = owner(process);
    if (!name.empty()) owners[process.pid] = name;
  }
  return owners;
}

DaemonMeter::DaemonMeter(pid_t init, pid_t containerd, std::string snapshotter)
    : init_(init), containerd_(containerd), snapshotter_(std::move(snapshotter)) {}

absl::StatusOr<std::map<pid_t, std::string>> DaemonMeter::Look() {
  ASSIGN_OR_RETURN(const std::vector<ProcessStat> processes, ProcessesOf(init_));
  auto owners = Owners(processes, init_, containerd_, snapshotter_);
  for (const ProcessStat& process : processes) {
    const auto owner = owners.find(process.pid);
    if (owner == owners.end()) continue;
    ticks_[{process.pid, process.start}] = {owner->second, process.cpu_ticks};
  }
  return owners;
}

absl::Status DaemonMeter::ResetPeaks() {
  ASSIGN_OR_RETURN(const auto owners, Look());
  for (const auto& [pid, owner] : owners) {
    // proc(5): 5 makes the peak what there is now.
    const std::string path = ProcPath(pid, "clear_refs");
    const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.valid() && (errno == ENOENT || errno == ESRCH)) continue;
    if (!fd.valid() || write(fd.get(), "5", 1) != 1) {
      if (errno == ESRCH) continue;
      return ErrnoError(errno, "write " + path);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<DaemonUse>> DaemonMeter::Read() {
  ASSIGN_OR_RETURN(const auto owners, Look());
  const auto ticks_a_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  std::map<std::string, DaemonUse> uses;
  for (const auto& [process, use] : ticks_) {
    uses[use.first].cpu_seconds += static_cast<double>(use.second) / ticks_a_second;
  }
  for (const auto& [pid, owner] : owners) uses[owner].peak_rss_bytes += PeakRss(pid);
  std::vector<DaemonUse> result;
  for (auto& [name, use] : uses) {
    use.name = name;
    result.push_back(use);
  }
  return result;
}

absl::StatusOr<int64_t> AllocatedBytes(const std::string& directory) {
  int64_t bytes = 0;
  std::set<std::pair<dev_t, ino_t>> seen;
  std::vector<std::string> directories = {directory};
  while (!directories.empty()) {
    const std::string at = std::move(directories.back());
    directories.pop_back();
    std::error_code error;
    fs::directory_iterator entry(at, error);
    if (error && at == directory) return ErrnoError(error.value(), "read " + directory);
    // What goes while we look takes nothing: daemons have files that come and go.
    for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
      struct stat status {};
      if (lstat(entry->path().c_str(), &status) != 0) continue;
      const bool is_directory = S_ISDIR(status.st_mode);
      if (is_directory) directories.push_back(entry->path().string());
      if (!is_directory && status.st_nlink > 1 &&
          !seen.insert({status.st_dev, status.st_ino}).second) {
        continue;
      }
      bytes += static_cast<int64_t>(status.st_blocks) * kBlockBytes;
    }
  }
  return bytes;
}

absl::StatusOr<InterfaceBytes> ParseInterface(std::string_view text, const std::string& interface) {
  const std::string head = interface + ":";
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::vector<std::string_view> words = Words(text.substr(begin, end - begin));
    begin = end + 1;
    // NAME: then eight fields of what was received, bytes first, and eight of what was sent.
    constexpr size_t kReceived = 1, kSent = 9;
    InterfaceBytes bytes;
    if (words.size() > kSent && words[0] == head &&
        ParseNumber(words[kReceived], &bytes.received) && ParseNumber(words[kSent], &bytes.sent)) {
      return bytes;
    }
  }
  return NotFound("there is no interface " + interface);
}

absl::StatusOr<InterfaceBytes> ReadInterface(pid_t process, const std::string& interface) {
  return ParseInterface(TextIn(ProcPath(process, "net/dev")), interface);
}

Served ParseAccessLog(std::string_view text, std::string_view client) {
  Served served;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(std::string(client) + " ")) continue;
    const size_t quote = line.find('"');
    const size_t behind = quote == std::string_view::npos ? quote : line.find('"', quote + 1);
    if (behind == std::string_view::npos) continue;
    const std::vector<std::string_view> words = Words(line.substr(behind + 1));
    int64_t status = 0, bytes = 0;
    if (words.size() < 2 || !ParseNumber(words[0], &status) || !ParseNumber(words[1], &bytes)) {
      continue;
    }
    ++served.requests;
    served.bytes += bytes;
  }
  return served;
}

absl::StatusOr<Served> ReadAccessLog(const std::string& path, std::string_view client) {
  std::error_code error;
  if (!fs::exists(path, error)) return NotFound("there is no log " + path);
  return ParseAccessLog(TextIn(path), client);
}

}  // namespace slacker::hellobench
