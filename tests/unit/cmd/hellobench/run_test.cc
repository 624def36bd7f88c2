#include "cmd/hellobench/run/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/cmd/hellobench/fake_cri.h"
#include "tests/unit/cmd/hellobench/local_server.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::IsOk;
using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;
constexpr auto kLate = absl::StatusCode::kDeadlineExceeded;

class RunTest : public ::testing::Test {
 protected:
  RunTest() {
    fs::create_directory(dir_ / "tmp");
    (void)setenv("TMPDIR", (dir_ / "tmp").c_str(), 1);
    task_.image = "registry/image:tag";
    task_.arguments = {"echo", "hello"};
    cri_.SetContainer("t stdout F hello\n", true, 0);
  }
  ~RunTest() override { (void)unsetenv("TMPDIR"); }

  absl::Status RunIt() { return RunOnce(client_, task_, options_, &result_); }
  bool NothingLeft() const { return fs::is_empty(dir_ / "tmp"); }

  TempDir dir_;
  FakeCri cri_{dir_ / "s"};
  CriClient client_{dir_ / "s", std::chrono::seconds(30)};
  Task task_;
  RunOptions options_;
  RunResult result_;
};

TEST_F(RunTest, EveryPhaseIsTimedAndNothingIsLeft) {
  ASSERT_OK(RunIt());
  EXPECT_EQ(result_.output, "hello\n");
  EXPECT_TRUE(result_.exited);
  EXPECT_EQ(result_.image_id, "pulled:registry/image:tag");
  EXPECT_GT(result_.sandbox_ms, 0);
  EXPECT_GT(result_.pull_ms, 0);
  EXPECT_GT(result_.create_ms, 0);
  EXPECT_GT(result_.first_output_ms, 0);
  EXPECT_GE(result_.ready_ms, result_.start_ms);
  EXPECT_GE(result_.total_ms, result_.pull_ms + result_.create_ms + result_.ready_ms);
  EXPECT_THAT(cri_.calls(), ElementsAre("RunPodSandbox", "PullImage", "CreateContainer",
                                        "StartContainer", "StopPodSandbox", "RemovePodSandbox"));
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, ContainerIsMadeFromThePulledImageAsTheTaskSays) {
  task_.command = {"/entry"};
  task_.environment = {{"A", "b"}, {"C", ""}};
  ASSERT_OK(RunIt());
  const runtime::v1::CreateContainerRequest request = cri_.created();
  EXPECT_EQ(request.pod_sandbox_id(), "sandbox");
  EXPECT_EQ(request.config().image().image(), "pulled:registry/image:tag");
  EXPECT_THAT(request.config().command(), ElementsAre("/entry"));
  EXPECT_THAT(request.config().args(), ElementsAre("echo", "hello"));
  ASSERT_EQ(request.config().envs_size(), 2);
  EXPECT_EQ(request.config().envs(0).key(), "A");
  EXPECT_EQ(request.config().envs(0).value(), "b");
  EXPECT_EQ(request.sandbox_config().linux().security_context().namespace_options().network(),
            runtime::v1::NODE);
}

TEST_F(RunTest, MountsAreCopiesThatAnybodyMayWriteTo) {
  fs::create_directories(dir_ / "src/deep");
  std::ofstream(dir_ / "src/deep/main.c") << "source";
  task_.mounts = {{"/src", dir_ / "src"}};
  std::string seen;
  cri_.OnStart([&](const runtime::v1::CreateContainerRequest& request) {
    ASSERT_EQ(request.config().mounts_size(), 1);
    EXPECT_EQ(request.config().mounts(0).container_path(), "/src");
    const fs::path place = request.config().mounts(0).host_path();
    std::ifstream(place / "deep/main.c") >> seen;
    EXPECT_NE(fs::status(place / "deep").permissions() & fs::perms::others_write, fs::perms::none);
    std::ofstream(place / "a.out") << "made";
  });
  ASSERT_OK(RunIt());
  EXPECT_EQ(seen, "source");
  EXPECT_FALSE(fs::exists(dir_ / "src/a.out"));
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, AFolderThatIsNotThereIsAnErrorBeforeAnythingIsMade) {
  task_.mounts = {{"/src", dir_ / "none"}};
  EXPECT_FALSE(RunIt().ok());
  EXPECT_THAT(cri_.calls(), IsEmpty());
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, PresentImageIsNotPulledAgain) {
  cri_.AddImage(task_.image);
  options_.pull_if_missing = true;
  ASSERT_OK(RunIt());
  EXPECT_EQ(result_.image_id, task_.image);
  EXPECT_THAT(cri_.calls(), Not(Contains("PullImage")));
}

