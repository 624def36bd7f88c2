#include "cmd/slackerd/auto_publisher.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/base/thread_priority.h"
#include "backend/source/platform.h"
#include "backend/store/requests.h"
#include "cmd/common/store_url.h"

namespace slacker {
namespace {

constexpr char kMemoryScore[] = "500";  // slackerd's own may be -999, and would be inherited

struct Pipe {
  UniqueFd read, write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// slackerd blocks and ignores signals that its child is to get.
int SpawnWithPlainSignals(const std::vector<std::string>& command, int input, pid_t* pid) {
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (const int error = posix_spawn_file_actions_init(&actions); error != 0) return error;
  if (const int error = posix_spawnattr_init(&attributes); error != 0) {
    (void)posix_spawn_file_actions_destroy(&actions);
    return error;
  }
  sigset_t none, pipe;
  sigemptyset(&none);
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  int error = posix_spawnattr_setsigmask(&attributes, &none);
  if (error == 0) error = posix_spawnattr_setsigdefault(&attributes, &pipe);
  if (error == 0) {
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  if (error == 0) {
    error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  }
  if (error == 0) {
    error = posix_spawn(pid, arguments[0], &actions, &attributes, arguments.data(), environ);
  }
  (void)posix_spawnattr_destroy(&attributes);
  (void)posix_spawn_file_actions_destroy(&actions);
  return error;
}

absl::Status FromWaitStatus(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  if (WIFEXITED(status)) {
    return Unavailable("it ended with exit code " + std::to_string(WEXITSTATUS(status)));
  }
  return Unavailable("it was ended by signal " + std::to_string(WTERMSIG(status)));
}

}  // namespace

std::string NodeRequestsUrl(const std::string& root) { return "loopback:" + root + "/publish"; }

absl::StatusOr<std::unique_ptr<AutoPublisher>> AutoPublisher::Open(Options options) {
  ASSIGN_OR_RETURN(std::shared_ptr<Backend> requests, OpenBackend(NodeRequestsUrl(options.root)));
  return std::unique_ptr<AutoPublisher>(new AutoPublisher(std::move(options), std::move(requests)));
}

AutoPublisher::AutoPublisher(Options options, std::shared_ptr<Backend> requests)
    : options_(std::move(options)),
      requests_(std::move(requests)),
      writer_(requests_, HostPlatform(), [this] { Wake(); }),
      thread_([this] { Run(); }) {}

AutoPublisher::~AutoPublisher() { Stop(); }

void AutoPublisher::Note(const std::string& ref, const std::string& key, const Labels& labels) {
  writer_.Note(ref, labels, key.substr(0, key.find('/')));
}

void AutoPublisher::Wake() {
  MutexLock lock(&mutex_);
  woken_ = true;
  changed_.SignalAll();
}

void AutoPublisher::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
    if (child_ > 0) (void)kill(child_, SIGTERM);
    const auto deadline = std::chrono::steady_clock::now() + options_.stop_grace;
    while (child_ > 0 && std::chrono::steady_clock::now() < deadline) {
      changed_.WaitFor(&mutex_, deadline - std::chrono::steady_clock::now());
    }
    // In the middle of an image; that harms nothing, the next one begins anew.
    if (child_ > 0) (void)kill(child_, SIGKILL);
  }
  if (thread_.joinable()) thread_.join();
}

void AutoPublisher::Run() {
  (void)pthread_setname_np(pthread_self(), "slk-publish");
  SetNiceness(gettid(), kLowestNiceness);
  TakeIdleIo();
  std::chrono::milliseconds pause = options_.first_pause;
  for (;;) {
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && !woken_) changed_.Wait(&mutex_);
      if (stopping_) return;
      woken_ = false;
    }
    while (AnythingLeft()) {
      const absl::Status ended = RunChild();
      if (ended.ok()) pause = options_.first_pause;
      if (!ended.ok() && !Pause({})) {
        Log(LogLevel::kWarning, "the publisher will be started again, ignoring",
            {{"error", Message(ended)}});
      }
      if (Pause(pause)) return;
      if (!ended.ok()) pause = std::min(2 * pause, options_.last_pause);
    }
  }
}

bool AutoPublisher::AnythingLeft() {
  const auto requests = ListRequests(*requests_);
  if (requests.ok()) return !requests->empty();
  Log(LogLevel::kWarning, "what is to be published cannot be read, ignoring",
      {{"error", Message(requests.status())}});
  return false;
}

bool AutoPublisher::Pause(std::chrono::milliseconds pause) {
  const auto deadline = std::chrono::steady_clock::now() + pause;
  MutexLock lock(&mutex_);
  while (!stopping_ && std::chrono::steady_clock::now() < deadline) {
    changed_.WaitFor(&mutex_, deadline - std::chrono::steady_clock::now());
  }
  return stopping_;
}

absl::StatusOr<UniqueFd> AutoPublisher::Spawn() {
  ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  MutexLock lock(&mutex_);
  if (stopping_) return absl::CancelledError("stopping");
  pid_t pid = 0;
  if (const int error = SpawnWithPlainSignals(options_.command, pipe.read.get(), &pid);
      error != 0) {
    return Unavailable(Message(ErrnoError(error, "start " + options_.command[0])));
  }
  child_ = pid;
  std::ofstream("/proc/" + std::to_string(pid) + "/oom_score_adj") << kMemoryScore;
  return std::move(pipe.write);
}

absl::Status AutoPublisher::RunChild() {
  // Closed, also by our death, it tells the child to end.
  ASSIGN_OR_RETURN(const UniqueFd alive, Spawn());
  pid_t pid = 0;
  {
    MutexLock lock(&mutex_);
    pid = child_;
  }
  siginfo_t ended;
  while (waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  // Reaped only now, with the lock: until then its PID is nobody else's, and may be signalled.
  MutexLock lock(&mutex_);
  int status = 0;
  (void)waitpid(pid, &status, 0);
  child_ = 0;
  changed_.SignalAll();
  return FromWaitStatus(status);
}

}  // namespace slacker
