// Servers that attach a sample tree and are killed (takeover_server), their keepers, and readers of
// the tree: this process, which serves nothing.
#pragma once

#include <gmock/gmock.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/processes.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

inline constexpr int kFewFiles = 8;
// The keeper's. Longer than any test: servers that are killed before they answer anybody count as none
// to it, and a test that kills one after the other may take its time.
inline constexpr int kNoDeadlineSeconds = 3600;

class TakeoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(root_);
    std::filesystem::create_directories(tree_);
  }
  void TearDown() override {
    // Nothing of a failed test may hang in the kernel: without keeper and server reads fail.
    if (HasFailure()) KillKeeper();
  }

  std::unique_ptr<LineProcess> Start(const ErofsSample& sample, long hold = 1'000'000'000,
                                     int deadline = kNoDeadlineSeconds,
                                     const std::string& failpoint = "",
                                     const std::string& trace = "") {
    std::vector<std::string> environment;
    if (!failpoint.empty()) environment.push_back("SLACKER_FAILPOINT=" + failpoint);
    if (!trace.empty()) environment.push_back("SLACKER_FAILPOINT_TRACE=" + trace);
    held_ = false;
    return std::make_unique<LineProcess>(
        std::vector<std::string>{SERVER_PATH, root_, run_dir_, keeper_, HELPER_PATH,
                                 std::to_string(deadline), sample.blob, sample.metadata, tree_,
                                 std::to_string(hold)},
        environment);
  }
  std::unique_ptr<LineProcess> StartReady(const ErofsSample& sample, bool adopted,
                                          long hold = 1'000'000'000,
                                          int deadline = kNoDeadlineSeconds) {
    auto server = Start(sample, hold, deadline);
    EXPECT_EQ(Next(server.get()), "connected");
    EXPECT_EQ(Next(server.get()), std::string("ready adopted=") + (adopted ? "1" : "0"));
    return server;
  }
  // The server's next line but "holding", which comes whenever readers make it come.
  std::string Next(LineProcess* server) {
    std::string line = server->Line();
    if (line != "holding") return line;
    held_ = true;
    return server->Line();
  }
  bool WaitUntilHolding(LineProcess* server) { return held_ || server->Line() == "holding"; }

  // Ends everything in the orderly way.
  void Finish(LineProcess* server) {
    server->Say("detach");
    EXPECT_EQ(server->Line(), "detach");
    EXPECT_TRUE(Eventually([&] {
      server->Say("bye");
      return server->Line() == "bye";
    }));
    server->Kill();
    EXPECT_TRUE(Eventually([this] { return Keepers().empty(); }));
  }
  std::vector<pid_t> Keepers() { return ProcessesWith(run_dir_ + "/keeper.sock"); }
  void KillKeeper() {
    for (const pid_t pid : Keepers()) (void)kill(pid, SIGKILL);
  }
  // For a server that ends itself on its way, or not: kills it when it is ready, and expects that its
  // successor can attach and serve.
  void KillAndExpectASuccessor(const ErofsSample& sample, std::unique_ptr<LineProcess> server) {
    std::string line;
    do {
      line = server->Line();
    } while (!line.empty() && !line.starts_with("ready"));
    ExpectASuccessor(sample, std::move(server));
  }
  // The same for a server that may be anywhere.
  void ExpectASuccessor(const ErofsSample& sample, std::unique_ptr<LineProcess> server) {
    server->Kill();
    server = Start(sample);
    ASSERT_EQ(server->Line(), "connected");
    ASSERT_THAT(server->Line(), ::testing::StartsWith("ready adopted="));
    EXPECT_EQ(CountWrong(sample, kFewFiles), 0);
    Finish(server.get());
  }
  // Reads every file and compares; the number of files that came out otherwise.
  int CountWrong(const ErofsSample& sample, int files) { return CountWrong(sample, files, tree_); }
  static int CountWrong(const ErofsSample& sample, int files, const std::string& tree) {
    int wrong = 0;
    for (int i = 0; i < files; ++i) {
      if (ReadWholeFile(tree + "/f" + std::to_string(i)) != sample.Content(i)) ++wrong;
    }
    return wrong;
  }

  TempDir directory_;
  KernelLeakCheck leaks_{directory_.path()};
  const std::string root_ = directory_ / "root";
  const std::string run_dir_ = directory_ / "run";
  const std::string tree_ = directory_ / "tree";
  std::string keeper_ = KEEPER_PATH;  // of the servers that are started from now on
  bool held_ = false;                 // the newest server has said so
};

// Readers that go through the files of a sample, each file once.
class Readers {
 public:
  Readers(const ErofsSample& sample, const std::string& tree, int files, int threads) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, &sample, tree, files] {
        for (int file = 0; (file = next_++) < files;) {
          const std::string content = ReadWholeFile(tree + "/f" + std::to_string(file));
          if (content == sample.Content(file)) {
            ++right_;
          } else if (content == "unreadable") {
            ++failed_;
          } else {
            ++wrong_;
          }
        }
      });
    }
  }
  ~Readers() { Join(); }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  int right() const { return right_; }
  int wrong() const { return wrong_; }
  int failed() const { return failed_; }

 private:
  std::atomic<int> next_{0}, right_{0}, wrong_{0}, failed_{0};
  std::vector<std::thread> threads_;
};

}  // namespace slacker::testing