TEST_F(RunTest, MissingImageIsPulled) {
  options_.pull_if_missing = true;
  ASSERT_OK(RunIt());
  EXPECT_THAT(cri_.calls(), Contains("PullImage"));
}

// The conditions, each reached and missed.

TEST_F(RunTest, AnotherExitCodeIsAFailureThatShowsTheOutput) {
  cri_.SetContainer("t stderr F no such file\n", true, 3);
  const absl::Status ran = RunIt();
  EXPECT_THAT(ran, StatusIs(kFailed, "ended with code 3 (Completed)"));
  EXPECT_THAT(Message(ran), HasSubstr("no such file"));
  EXPECT_EQ(result_.exit_code, 3);
  EXPECT_EQ(result_.output, "no such file\n");
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, AnyExitCodeIsReportedWhereItMayBeAny) {
  cri_.SetContainer("", true, 3);
  task_.ready = ReadyExit{.any_code = true};
  ASSERT_OK(RunIt());
  EXPECT_EQ(result_.exit_code, 3);
}

TEST_F(RunTest, AnEndIsWhenTheRuntimeNotedItHoweverLateItIsAskedFor) {
  const auto before = std::chrono::steady_clock::now();
  cri_.SetFinished(std::chrono::system_clock::now() - std::chrono::hours(1));
  ASSERT_OK(RunIt());
  EXPECT_EQ(result_.ready_ms, result_.start_ms) << "never before it was started";
  EXPECT_LE(result_.first_output_ms, result_.ready_ms);
  EXPECT_GE(result_.total_ms, result_.pull_ms + result_.create_ms + result_.ready_ms);
  cri_.SetFinished(std::chrono::system_clock::now() + std::chrono::hours(1));
  ASSERT_OK(RunIt());
  const std::chrono::duration<double, std::milli> all = std::chrono::steady_clock::now() - before;
  EXPECT_LT(result_.ready_ms, all.count()) << "never later than now";
}

TEST_F(RunTest, ContainerThatDoesNotEndIsLate) {
  cri_.SetContainer("t stdout F working\n", false, 0);
  task_.time_limit_seconds = 0;
  const absl::Status ran = RunIt();
  EXPECT_THAT(ran, StatusIs(kLate, "not ready within 0 s"));
  EXPECT_THAT(Message(ran), HasSubstr("working"));
  EXPECT_EQ(cri_.calls().back(), "RemovePodSandbox");
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, LineEndsTheRunOfARunningContainer) {
  cri_.SetContainer("t stdout F starting\nt stderr P ready to \nt stderr F serve\n", false, 0);
  task_.ready = ReadyLine{"ready to serve"};
  ASSERT_OK(RunIt());
  EXPECT_FALSE(result_.exited);
  EXPECT_EQ(cri_.calls().back(), "RemovePodSandbox");
}

TEST_F(RunTest, EndWithoutTheLineIsAFailureAtOnce) {
  task_.ready = ReadyLine{"never"};
  const absl::Status ran = RunIt();
  EXPECT_THAT(ran, StatusIs(kFailed, "ended with code 0 (Completed) before it was ready"));
  EXPECT_THAT(Message(ran), HasSubstr("hello"));
}

TEST_F(RunTest, LineThatNeverComesIsLate) {
  cri_.SetContainer("t stdout F nearly\n", false, 0);
  task_.ready = ReadyLine{"ready"};
  task_.time_limit_seconds = 0;
  EXPECT_THAT(RunIt(), StatusIs(kLate));
}

