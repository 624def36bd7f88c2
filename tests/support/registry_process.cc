#include "tests/support/registry_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "backend/base/check.h"
#include "tests/support/oci_image.h"

extern char** environ;

namespace slacker::testing {
namespace {

constexpr int kStartMillis = 30'000;

// The address behind "listening on " in what the registry logs; empty when it ends or hangs before.
std::string ReadAddress(int log) {
  constexpr std::string_view kMark = "listening on ";
  std::string text;
  for (;;) {
    pollfd ready = {log, POLLIN, 0};
    if (poll(&ready, 1, kStartMillis) <= 0) return "";
    char buffer[4096];
    const ssize_t got = read(log, buffer, sizeof buffer);
    if (got <= 0) return "";
    text.append(buffer, static_cast<size_t>(got));
    const size_t mark = text.find(kMark);
    if (mark == std::string::npos) continue;
    const size_t end = text.find_first_not_of("0123456789.:", mark + kMark.size());
    if (end != std::string::npos) {
      return text.substr(mark + kMark.size(), end - mark - kMark.size());
    }
  }
}

std::string Configuration(const RegistrySettings& settings) {
  std::string text = "http: {addr: '127.0.0.1:0'";
  if (!settings.certificate.empty()) {
    text += ", tls: {certificate: " + settings.certificate + ", key: " + settings.key;
    if (!settings.client_authority.empty()) {
      text += ", clientcas: [" + settings.client_authority + "]";
    }
    text += "}";
  }
  text += "}\n";
  if (!settings.htpasswd.empty()) {
    text += "auth: {htpasswd: {realm: test, path: " + settings.htpasswd + "}}\n";
  }
  return text;
}

}  // namespace

RegistryProcess::RegistryProcess(const std::string& directory, const RegistrySettings& settings)
    : storage_(directory + "/storage") {
  const std::string config = directory + "/registry.yml";
  std::filesystem::create_directories(storage_);
  WriteFileOrDie(config,
                 "version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: " +
                     storage_ + "}}\n" + Configuration(settings));
  int pipe_ends[2];
  SLACKER_CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0, "descriptors are left");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDERR_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  std::string arguments[] = {"docker-registry", "serve", config};
  char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), nullptr};
  const int error = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  (void)close(pipe_ends[1]);
  log_ = pipe_ends[0];
  SLACKER_CHECK(error == 0, "docker-registry is installed");
  host_ = ReadAddress(log_);
  drain_ = std::thread([log = log_] {
    char buffer[4096];
    while (read(log, buffer, sizeof buffer) > 0) {
    }
  });
}

RegistryProcess::~RegistryProcess() {
  (void)kill(pid_, SIGKILL);
  (void)waitpid(pid_, nullptr, 0);
  drain_.join();
  (void)close(log_);
}

}  // namespace slacker::testing
