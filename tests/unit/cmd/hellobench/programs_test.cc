// Real programs, in this process's own namespaces.
#include "cmd/hellobench/site/programs.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;

constexpr auto kCancelled = absl::StatusCode::kCancelled;

class ProgramsTest : public ::testing::Test {
 protected:
  void Start(const std::string& script) {
    ASSERT_OK_AND_ASSIGN(daemon_, programs_->Start({.words = {"sh", "-c", script}}, dir_ / "log"));
  }
  absl::Status Wait(std::chrono::seconds limit, const std::function<bool()>& condition) {
    return Await(*programs_, *daemon_, "the daemon", "listen", limit, condition);
  }

  TempDir dir_;
  std::atomic<bool> interrupted_ = false;
  const std::unique_ptr<Programs> programs_ = OpenPrograms({}, &interrupted_);
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(ProgramsTest, ADaemonIsWaitedForUntilTheConditionHolds) {
  ASSERT_NO_FATAL_FAILURE(Start("exec sleep 1000"));
  int looks = 0;
  EXPECT_OK(Wait(std::chrono::hours(1), [&looks] { return ++looks == 3; }));
}

TEST_F(ProgramsTest, ADaemonThatEndsFirstIsQuoted) {
  ASSERT_NO_FATAL_FAILURE(Start("echo its last words"));
  const absl::Status waited = Wait(std::chrono::hours(1), [] { return false; });
  EXPECT_THAT(waited, StatusIs(absl::StatusCode::kUnavailable, "its last words"));
}

TEST_F(ProgramsTest, ADaemonThatDoesNotGetThereIsLate) {
  ASSERT_NO_FATAL_FAILURE(Start("exec sleep 1000"));
  EXPECT_THAT(Wait(std::chrono::seconds(0), [] { return false; }),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "does not listen within 0 s"));
}

TEST_F(ProgramsTest, AnInterruptEndsTheWaitForADaemon) {
  ASSERT_NO_FATAL_FAILURE(Start("exec sleep 1000"));
  EXPECT_THAT(Wait(std::chrono::hours(1),
                   [this] {
                     interrupted_ = true;
                     return false;
                   }),
              StatusIs(kCancelled));
}

TEST_F(ProgramsTest, AfterAnInterruptOnlyWhatCleansUpIsRun) {
  interrupted_ = true;
  const std::string made = dir_ / "made";
  EXPECT_THAT(programs_->Run({.words = {"mkdir", made}}), StatusIs(kCancelled));
  EXPECT_FALSE(std::filesystem::exists(made));
  EXPECT_OK(programs_->Run({.words = {"mkdir", made}, .clean_up = true}));
  EXPECT_TRUE(std::filesystem::exists(made));
}

TEST_F(ProgramsTest, AProgramThatFailsIsQuotedWithItsCode) {
  const auto ran = programs_->Run({.words = {"sh", "-c", "echo one; echo two >&2; exit 3"}});
  EXPECT_THAT(ran, StatusIs(absl::StatusCode::kInternal, "exit code 3: one\ntwo"));
  EXPECT_THAT(programs_->Run({.words = {"no-such-program"}}),
              StatusIs(absl::StatusCode::kNotFound, "no program no-such-program"));
}

}  // namespace
}  // namespace slacker::hellobench
