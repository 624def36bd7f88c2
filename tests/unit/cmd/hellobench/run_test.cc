#include "cmd/hellobench/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/cmd/hellobench/fake_cri.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::IsOk;
using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RunTest : public ::testing::Test {
 protected:
  RunTest() {
    options_.image = "registry/image:tag";
    options_.command = {"echo", "hello"};
    options_.log_directory = dir_.path();
    cri_.SetContainer("t stdout F hello\n", true, 0);
  }

  TempDir dir_;
  FakeCri cri_{dir_ / "s"};
  CriClient client_{dir_ / "s", std::chrono::seconds(30)};
  RunOptions options_;
};

TEST_F(RunTest, EndedContainerYieldsOutputAndCodeAndLeavesNothing) {
  cri_.SetContainer("t stdout F hello\n", true, 3);
  const auto result = RunOnce(client_, options_);
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->output, "hello\n");
  EXPECT_TRUE(result->exited);
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->image_id, "pulled:registry/image:tag");
  EXPECT_GT(result->first_output_ms, 0);
  EXPECT_GT(result->ready_ms, 0);
  EXPECT_THAT(cri_.calls(),
              ElementsAre("RunPodSandbox", "PullImage", "CreateContainer", "StartContainer",
                          "StopContainer", "StopPodSandbox", "RemovePodSandbox"));
}

TEST_F(RunTest, ContainerIsMadeFromThePulledImageOnTheHostsNetwork) {
  ASSERT_THAT(RunOnce(client_, options_), IsOk());
  const runtime::v1::CreateContainerRequest request = cri_.created();
  EXPECT_EQ(request.pod_sandbox_id(), "sandbox");
  EXPECT_EQ(request.config().image().image(), "pulled:registry/image:tag");
  EXPECT_THAT(request.config().command(), ElementsAre("echo", "hello"));
  EXPECT_EQ(request.sandbox_config().linux().security_context().namespace_options().network(),
            runtime::v1::NODE);
}

TEST_F(RunTest, PresentImageIsNotPulledAgain) {
  cri_.AddImage(options_.image);
  options_.pull_if_missing = true;
  const auto result = RunOnce(client_, options_);
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->image_id, options_.image);
  EXPECT_THAT(cri_.calls(), ::testing::Not(::testing::Contains("PullImage")));
}

TEST_F(RunTest, MissingImageIsPulled) {
  options_.pull_if_missing = true;
  ASSERT_THAT(RunOnce(client_, options_), IsOk());
  EXPECT_THAT(cri_.calls(), ::testing::Contains("PullImage"));
}

TEST_F(RunTest, AwaitedOutputEndsTheRunOfARunningContainer) {
  cri_.SetContainer("t stdout F starting\nt stderr F ready to serve\n", false, 0);
  options_.wait_output = "ready";
  const auto result = RunOnce(client_, options_);
  ASSERT_THAT(result, IsOk());
  EXPECT_FALSE(result->exited);
  EXPECT_THAT(cri_.calls(), ::testing::Contains("StopContainer"));
}

TEST_F(RunTest, AnyOutputEndsTheRunWhenAskedTo) {
  cri_.SetContainer("t stdout F starting\n", false, 0);
  options_.first_output = true;
  EXPECT_THAT(RunOnce(client_, options_), IsOk());
}

TEST_F(RunTest, EndWithoutTheAwaitedOutputIsAnErrorThatShowsTheOutput) {
  options_.wait_output = "never";
  const auto result = RunOnce(client_, options_);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("hello"));
}

TEST_F(RunTest, ContainerThatNeverGetsThereIsADeadline) {
  cri_.SetContainer("", false, 0);
  options_.timeout = std::chrono::milliseconds(0);
  EXPECT_THAT(RunOnce(client_, options_), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(RunTest, KeptContainerIsLeftAlone) {
  options_.keep = true;
  ASSERT_THAT(RunOnce(client_, options_), IsOk());
  EXPECT_EQ(cri_.calls().back(), "StartContainer");
}

TEST_F(RunTest, FailedSandboxLeavesNothingToRemove) {
  cri_.FailCall("RunPodSandbox", grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(RunOnce(client_, options_), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(cri_.calls(), ElementsAre("RunPodSandbox"));
}

// Every later call that can fail: the status comes through, and the sandbox is removed all the
// same.
class RunFailureTest : public RunTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(RunFailureTest, SandboxIsRemovedEvenIfItWasToBeKept) {
  cri_.FailCall(GetParam(), grpc::StatusCode::NOT_FOUND);
  options_.keep = true;
  EXPECT_THAT(RunOnce(client_, options_), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(cri_.calls().back(), "RemovePodSandbox");
}

INSTANTIATE_TEST_SUITE_P(Calls, RunFailureTest,
                         ::testing::Values("PullImage", "CreateContainer", "StartContainer",
                                           "ContainerStatus"),
                         [](const auto& call) { return call.param; });

TEST_F(RunTest, NobodyListeningIsUnavailable) {
  CriClient client(dir_ / "nobody", std::chrono::seconds(30));
  EXPECT_THAT(RunOnce(client, options_), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(cri_.calls(), IsEmpty());
}

TEST_F(RunTest, JsonHoldsOutputThatIsNotUtf8) {
  RunResult result;
  result.output = "caf\xe9\n";
  result.pull_ms = 1.5;
  const nlohmann::json json = nlohmann::json::parse(ToJson(options_, result));
  EXPECT_EQ(json["pull_ms"], 1.5);
  EXPECT_EQ(json["image"], options_.image);
  EXPECT_EQ(json["output"], "caf\xef\xbf\xbd\n");
}

}  // namespace
}  // namespace slacker::hellobench
