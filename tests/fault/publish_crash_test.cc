// SIGKILL at every failpoint that a publication passes; then the store is opened again. Invariants:
// what is visible is complete; publishing again succeeds; everything published is sound.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <sstream>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "backend/publish/verifier.h"
#include "backend/store/store.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using ::testing::IsEmpty;

class PublishCrashTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<testing::ImageLayer> layers;
    for (uint64_t i = 1; i <= 2; ++i) {
      layers.push_back(
          testing::GzipLayer(testing::TarBuilder()
                                 .File("file" + std::to_string(i), testing::RandomBytes(150'000, i))
                                 .End()));
    }
    layout_.AddImage(layers, "v1");
  }

  // Runs slackerctl publish with one more variable in its environment; its wait status.
  int Publish(const std::string& store, const std::string& variable) {
    std::vector<std::string> arguments = {
        SLACKERCTL,         "publish",     "oci:" + layout_.directory() + ":v1",
        "--platform",       "linux/amd64", "--store",
        "loopback:" + store};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    std::string environment = variable;
    char* envp[] = {environment.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
      posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_WRONLY, 0);
    }
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp), 0);
    posix_spawn_file_actions_destroy(&actions);
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
  }

  void ExpectSound(const std::string& path) {
    auto opened = LoopbackBackend::Open(path, LoopbackBackend::Missing::kCreate);
    ASSERT_OK(opened);
    const std::shared_ptr<Backend> store = *std::move(opened);
    ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store));
    for (const Damage& damage : report.damages) ADD_FAILURE() << damage.object << damage.what;
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
};

TEST_F(PublishCrashTest, WhateverStepItDiesAtTheStoreStaysSound) {
  const std::string trace = dir_ / "trace";
  ASSERT_EQ(Publish(dir_ / "whole", "SLACKER_FAILPOINT_TRACE=" + trace), 0);
  std::map<std::string, int> passages;
  std::istringstream lines(testing::ReadFileOrDie(trace));
  for (std::string name; std::getline(lines, name);) ++passages[name];
  for (const char* name : {"publish.layer_opened", "publish.layer_read", "publish.layer_added",
                           "publish.before_manifests", "publish.after_manifest", "publish.done"}) {
    EXPECT_GT(passages[name], 0) << name;
  }
  for (const auto& [name, count] : passages) {
    for (int n = 1; n <= count; ++n) {
      const std::string point = name + ":" + std::to_string(n);
      SCOPED_TRACE(point);
      const std::string store = dir_ / "store-" + point;
      const int status = Publish(store, "SLACKER_FAILPOINT=" + point);
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      ExpectSound(store);
      ASSERT_EQ(Publish(store, "X=1"), 0);
      ExpectSound(store);
      auto opened = LoopbackBackend::Open(store, LoopbackBackend::Missing::kFail);
      ASSERT_OK(opened);
      EXPECT_EQ((*opened)->List("manifests/")->size(), 2u);
      EXPECT_EQ(ListImages(**opened)->size(), 1u);
      std::filesystem::remove_all(store);
    }
  }
}

}  // namespace
}  // namespace slacker
