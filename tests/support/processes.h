// Other programs in tests: started, talked to by lines, killed and reaped.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "tests/support/erofs_sample.h"

namespace slacker::testing {

// PIDs of processes whose arguments, each followed by a NUL and the first preceded by one, contain
// `text`.
inline std::vector<pid_t> ProcessesWithText(const std::string& text) {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string arguments = ReadWholeFile(entry.path() / "cmdline");
    if ((std::string(1, '\0') + arguments).find(text) != std::string::npos) {
      found.push_back(std::stoi(name));
    }
  }
  return found;
}

// PIDs of processes that have `argument` among their arguments.
inline std::vector<pid_t> ProcessesWith(const std::string& argument) {
  return ProcessesWithText(std::string(1, '\0') + argument + std::string(1, '\0'));
}

// PIDs of processes that have a path below `directory` among their arguments.
inline std::vector<pid_t> ProcessesBelow(const std::string& directory) {
  return ProcessesWithText(std::string(1, '\0') + directory + "/");
}

// Kills a child, and holds it back by a tracer, this thread, at the beginning of its exit: a process may stay for
// long in the kernel, with everything open.
inline void KillAndHold(pid_t child) {
  ASSERT_EQ(ptrace(PTRACE_SEIZE, child, nullptr, PTRACE_O_TRACEEXIT), 0);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, __WALL), child);
  ASSERT_TRUE(WIFSTOPPED(status));
}
// Lets it go on; it is to be waited for.
inline void LetGo(pid_t child) { ASSERT_EQ(ptrace(PTRACE_DETACH, child, nullptr, nullptr), 0); }

// A child process with pipes at its standard input and output. Killed when destroyed.
class LineProcess {
 public:
  LineProcess(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
    int to_child[2], from_child[2];
    EXPECT_EQ(pipe2(to_child, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(from_child, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to_child[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from_child[1], 1);
    std::vector<char*> argv, envp;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    for (std::string& variable : environment) envp.push_back(variable.data());
    for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to_child[0]);
    close(from_child[1]);
    in_.Reset(to_child[1]);
    out_ = fdopen(from_child[0], "r");
  }
  ~LineProcess() {
    Kill();
    (void)fclose(out_);
  }
  LineProcess(const LineProcess&) = delete;
  LineProcess& operator=(const LineProcess&) = delete;

  // The next line of its output; empty at the end.
  std::string Line() {
    char text[512] = {};
    if (fgets(text, sizeof text, out_) == nullptr) return "";
    std::string line = text;
    if (line.ends_with('\n')) line.pop_back();
    return line;
  }
  void Say(const std::string& command) {
    const std::string line = command + "\n";
    (void)!write(in_.get(), line.data(), line.size());
  }
  // SIGKILL, and waits until it is gone. Returns the wait status.
  int Kill() {
    if (pid_ > 0) (void)kill(pid_, SIGKILL);
    return Wait();
  }
  int Wait() {
    if (pid_ > 0) {
      (void)waitpid(pid_, &status_, 0);
      pid_ = 0;
    }
    return status_;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  int status_ = 0;
  UniqueFd in_;
  FILE* out_ = nullptr;
};

}  // namespace slacker::testing
