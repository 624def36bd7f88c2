#include "snapshotter/gateway/circuit_breaker.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace slacker {
namespace {

using std::chrono::seconds;
using Change = CircuitBreaker::Change;
using Pass = CircuitBreaker::Pass;
using Size = CircuitBreaker::Size;
using State = CircuitBreaker::State;

class CircuitBreakerTest : public ::testing::Test {
 protected:
  void Open() {
    EXPECT_EQ(Ask(false), Change::kUnchanged);
    EXPECT_EQ(Ask(false), Change::kUnchanged);
    EXPECT_EQ(Ask(false), Change::kOpened);
  }
  Change Ask(bool answered, Size size = Size::kSmall) {
    const Pass pass = breaker_.Admit();
    EXPECT_NE(pass, Pass::kRefused);
    return breaker_.Record(pass, size, answered);
  }

  testing::FakeClock clock_;
  CircuitBreaker breaker_{&clock_, {.failures_to_open = 3, .open_for = seconds(30)}};
};

TEST_F(CircuitBreakerTest, ClosedItAdmitsEveryQuestion) {
  EXPECT_EQ(breaker_.Admit(), Pass::kAdmitted);
  EXPECT_EQ(breaker_.Admit(), Pass::kAdmitted);
  EXPECT_EQ(breaker_.Describe().state, State::kClosed);
}

TEST_F(CircuitBreakerTest, OpenItRefusesAndCounts) {
  Open();
  EXPECT_EQ(breaker_.Admit(), Pass::kRefused);
  EXPECT_EQ(breaker_.Admit(), Pass::kRefused);
  EXPECT_FALSE(breaker_.WouldAdmit());
  const CircuitBreaker::Report report = breaker_.Describe();
  EXPECT_EQ(report.state, State::kOpen);
  EXPECT_EQ(report.since, clock_.Monotonic());
  EXPECT_EQ(report.next_probe, clock_.Monotonic() + seconds(30));
  EXPECT_EQ(report.refused, 2U);
}

TEST_F(CircuitBreakerTest, HalfOpenOneQuestionTriesAndTheOthersAreRefused) {
  Open();
  clock_.Advance(seconds(30));
  EXPECT_TRUE(breaker_.WouldAdmit());
  EXPECT_EQ(breaker_.Describe().state, State::kHalfOpen);
  EXPECT_EQ(breaker_.Admit(), Pass::kProbe);
  EXPECT_EQ(breaker_.Describe().state, State::kHalfOpen);
  // However long it takes.
  clock_.Advance(seconds(3600));
  EXPECT_FALSE(breaker_.WouldAdmit());
  EXPECT_EQ(breaker_.Admit(), Pass::kRefused);

  EXPECT_EQ(breaker_.Record(Pass::kProbe, Size::kSmall, true), Change::kClosed);
  EXPECT_EQ(breaker_.Admit(), Pass::kAdmitted);
  EXPECT_EQ(breaker_.Describe().state, State::kClosed);
  EXPECT_EQ(breaker_.Describe().since, clock_.Monotonic());
}

TEST_F(CircuitBreakerTest, AProbeWithoutAnAnswerOpensItAgain) {
  Open();
  const auto opened = clock_.Monotonic();
  clock_.Advance(seconds(31));
  EXPECT_EQ(Ask(false), Change::kUnchanged);
  EXPECT_EQ(breaker_.Admit(), Pass::kRefused);
  const CircuitBreaker::Report report = breaker_.Describe();
  EXPECT_EQ(report.state, State::kOpen);
  EXPECT_EQ(report.since, opened) << "it is the same outage";
  EXPECT_EQ(report.next_probe, clock_.Monotonic() + seconds(30));
}

TEST_F(CircuitBreakerTest, AQuestionFromBeforeItOpenedIsNoProbe) {
  const Pass early = breaker_.Admit();
  Open();
  clock_.Advance(seconds(30));
  EXPECT_EQ(breaker_.Admit(), Pass::kProbe);
  EXPECT_EQ(breaker_.Record(early, Size::kSmall, false), Change::kUnchanged);
  clock_.Advance(seconds(60));
  EXPECT_EQ(breaker_.Admit(), Pass::kRefused) << "the probe is still under way";
  EXPECT_EQ(breaker_.Record(Pass::kProbe, Size::kSmall, true), Change::kClosed);
}

TEST_F(CircuitBreakerTest, WhatIsOpenForLargeAnswersWaitsForOne) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Ask(true), Change::kUnchanged);
    EXPECT_EQ(Ask(false, Size::kLarge), Change::kUnchanged);
  }
  EXPECT_EQ(Ask(false, Size::kLarge), Change::kOpened);
  clock_.Advance(seconds(30));
  EXPECT_EQ(Ask(true), Change::kUnchanged);
  EXPECT_EQ(breaker_.Admit(), Pass::kProbe) << "the large question behind the small one";
  EXPECT_EQ(breaker_.Record(Pass::kProbe, Size::kLarge, true), Change::kClosed);
}

}  // namespace
}  // namespace slacker
