#include "cmd/hellobench/site/programs.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "cmd/hellobench/site/spawn.h"

namespace slacker::hellobench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kShownBytes = 3000;
// How often an interrupt and a limit are looked at, and a condition.
constexpr int kLookMs = 50;
constexpr int kConditionMs = 10;
// Where daemons are on Debian: a user's PATH need not have it.
constexpr char kSystemDirectories[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The end of a file, at most kShownBytes; from its beginning if `whole`.
std::string ReadEnd(int fd, bool whole) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return "";
  const auto size = static_cast<size_t>(status.st_size);
  const size_t from = whole || size < kShownBytes ? 0 : size - kShownBytes;
  std::string text(size - from, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got =
        pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(from + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

std::string EndOf(const std::string& text) {
  return text.size() <= kShownBytes ? text : text.substr(text.size() - kShownBytes);
}

std::string Joined(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : " ") + word;
  return EndOf(joined);
}

// A child of ours, until it has been waited for.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid), fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { Kill(); }

  pid_t pid() const { return pid_; }

  // Whether it has ended, or does within so many milliseconds; -1: for as long as it takes.
  bool Ended(int timeout_ms) {
    if (ended_) return true;
    pollfd event{fd_.get(), POLLIN, 0};
    if (fd_.valid() && poll(&event, 1, timeout_ms) <= 0) return false;
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    status_ = status;
    ended_ = true;
    return true;
  }

  // With what it has started, as far as that stayed in its session's group.
  void Kill() {
    if (ended_) return;
    (void)kill(-pid_, SIGKILL);
    (void)kill(pid_, SIGKILL);
    while (!Ended(-1)) {
    }
  }

  // REQUIRES: it has ended.
  absl::Status Outcome() const {
    if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return absl::OkStatus();
    return Internal(WIFEXITED(status_) ? "exit code " + std::to_string(WEXITSTATUS(status_))
                                       : "ended by signal " + std::to_string(WTERMSIG(status_)));
  }

 private:
  const pid_t pid_;
  const UniqueFd fd_;
  bool ended_ = false;
  int status_ = 0;
};

class RealDaemon final : public Daemon {
 public:
  RealDaemon(pid_t pid, std::string log) : child_(pid), log_(std::move(log)) {}

  pid_t pid() const override { return child_.pid(); }
  bool Running() override { return !child_.Ended(0); }
  void Kill() override { child_.Kill(); }
  std::string Log() const override {
    const UniqueFd fd(open(log_.c_str(), O_RDONLY | O_CLOEXEC));
    return fd.valid() ? ReadEnd(fd.get(), false) : "";
  }

 private:
  Child child_;
  const std::string log_;
};

class RealPrograms final : public Programs {
 public:
  RealPrograms(const std::vector<std::string>& directories, const std::atomic<bool>* interrupted)
      : interrupted_(interrupted) {
    for (const std::string& directory : directories) search_ += directory + ":";
    const char* const path = getenv("PATH");
    if (path != nullptr && *path != '\0') search_ += std::string(path) + ":";
    search_ += kSystemDirectories;
  }

  absl::StatusOr<std::string> Find(const std::string& name) const override {
    if (name.find('/') != std::string::npos) return name;
    for (size_t begin = 0; begin <= search_.size();) {
      const size_t end = std::min(search_.find(':', begin), search_.size());
      const std::string path = search_.substr(begin, end - begin) + "/" + name;
      struct stat status {};
      if (stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
          access(path.c_str(), X_OK) == 0) {
        return path;
      }
      begin = end + 1;
    }
    return NotFound("there is no program " + name + " in " + search_);
  }

  bool Interrupted() const override { return interrupted_ != nullptr && *interrupted_; }

  absl::StatusOr<std::string> Run(const Command& command) override {
    if (Interrupted() && !command.clean_up) return Cancelled("interrupted");
    const UniqueFd output(memfd_create("output", MFD_CLOEXEC));
    const UniqueFd errors(memfd_create("errors", MFD_CLOEXEC));
    if (!output.valid() || !errors.valid()) return ErrnoError(errno, "memfd_create");
    ASSIGN_OR_RETURN(const pid_t pid, StartProcess(command, output.get(), errors.get()));
    Child child(pid);
    const absl::Status waited = Wait(child, command);
    child.Kill();
    const absl::Status outcome = waited.ok() ? child.Outcome() : waited;
    if (outcome.ok()) return ReadEnd(output.get(), true);
    const std::string text = ReadEnd(output.get(), false) + ReadEnd(errors.get(), false);
    return absl::Status(outcome.code(), Joined(command.words) + ": " + Message(outcome) +
                                            (text.empty() ? "" : ": ") + text);
  }

  absl::StatusOr<std::unique_ptr<Daemon>> Start(const Command& command,
                                                const std::string& log) override {
    const UniqueFd output(open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
    if (!output.valid()) return ErrnoError(errno, "open " + log);
    ASSIGN_OR_RETURN(const pid_t pid, StartProcess(command, output.get(), output.get()));
    return std::make_unique<RealDaemon>(pid, log);
  }

 private:
  absl::StatusOr<pid_t> StartProcess(const Command& command, int output, int errors) const {
    Spawned spawned{.path = "",
                    .words = command.words,
                    .environment = {},
                    .namespaces_of = command.where.process,
                    .output = output,
                    .errors = errors};
    ASSIGN_OR_RETURN(spawned.path, Find(command.words.at(0)));
    std::map<std::string, std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string text(*variable);
      const size_t equals = text.find('=');
      if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
    }
    variables["PATH"] = search_;
    for (const auto& [name, value] : command.environment) variables[name] = value;
    for (const auto& [name, value] : variables) spawned.environment.push_back(name + "=" + value);
    return Spawn(spawned);
  }

  absl::Status Wait(Child& child, const Command& command) const {
    const Clock::time_point deadline = Clock::now() + command.limit;
    while (!child.Ended(kLookMs)) {
      if (Interrupted() && !command.clean_up) return Cancelled("interrupted");
      if (Clock::now() >= deadline) {
        return DeadlineExceeded("not done within " + std::to_string(command.limit.count()) + " s");
      }
    }
    return absl::OkStatus();
  }

  const std::atomic<bool>* const interrupted_;
  std::string search_;
};

}  // namespace

std::unique_ptr<Programs> OpenPrograms(const std::vector<std::string>& directories,
                                       const std::atomic<bool>* interrupted) {
  return std::make_unique<RealPrograms>(directories, interrupted);
}

absl::Status Await(const Programs& programs, Daemon& daemon, std::string_view name,
                   std::string_view what, std::chrono::seconds limit,
                   const std::function<bool()>& condition) {
  const Clock::time_point deadline = Clock::now() + limit;
  while (!condition()) {
    if (programs.Interrupted()) return Cancelled("interrupted");
    if (!daemon.Running()) {
      return Unavailable(std::string(name) + " ended at its start: " + daemon.Log());
    }
    if (Clock::now() >= deadline) {
      return DeadlineExceeded(std::string(name) + " does not " + std::string(what) + " within " +
                              std::to_string(limit.count()) + " s: " + daemon.Log());
    }
    (void)poll(nullptr, 0, kConditionMs);
  }
  return absl::OkStatus();
}

}  // namespace slacker::hellobench
