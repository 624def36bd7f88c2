#include "snapshotter/faults/write_outage.h"

#include <gtest/gtest.h>

#include "backend/base/status.h"
#include "tests/support/fake_clock.h"

namespace slacker {
namespace {

using std::chrono::seconds;

class WriteOutageTest : public ::testing::Test {
 protected:
  testing::FakeClock clock_;
  WriteOutage outage_{&clock_};
};

TEST_F(WriteOutageTest, WritesThatSucceedAreNone) {
  outage_.Note(absl::OkStatus(), 1);
  EXPECT_FALSE(outage_.Describe().failing);
  EXPECT_EQ(outage_.failed_writes(), 0U);
}

TEST_F(WriteOutageTest, ItLastsUntilOneSucceedsAndNoneHasFailedForAWhile) {
  const auto began = clock_.Monotonic();
  ::testing::internal::CaptureStderr();
  outage_.Note(ResourceExhausted("full"), 1);
  clock_.Advance(seconds(5));
  outage_.Note(absl::OkStatus(), 1);
  outage_.Note(ResourceExhausted("full again"), 2);
  WriteOutage::Report report = outage_.Describe();
  EXPECT_TRUE(report.failing);
  EXPECT_EQ(report.since, began);
  EXPECT_EQ(report.failed_writes, 2U);
  EXPECT_EQ(report.error, "full again");
  clock_.Advance(WriteOutage::kQuiet - seconds(1));
  outage_.Note(absl::OkStatus(), 1);
  EXPECT_TRUE(outage_.Describe().failing);
  clock_.Advance(seconds(1));
  outage_.Note(absl::OkStatus(), 1);
  EXPECT_FALSE(outage_.Describe().failing);
  outage_.Note(ResourceExhausted("another"), 1);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find(R"("seconds":"15","failed_writes":"2")"), log.npos) << log;
  EXPECT_EQ(log.find("full again"), log.npos) << "only the first has a line: " << log;
  EXPECT_EQ(outage_.Describe().failed_writes, 1U) << "of this one";
  EXPECT_EQ(outage_.failed_writes(), 3U);
}

TEST_F(WriteOutageTest, ItEndsAlsoWhenNobodyWritesAnyMore) {
  outage_.Note(ResourceExhausted("full"), 1);
  clock_.Advance(WriteOutage::kQuiet);
  outage_.Look();
  EXPECT_TRUE(outage_.Describe().failing) << "none has succeeded";
  outage_.Note(ResourceExhausted("full"), 1);
  clock_.Advance(seconds(1));
  outage_.Note(absl::OkStatus(), 1);
  outage_.Look();
  EXPECT_TRUE(outage_.Describe().failing);
  clock_.Advance(WriteOutage::kQuiet);
  outage_.Look();
  EXPECT_FALSE(outage_.Describe().failing);
}

}  // namespace
}  // namespace slacker
