#include "backend/registry/credential_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

extern char** environ;

namespace slacker {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kMaxAnswerBytes = 64 << 10;
constexpr char kNotFound[] = "credentials not found";  // what every helper says then

absl::Status WaitReadable(int fd, SteadyClock::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    pollfd ready = {fd, POLLIN, 0};
    const int polled = poll(&ready, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (polled > 0) return absl::OkStatus();
    if (polled == 0) return DeadlineExceeded("it does not answer");
    if (errno != EINTR) return ErrnoError(errno, "poll");
  }
}

// A helper in a process group of its own. One thread.
class Helper {
 public:
  Helper() = default;
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper() {
    if (pid_ <= 0) return;
    (void)kill(-pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }

  // `child` becomes its standard input and output.
  absl::Status Start(const std::string& program, int child) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, child, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, child, STDOUT_FILENO);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    std::string name = program;
    std::string verb = "get";
    char* argv[] = {name.data(), verb.data(), nullptr};
    const int error = posix_spawnp(&pid_, name.c_str(), &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error == 0) return absl::OkStatus();
    pid_ = 0;
    return FailedPrecondition(error == ENOENT ? "there is no such program in $PATH"
                                              : "it cannot be started");
  }

  // Its wait status. Ends what it has left behind in its process group.
  absl::StatusOr<int> Wait(SteadyClock::time_point deadline) {
    const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    if (!process.valid()) return ErrnoError(errno, "pidfd_open");
    RETURN_IF_ERROR(WaitReadable(process.get(), deadline));
    (void)kill(-pid_, SIGKILL);  // before it is reaped: the number is still its own
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_ = 0;
};

// All that comes out of `fd` until its end.
absl::StatusOr<std::string> ReadAnswer(int fd, SteadyClock::time_point deadline) {
  std::string answer;
  char buffer[4096];
  for (;;) {
    RETURN_IF_ERROR(WaitReadable(fd, deadline));
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return answer;  // the end; a reset is one, too
    answer.append(buffer, static_cast<size_t>(got));
    if (answer.size() > kMaxAnswerBytes) return FailedPrecondition("it says more than 64 KiB");
  }
}

absl::StatusOr<std::optional<HelperAnswer>> ParseAnswer(const std::string& answer) {
  const auto json = nlohmann::json::parse(answer, nullptr, /*allow_exceptions=*/false);
  HelperAnswer result;
  for (const auto& [key, field] :
       {std::pair{"Username", &result.username}, std::pair{"Secret", &result.secret}}) {
    if (!json.is_object() || !json.contains(key) || !json.at(key).is_string()) {
      return FailedPrecondition("its answer is not what credential helpers say");
    }
    *field = json.at(key).get<std::string>();
  }
  if (result.secret.empty()) return std::nullopt;
  return result;
}

absl::StatusOr<std::optional<HelperAnswer>> Ask(const std::string& program,
                                                const std::string& server,
                                                std::chrono::milliseconds timeout) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "socketpair");
  }
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  Helper helper;
  RETURN_IF_ERROR(helper.Start(program, theirs.get()));
  theirs.Reset();
  // Fits into the socket's buffer. A helper that does not read it is not an error yet.
  (void)send(ours.get(), server.data(), server.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  (void)shutdown(ours.get(), SHUT_WR);
  const SteadyClock::time_point deadline = SteadyClock::now() + timeout;
  ASSIGN_OR_RETURN(const std::string answer, ReadAnswer(ours.get(), deadline));
  ASSIGN_OR_RETURN(const int status, helper.Wait(deadline));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ParseAnswer(answer);
  if (answer.find(kNotFound) != std::string::npos) return std::nullopt;
  std::string text = answer.substr(0, answer.find('\n')).substr(0, 200);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c == 0x7f; }, '?');
  return FailedPrecondition(text.empty() ? "it fails without saying why" : "it fails: " + text);
}

}  // namespace

absl::StatusOr<std::optional<HelperAnswer>> AskCredentialHelper(const std::string& name,
                                                                const std::string& server,
                                                                std::chrono::milliseconds timeout) {
  const bool good = !name.empty() && name.size() <= 64 &&
                    std::all_of(name.begin(), name.end(), [](unsigned char c) {
                      return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
                    });
  if (!good) return InvalidArgument("\"" + name + "\" cannot be a credential helper's name");
  const std::string program = "docker-credential-" + name;
  auto answer = Ask(program, server, timeout);
  if (!answer.ok()) return Annotate(answer.status(), "credential helper " + program);
  return answer;
}

}  // namespace slacker