TEST_F(RunTest, AnyOutputEndsTheRunWhereTheTextIsEmpty) {
  cri_.SetContainer("t stdout F starting\n", false, 0);
  task_.ready = ReadyLine();
  EXPECT_OK(RunIt());
  cri_.SetContainer("", true, 0);
  EXPECT_OK(RunIt());
}

TEST_F(RunTest, HttpReplyEndsTheRun) {
  const uint16_t port = FreePort();
  std::unique_ptr<LocalServer> server;
  cri_.SetContainer("", false, 0);
  cri_.OnStart([&](const auto&) {
    server = std::make_unique<LocalServer>("HTTP/1.1 404 Not Found\r\n\r\n", port);
  });
  task_.ready = ReadyPort{port};
  ASSERT_OK(RunIt());
  EXPECT_GT(result_.ready_ms, 0);
}

TEST_F(RunTest, PortThatNeverOpensIsLate) {
  cri_.SetContainer("", false, 0);
  task_.ready = ReadyPort{FreePort()};
  task_.time_limit_seconds = 0;
  EXPECT_THAT(RunIt(), StatusIs(kLate, "it wrote nothing"));
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, EndBeforeThePortOpensIsAFailureAtOnce) {
  task_.ready = ReadyPort{FreePort()};
  EXPECT_THAT(RunIt(), StatusIs(kFailed, "before it was ready"));
}

TEST_F(RunTest, PortOfSomebodyElseIsAFailureBeforeAnythingIsMade) {
  const LocalServer other("HTTP/1.1 200 OK\r\n\r\n");
  task_.ready = ReadyPort{other.port()};
  EXPECT_THAT(RunIt(), StatusIs(kFailed, "is in use"));
  EXPECT_THAT(cri_.calls(), IsEmpty());
  EXPECT_TRUE(NothingLeft());
}

// Ends of other kinds.

