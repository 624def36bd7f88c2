// Running slackerctl as a process, and looking at the store that it leaves.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "backend/publish/verifier.h"
#include "backend/store/store.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

// Its wait status; `variable`: one more in its environment; `output`: a file for what it says; `usage`:
// what it took.
inline int RunTool(std::vector<std::string> arguments, std::string variable = "X=1",
                   const std::string& output = "/dev/null", rusage* usage = nullptr) {
  arguments.insert(arguments.begin(), SLACKERCTL);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  char* envp[] = {variable.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  EXPECT_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp), 0);
  posix_spawn_file_actions_destroy(&actions);
  int status = -1;
  EXPECT_EQ(wait4(pid, &status, 0, usage), pid);
  return status;
}

// The same with the store of this URL.
inline int RunSlackerctl(std::vector<std::string> arguments, const std::string& url,
                         std::string variable = "X=1", const std::string& output = "/dev/null") {
  arguments.insert(arguments.end(), {"--store", url});
  return RunTool(std::move(arguments), std::move(variable), output);
}

inline std::shared_ptr<Backend> OpenStore(const std::string& path) {
  return LoopbackBackend::Open(path, LoopbackBackend::Missing::kFail).value();
}

inline void ExpectSoundStore(const std::string& path, size_t images) {
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(OpenStore(path)));
  for (const Damage& damage : report.damages) ADD_FAILURE() << damage.object << damage.what;
  EXPECT_EQ(ListImages(*OpenStore(path))->size(), images);
}

// Of the slackerd that listens there.
inline nlohmann::json StatusOf(const std::string& socket) {
  const TempDir directory;
  const std::string output = directory / "status.json";
  EXPECT_EQ(RunTool({"status", "--address", socket, "--json"}, "X=1", output), 0);
  return nlohmann::json::parse(ReadFileOrDie(output), nullptr, false);
}
inline uint64_t CounterOf(const std::string& socket, const std::string& name) {
  return StatusOf(socket)["counters"][name].get<uint64_t>();
}

// As if everything had been written two days ago.
inline void Backdate(const std::string& path) {
  const auto then = std::filesystem::file_time_type::clock::now() - std::chrono::hours(48);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) std::filesystem::last_write_time(entry.path(), then);
  }
}

// The failpoints in a trace, and how often each was passed.
inline std::map<std::string, int> Passages(const std::string& trace) {
  std::map<std::string, int> passages;
  std::istringstream lines(ReadFileOrDie(trace));
  for (std::string name; std::getline(lines, name);) ++passages[name];
  return passages;
}

}  // namespace slacker::testing
