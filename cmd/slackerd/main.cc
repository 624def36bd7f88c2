// slackerd: wiring. What it does is described in docs/operations.md.
#include <malloc.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "cmd/slackerd/daemon.h"
#include "cmd/slackerd/flags.h"
#include "snapshotter/service/server.h"

namespace slacker {
namespace {

constexpr std::chrono::seconds kShutdownGrace{30};
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

absl::Status Run(const Config& config) {
  const sigset_t signals = BlockSignals();
  ASSIGN_OR_RETURN(const std::unique_ptr<Daemon> daemon, Daemon::Open(config));
  ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                   Server::Listen(config.address, &daemon->snapshotter()));
  Log(LogLevel::kInfo, "serving",
      {{"address", config.address}, {"root", config.root}, {"version", SLACKER_VERSION}});
  (void)sd_notify(0, "READY=1");  // without systemd there is nobody to tell

  int received = 0;
  while (sigwait(&signals, &received) == 0 && received == SIGUSR1) daemon->LogCounters();
  Log(LogLevel::kInfo, "stopping", {{"signal", std::to_string(received)}});
  (void)sd_notify(0, "STOPPING=1");
  server->Shutdown(kShutdownGrace);
  daemon->LogCounters();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  mallopt(M_ARENA_MAX, kMallocArenas);
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
