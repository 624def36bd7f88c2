#include "snapshotter/faults/store_outage.h"

#include <gtest/gtest.h>

#include <vector>

#include "backend/base/status.h"
#include "tests/support/fake_clock.h"

namespace slacker {
namespace {

using std::chrono::seconds;

class StoreOutageTest : public ::testing::Test {
 protected:
  testing::FakeClock clock_;
  StoreOutage outage_{&clock_};
};

TEST_F(StoreOutageTest, AnswersOfAnyKindAreNoOutage) {
  for (const absl::Status& answer : {absl::OkStatus(), NotFound("x"), DataLoss("x")}) {
    outage_.Note(answer, clock_.Monotonic());
    EXPECT_FALSE(outage_.Describe().silent) << answer;
  }
  EXPECT_EQ(outage_.Describe().outages, 0U);
}

TEST_F(StoreOutageTest, ItLastsFromTheFirstFailureToTheNextAnswer) {
  const auto began = clock_.Monotonic();
  outage_.Note(Unavailable("first"), began);
  clock_.Advance(seconds(5));
  outage_.Note(Unavailable("second"), clock_.Monotonic());
  outage_.NoteGivenUp(Unavailable("late"), 3);
  StoreOutage::Report report = outage_.Describe();
  EXPECT_TRUE(report.silent);
  EXPECT_EQ(report.since, began);
  EXPECT_EQ(report.unanswered, 3U);
  EXPECT_EQ(report.given_up, 3U);
  EXPECT_EQ(report.error, "late");
  clock_.Advance(seconds(1));
  outage_.Note(absl::OkStatus(), clock_.Monotonic());
  EXPECT_FALSE(outage_.Describe().silent);

  outage_.Note(Unavailable("again"), clock_.Monotonic());
  report = outage_.Describe();
  EXPECT_EQ(report.outages, 2U);
  EXPECT_EQ(report.unanswered, 1U) << "of this one";
  EXPECT_EQ(report.given_up, 0U);
}

TEST_F(StoreOutageTest, AnAnswerToAnEarlierQuestionDoesNotEndIt) {
  const auto early = clock_.Monotonic();
  clock_.Advance(seconds(1));
  outage_.Note(Unavailable("down"), clock_.Monotonic());
  outage_.Note(absl::OkStatus(), early);
  EXPECT_TRUE(outage_.Describe().silent);
  clock_.Advance(seconds(1));
  outage_.Note(absl::OkStatus(), clock_.Monotonic());
  EXPECT_FALSE(outage_.Describe().silent);
}

TEST_F(StoreOutageTest, AStoreThatHangsIsSeenLongBeforeAnybodyGivesUp) {
  StoreOutage::Question question = outage_.Ask();
  clock_.Advance(StoreOutage::kSilence - seconds(1));
  outage_.Look();
  EXPECT_FALSE(outage_.Describe().silent) << "slow";
  clock_.Advance(seconds(1));
  outage_.Look();
  EXPECT_TRUE(outage_.Describe().silent);
  outage_.Look();
  EXPECT_EQ(outage_.Describe().unanswered, 1U) << "looking is no question";
  clock_.Advance(StoreOutage::kSilence);
  outage_.Look();
  EXPECT_EQ(outage_.Describe().unanswered, 2U);

  outage_.Note(absl::OkStatus(), question.asked());
  EXPECT_FALSE(outage_.Describe().silent) << "any answer shows that it is there";
  question = {};
  clock_.Advance(StoreOutage::kSilence);
  outage_.Look();
  EXPECT_FALSE(outage_.Describe().silent) << "nobody waits";
}

TEST_F(StoreOutageTest, OneQuestionThatIsStuckBesideOthersIsNoOutage) {
  const StoreOutage::Question stuck = outage_.Ask();
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(StoreOutage::kSilence);
    const StoreOutage::Question other = outage_.Ask();
    outage_.Note(absl::OkStatus(), other.asked());
    clock_.Advance(seconds(1));
    outage_.Look();
  }
  EXPECT_EQ(outage_.Describe().outages, 0U);
}

TEST_F(StoreOutageTest, ASlowStoreFromWhichSomethingComesIsNoOutage) {
  std::vector<StoreOutage::Question> questions;
  for (int i = 0; i < 10; ++i) {
    questions.push_back(outage_.Ask());
    clock_.Advance(seconds(1));
  }
  for (const StoreOutage::Question& question : questions) {
    clock_.Advance(StoreOutage::kSilence - seconds(1));
    outage_.Look();
    outage_.Note(absl::OkStatus(), question.asked());
  }
  EXPECT_EQ(outage_.Describe().outages, 1U) << "before the first of them came";
  EXPECT_FALSE(outage_.Describe().silent);
}

TEST_F(StoreOutageTest, AStoreThatHangsIsSeenWhenNobodyWaitsForItAnyMore) {
  outage_.NoteGivenUp(Unavailable("late"), 2);
  EXPECT_TRUE(outage_.Describe().silent);
  EXPECT_EQ(outage_.Describe().given_up, 2U);
}

}  // namespace
}  // namespace slacker
