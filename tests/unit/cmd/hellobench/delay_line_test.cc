// What passes a delay line, and when: the test says what time it is.
#include "cmd/hellobench/site/delay_line.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>

#include "backend/base/unique_fd.h"
#include "tests/support/oci_image.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::RandomBytes;
using State = DelayLine::State;
using Time = DelayLine::Time;
using std::chrono::milliseconds;

constexpr milliseconds kDelay{5};
constexpr size_t kMost = 1 << 20;
constexpr std::chrono::nanoseconds kMoment{1};

// Two sockets, each of which is one end of a pair; the test has the other ends.
class DelayLineTest : public ::testing::Test {
 protected:
  DelayLineTest() {
    for (Pair* pair : {&from_, &to_}) {
      std::array<int, 2> ends{};
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
      pair->line.Reset(ends[0]);
      pair->test.Reset(ends[1]);
    }
    line_.emplace(from_.line.get(), to_.line.get(), kDelay, kMost);
  }

  // What the sender writes now, as far as it is taken.
  size_t Send(const std::string& bytes) {
    const ssize_t sent = send(from_.test.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }
  // Sends and has it read.
  void Come(const std::string& bytes, Time now) {
    ASSERT_EQ(Send(bytes), bytes.size());
    line_->Read(now);
  }
  // What has left and was not received before.
  std::string Received() {
    std::string all, bytes(1 << 20, '\0');
    ssize_t got = 0;
    while ((got = recv(to_.test.get(), bytes.data(), bytes.size(), 0)) > 0) {
      all.append(bytes, 0, static_cast<size_t>(got));
    }
    ended_ = got == 0;
    return all;
  }

  struct Pair {
    UniqueFd line, test;
  };
  Pair from_, to_;
  std::optional<DelayLine> line_;
  bool ended_ = false;  // as Received saw it
  const Time start_ = Time() + milliseconds(1000);
};

TEST_F(DelayLineTest, BytesLeaveWhenTheirTimeIsOverAndNotBefore) {
  EXPECT_EQ(line_->Due(), Time::max());
  ASSERT_NO_FATAL_FAILURE(Come("hello", start_));
  EXPECT_EQ(line_->Due(), start_ + kDelay);
  line_->Write(start_ + kDelay - kMoment);
  EXPECT_EQ(Received(), "");
  line_->Write(start_ + kDelay);
  EXPECT_EQ(Received(), "hello");
  EXPECT_EQ(line_->Due(), Time::max());
}

TEST_F(DelayLineTest, EveryPieceHasItsOwnTime) {
  ASSERT_NO_FATAL_FAILURE(Come("one ", start_));
  ASSERT_NO_FATAL_FAILURE(Come("two ", start_ + milliseconds(1)));
  ASSERT_NO_FATAL_FAILURE(Come("three", start_ + milliseconds(4)));
  line_->Write(start_ + kDelay);
  EXPECT_EQ(Received(), "one ");
  EXPECT_EQ(line_->Due(), start_ + kDelay + milliseconds(1));
  line_->Write(start_ + kDelay + milliseconds(4));
  EXPECT_EQ(Received(), "two three");
}

TEST_F(DelayLineTest, AnEndLeavesBehindTheBytes) {
  ASSERT_NO_FATAL_FAILURE(Come("last", start_));
  ASSERT_EQ(shutdown(from_.test.get(), SHUT_WR), 0);
  line_->Read(start_ + milliseconds(1));
  EXPECT_FALSE(line_->WantsToRead());
  line_->Write(start_ + kDelay);
  EXPECT_EQ(Received(), "last");
  EXPECT_FALSE(ended_);
  EXPECT_EQ(line_->state(), State::kOpen);
  line_->Write(start_ + kDelay + milliseconds(1));
  EXPECT_EQ(Received(), "");
  EXPECT_TRUE(ended_);
  EXPECT_EQ(line_->state(), State::kEnded);
}

TEST_F(DelayLineTest, AResetLeavesBehindTheBytes) {
  ASSERT_NO_FATAL_FAILURE(Come("last", start_));
  // A unix socket that is closed with something unread resets its other side.
  ASSERT_EQ(send(from_.line.get(), "x", 1, MSG_NOSIGNAL), 1);
  from_.test.Reset();
  line_->Read(start_ + milliseconds(1));
  EXPECT_FALSE(line_->WantsToRead());
  line_->Write(start_ + kDelay);
  EXPECT_EQ(Received(), "last");
  EXPECT_EQ(line_->state(), State::kOpen);
  line_->Write(start_ + kDelay + milliseconds(1));
  EXPECT_EQ(line_->state(), State::kReset);
}

TEST_F(DelayLineTest, AResetThatTheCallerTellsOfFollowsAnEnd) {
  ASSERT_EQ(shutdown(from_.test.get(), SHUT_WR), 0);
  line_->Read(start_);
  line_->Write(start_ + kDelay);
  ASSERT_EQ(line_->state(), State::kEnded);
  line_->Reset(start_ + kDelay);
  line_->Reset(start_ + kDelay + milliseconds(1));
  line_->Write(start_ + kDelay + kDelay - kMoment);
  EXPECT_EQ(line_->state(), State::kEnded);
  line_->Write(start_ + kDelay + kDelay);
  EXPECT_EQ(line_->state(), State::kReset);
  EXPECT_EQ(line_->Due(), Time::max()) << "one was enough";
}

TEST_F(DelayLineTest, WhoTakesNothingMoreIsNoticedAndNothingMoreIsRead) {
  ASSERT_NO_FATAL_FAILURE(Come("lost", start_));
  to_.test.Reset();
  line_->Write(start_ + kDelay);
  EXPECT_EQ(line_->state(), State::kRefused);
  EXPECT_FALSE(line_->WantsToRead());
  EXPECT_EQ(line_->Due(), Time::max());
  // Both sides may be gone: that is an end, too.
  line_->Reset(start_ + kDelay);
  line_->Write(start_ + kDelay + kDelay);
  EXPECT_EQ(line_->state(), State::kReset);
}

TEST_F(DelayLineTest, NoMoreIsReadThanMayBeOnTheWayUntilSomeHasLeft) {
  size_t taken = 0;
  while (line_->WantsToRead()) {
    ASSERT_LT(taken, 2 * kMost);
    ASSERT_NO_FATAL_FAILURE(Come(std::string(4096, 'x'), start_));
    taken += 4096;
  }
  EXPECT_GE(taken, kMost);
  line_->Write(start_ + kDelay);
  EXPECT_TRUE(line_->WantsToRead());
}

TEST_F(DelayLineTest, ASlowReceiverGetsEverythingInItsOrder) {
  const std::string bytes = RandomBytes(kMost, 1);
  for (size_t sent = 0; sent < bytes.size(); line_->Read(start_)) sent += Send(bytes.substr(sent));
  line_->Write(start_ + kDelay);
  ASSERT_NE(line_->Due(), Time::max()) << "the socket takes all of it";
  std::string received;
  while (line_->Due() != Time::max()) {
    received += Received();
    line_->Write(start_ + kDelay);
  }
  EXPECT_EQ(received + Received(), bytes);
}

}  // namespace
}  // namespace slacker::hellobench
