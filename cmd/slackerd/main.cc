// slackerd: wiring. What it does is described in docs/operations.md.
#include <malloc.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "cmd/slackerd/daemon.h"
#include "cmd/slackerd/flags.h"
#include "snapshotter/service/listener.h"
#include "snapshotter/service/server.h"

namespace slacker {
namespace {

constexpr std::chrono::seconds kShutdownGrace{30};
constexpr std::chrono::seconds kStoreGrace{2};
constexpr int kMallocArenas = 2;  // one per thread would cost more memory than it saves time

// Blocked before any thread exists, so that all of them inherit it and sigwait gets the signals.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  (void)signal(SIGPIPE, SIG_IGN);  // writing to a closed pipe is an error like any other
  return signals;
}

// Every layer in use keeps a descriptor: the 1,024 of a shell end long before the disk is full.
void UseEveryDescriptor() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);  // goes on with what there is
}

// All that had to be done is done; threads that a store keeps can only be waited for, and not for
// long.
void EndDespiteTheStore(std::unique_ptr<Daemon> daemon) {
  std::promise<void> ended;
  std::thread([&ended, daemon = std::move(daemon)]() mutable {
    daemon.reset();
    ended.set_value();
  }).detach();
  if (ended.get_future().wait_for(kStoreGrace) == std::future_status::ready) return;
  Log(LogLevel::kWarning, "the store keeps its questions; ending without the answers, ignoring");
  _exit(0);
}

absl::Status Run(const Config& config) {
  const sigset_t signals = BlockSignals();
  TakeLogsOfLibraries();
  // First: a wrong address must not cost a start's work, and leave what that made.
  RETURN_IF_ERROR(Listener::Check(config.address));
  ASSIGN_OR_RETURN(std::unique_ptr<Daemon> daemon, Daemon::Open(config));
  ASSIGN_OR_RETURN(std::unique_ptr<Server> server,
                   Server::Listen(config.address, &daemon->snapshotter(), daemon.get()));
  Log(LogLevel::kInfo, "serving",
      {{"address", config.address}, {"root", config.root}, {"version", SLACKER_VERSION}});
  (void)sd_notify(0, "READY=1");  // without systemd there is nobody to tell

  int received = 0;
  while (sigwait(&signals, &received) == 0 && received == SIGUSR1) daemon->LogCounters();
  Log(LogLevel::kInfo, "stopping", {{"signal", std::to_string(received)}});
  (void)sd_notify(0, "STOPPING=1");
  server->Shutdown(kShutdownGrace);
  server.reset();
  daemon->LogCounters();
  daemon->Stop();
  EndDespiteTheStore(std::move(daemon));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  mallopt(M_ARENA_MAX, kMallocArenas);
  UseEveryDescriptor();
  const auto config = ReadFlags(argc, argv);
  if (!config.ok()) {
    std::fprintf(stderr, "slackerd: %s\n", Message(config.status()).c_str());
    return 2;
  }
  if (!config->has_value()) return 0;
  LogLevel level = LogLevel::kInfo;
  if (ParseLogLevel((*config)->log_level, &level)) SetLogLevel(level);
  if (const absl::Status status = Run(**config); !status.ok()) {
    Log(LogLevel::kError, "cannot serve", {{"error", Message(status)}});
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace slacker

int main(int argc, char** argv) { return slacker::Main(argc, argv); }