TEST_F(RunTest, InterruptedRunIsRemoved) {
  cri_.SetContainer("", false, 0);
  std::atomic<bool> interrupted = false;
  options_.interrupted = &interrupted;
  cri_.OnStart([&](const auto&) { interrupted = true; });
  EXPECT_THAT(RunIt(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(cri_.calls().back(), "RemovePodSandbox");
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, AfterAnInterruptNothingIsBegun) {
  const std::atomic<bool> interrupted = true;
  options_.interrupted = &interrupted;
  EXPECT_THAT(RunIt(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(cri_.calls(), IsEmpty());
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, AfterAnInterruptASandboxIsOnlyRemoved) {
  std::atomic<bool> interrupted = false;
  options_.interrupted = &interrupted;
  options_.before_pull = [&interrupted] {
    interrupted = true;
    return absl::OkStatus();
  };
  EXPECT_THAT(RunIt(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(cri_.calls(), ElementsAre("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox"));
}

// A call that may take long: it is given up, and what was made is removed.
class InterruptedCallTest : public RunTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(InterruptedCallTest, IsGivenUp) {
  std::atomic<bool> interrupted = false;
  options_.interrupted = &interrupted;
  // Without limits that anybody would wait for.
  CriClient client(dir_ / "s", std::chrono::hours(1), &interrupted);
  cri_.HoldCall(GetParam(), [&interrupted] { interrupted = true; });
  EXPECT_THAT(RunOnce(client, task_, options_, &result_),
              StatusIs(absl::StatusCode::kCancelled, "interrupted"));
  EXPECT_EQ(cri_.calls().back(), "RemovePodSandbox");
  EXPECT_TRUE(NothingLeft());
}

INSTANTIATE_TEST_SUITE_P(Calls, InterruptedCallTest,
                         ::testing::Values("PullImage", "StartContainer"),
                         [](const auto& call) { return call.param; });

TEST_F(RunTest, KeptContainerIsLeftWithItsLog) {
  options_.keep = true;
  ASSERT_OK(RunIt());
  EXPECT_EQ(cri_.calls().back(), "StartContainer");
  EXPECT_TRUE(fs::exists(result_.log_path));
}

TEST_F(RunTest, FailedSandboxLeavesNothingToRemove) {
  cri_.FailCall("RunPodSandbox", grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(RunIt(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(cri_.calls(), ElementsAre("RunPodSandbox"));
  EXPECT_TRUE(NothingLeft());
}

// Every later call that can fail: the status comes through, and all is removed.
class RunFailureTest : public RunTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(RunFailureTest, EverythingIsRemovedEvenIfItWasToBeKept) {
  cri_.FailCall(GetParam(), grpc::StatusCode::NOT_FOUND);
  options_.keep = true;
  EXPECT_THAT(RunIt(), StatusIs(absl::StatusCode::kNotFound, GetParam()));
  EXPECT_EQ(cri_.calls().back(), "RemovePodSandbox");
  EXPECT_TRUE(NothingLeft());
}

INSTANTIATE_TEST_SUITE_P(Calls, RunFailureTest,
                         ::testing::Values("PullImage", "CreateContainer", "StartContainer",
                                           "ContainerStatus"),
                         [](const auto& call) { return call.param; });

TEST_F(RunTest, RemovalIsAskedForAgainWhereTheContainerEndedMeanwhile) {
  cri_.FailCall("StopPodSandbox", grpc::StatusCode::UNKNOWN, 2);
  ASSERT_OK(RunIt());
  EXPECT_EQ(cri_.calls().back(), "RemovePodSandbox");
}

TEST_F(RunTest, WhatCannotBeRemovedIsAnErrorBesideTheFirstOne) {
  cri_.FailCall("RemovePodSandbox", grpc::StatusCode::INTERNAL);
  EXPECT_THAT(RunIt(), StatusIs(absl::StatusCode::kInternal, "remove sandbox sandbox"));
  cri_.FailCall("PullImage", grpc::StatusCode::NOT_FOUND);
  const absl::Status ran = RunIt();
  EXPECT_THAT(ran, StatusIs(absl::StatusCode::kNotFound, "remove sandbox sandbox"));
  EXPECT_THAT(Message(ran), HasSubstr("PullImage"));
  EXPECT_TRUE(NothingLeft());
}

TEST_F(RunTest, NobodyListeningIsUnavailable) {
  CriClient client(dir_ / "nobody", std::chrono::seconds(30));
  EXPECT_THAT(RunOnce(client, task_, options_, &result_), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(cri_.calls(), IsEmpty());
}

// What is printed.

TEST_F(RunTest, JsonHoldsOutputThatIsNotUtf8) {
  result_.output = "caf\xe9\n";
  result_.pull_ms = 1.5;
  const nlohmann::json json =
      nlohmann::json::parse(ToJson("name", task_, absl::OkStatus(), result_));
  EXPECT_EQ(json["name"], "name");
  EXPECT_EQ(json["pull_ms"], 1.5);
  EXPECT_EQ(json["image"], task_.image);
  EXPECT_EQ(json["output"], "caf\xef\xbf\xbd\n");
  EXPECT_FALSE(json.contains("error"));
}

TEST_F(RunTest, FailureIsInJsonAndText) {
  const absl::Status failed = FailedPrecondition("why");
  const nlohmann::json json = nlohmann::json::parse(ToJson("", task_, failed, result_));
  EXPECT_EQ(json["error"], "why");
  EXPECT_FALSE(json.contains("name"));
  EXPECT_EQ(ToText("name", failed, result_), "name: failed: why");
}

TEST_F(RunTest, TextHasThePhases) {
  result_.pull_ms = 1;
  result_.create_ms = 2;
  result_.ready_ms = 3;
  result_.total_ms = 6.4;
  EXPECT_EQ(ToText("name", absl::OkStatus(), result_),
            "name: pull 1 ms, create 2 ms, ready 3 ms after the start, 6 ms in all");
}

}  // namespace
}  // namespace slacker::hellobench
