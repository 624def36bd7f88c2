#include "cmd/hellobench/site/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <thread>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker::hellobench {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

struct Namespaces {
  UniqueFd process, mount, network;  // none valid: our own
};

absl::StatusOr<Namespaces> OpenNamespaces(pid_t of) {
  Namespaces opened;
  if (of == 0) return opened;
  const std::array<std::pair<UniqueFd*, const char*>, 3> all = {
      {{&opened.process, "pid"}, {&opened.mount, "mnt"}, {&opened.network, "net"}}};
  for (const auto& [fd, name] : all) {
    const std::string path = "/proc/" + std::to_string(of) + "/ns/" + name;
    fd->Reset(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd->valid()) return ErrnoError(errno, "open " + path);
  }
  return opened;
}

// Everything the child needs, made before the fork: between it and exec only system calls are allowed.
struct Prepared {
  const char* path;
  char* const* words;
  char* const* environment;
  int mount, network, input, output, errors, failure;
};

// Of the child; returns only what went wrong.
int Become(const Prepared& prepared) {
  (void)setsid();
  if (prepared.network >= 0 && setns(prepared.network, CLONE_NEWNET) != 0) return errno;
  if (prepared.mount >= 0 && setns(prepared.mount, CLONE_NEWNS) != 0) return errno;
  if (chdir("/") != 0) return errno;
  // Both survive exec, and neither is meant for what is started.
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  sigset_t none;
  (void)sigemptyset(&none);
  if (sigaction(SIGPIPE, &plain, nullptr) != 0 || sigprocmask(SIG_SETMASK, &none, nullptr) != 0) {
    return errno;
  }
  if (dup2(prepared.input, STDIN_FILENO) < 0 || dup2(prepared.output, STDOUT_FILENO) < 0 ||
      dup2(prepared.errors, STDERR_FILENO) < 0) {
    return errno;
  }
  if (syscall(SYS_close_range, STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) return errno;
  (void)execve(prepared.path, prepared.words, prepared.environment);
  return errno;
}

pid_t Fork(const Prepared& prepared) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const int error = Become(prepared);
  (void)!write(prepared.failure, &error, sizeof error);
  _exit(127);
}

}  // namespace

absl::StatusOr<pid_t> Spawn(const Spawned& spawned) {
  ASSIGN_OR_RETURN(const Namespaces namespaces, OpenNamespaces(spawned.namespaces_of));
  const UniqueFd input(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::array<int, 2> ends{};
  if (!input.valid() || pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "pipe2");
  const UniqueFd failure_read(ends[0]);
  UniqueFd failure_write(ends[1]);
  const std::vector<char*> words = Pointers(spawned.words);
  const std::vector<char*> environment = Pointers(spawned.environment);
  const Prepared prepared{.path = spawned.path.c_str(),
                          .words = words.data(),
                          .environment = environment.data(),
                          .mount = namespaces.mount.get(),
                          .network = namespaces.network.get(),
                          .input = input.get(),
                          .output = spawned.output,
                          .errors = spawned.errors,
                          .failure = failure_write.get()};
  pid_t pid = -1;
  int error = 0;
  if (namespaces.process.valid()) {
    // Which process namespace children come into is a matter of the thread, and there is no way back
    // that needs no descriptor: a thread that ends is simplest.
    std::thread([&] {
      pid = setns(namespaces.process.get(), CLONE_NEWPID) == 0 ? Fork(prepared) : -1;
      error = errno;
    }).join();
  } else {
    pid = Fork(prepared);
    error = errno;
  }
  if (pid < 0) return ErrnoError(error, "start " + spawned.path);
  failure_write.Reset();
  ssize_t got = 0;
  while ((got = read(failure_read.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (got <= 0) return pid;
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return ErrnoError(error, "start " + spawned.path);
}

}  // namespace slacker::hellobench
