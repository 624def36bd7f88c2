#include "snapshotter/care/processor_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "snapshotter/care/idle_watch.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::StatusIs;

class ProcessorWatchTest : public ::testing::Test {
 protected:
  // A second passes, in which processors were busy for so long, for us and for others.
  bool BusyAfter(milliseconds ours, milliseconds others) {
    clock_.Advance(seconds(1));
    times_.ours += ours;
    times_.busy += ours + others;
    return watch_.Busy();
  }

  testing::FakeClock clock_;
  ProcessorTimes times_;
  absl::Status unreadable_;
  int reads_ = 0;
  ProcessorWatch watch_{{.clock = &clock_,
                         .read = [this]() -> absl::StatusOr<ProcessorTimes> {
                           ++reads_;
                           if (!unreadable_.ok()) return unreadable_;
                           return times_;
                         },
                         .processors = 2}};
};

TEST_F(ProcessorWatchTest, WhatWeUseOurselvesDoesNotCount) {
  EXPECT_FALSE(watch_.Busy()) << "nothing is known yet";
  EXPECT_FALSE(BusyAfter(milliseconds(1900), milliseconds(100)));
  EXPECT_FALSE(BusyAfter(milliseconds(500), milliseconds(1200)));
  EXPECT_TRUE(BusyAfter(milliseconds(500), milliseconds(1300)));
  EXPECT_TRUE(BusyAfter(milliseconds(0), milliseconds(2000)));
  EXPECT_FALSE(BusyAfter(milliseconds(0), milliseconds(0)));
}

TEST_F(ProcessorWatchTest, WithinAWindowTheAnswerIsTheOneBefore) {
  EXPECT_FALSE(watch_.Busy());
  EXPECT_TRUE(BusyAfter(milliseconds(0), milliseconds(2000)));
  const int reads = reads_;
  clock_.Advance(milliseconds(199));
  EXPECT_TRUE(watch_.Busy());
  EXPECT_EQ(reads_, reads);
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(watch_.Busy());
}

TEST_F(ProcessorWatchTest, WhereTheKernelDoesNotTellNobodyIsBusy) {
  EXPECT_FALSE(watch_.Busy());
  EXPECT_TRUE(BusyAfter(milliseconds(0), milliseconds(2000)));
  unreadable_ = absl::NotFoundError("no /proc");
  EXPECT_FALSE(BusyAfter(milliseconds(0), milliseconds(2000)));
  unreadable_ = absl::OkStatus();
  EXPECT_FALSE(BusyAfter(milliseconds(0), milliseconds(2000))) << "since when is not known";
  EXPECT_TRUE(BusyAfter(milliseconds(0), milliseconds(2000)));
}

TEST(ProcessorTimes, IdlenessAndWaitingForDisksAreNotBusy) {
  const auto tick = std::chrono::nanoseconds(seconds(1)) / sysconf(_SC_CLK_TCK);
  const auto busy =
      ParseBusyTime("cpu  1 2 4 1000000 2000000 8 16 32 64 128\ncpu0 1 1 1 1 1 1 1 1");
  ASSERT_OK(busy);
  EXPECT_EQ(*busy, (1 + 2 + 4 + 8 + 16 + 32) * tick);
  for (const char* text : {"", "cpu", "cpu 1 2 3 4 5 6 7", "cpu0 1 2 3 4 5 6 7 8 9",
                           "cpu a b c d e f g h", "cpu -1 2 3 4 5 6 7 8"}) {
    EXPECT_THAT(ParseBusyTime(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(ProcessorTimes, TheKernelTells) {
  const auto before = ReadProcessorTimes();
  ASSERT_OK(before);
  for (;;) {  // until we have used some
    const auto now = ReadProcessorTimes();
    ASSERT_OK(now);
    EXPECT_GE(now->busy, before->busy);
    if (now->ours > before->ours && now->busy > before->busy) break;
  }
}

TEST(IdleWatch, BesideOthersWorkRestsNineteenTimesAsLongAsItTook) {
  std::atomic<bool> busy = true;
  IdleWatch watch([] { return 0; }, milliseconds(0), [&busy] { return busy.load(); });
  ASSERT_TRUE(watch.WaitUntilIdle());
  const auto began = std::chrono::steady_clock::now();
  auto worked = std::chrono::steady_clock::now() - began;
  while (worked < milliseconds(5)) worked = std::chrono::steady_clock::now() - began;
  ASSERT_TRUE(watch.GiveWay());
  const std::chrono::nanoseconds rest =
      std::min<std::chrono::nanoseconds>(19 * worked, milliseconds(1000));
  EXPECT_GE(std::chrono::steady_clock::now() - began, worked + rest);
}

TEST(IdleWatch, ARestEndsWhenItIsStopped) {
  IdleWatch watch([] { return 0; }, milliseconds(0), [] { return true; });
  std::thread stop([&watch] { watch.Stop(); });
  while (watch.GiveWay()) std::this_thread::yield();
  stop.join();
  EXPECT_FALSE(watch.GiveWay());
}

}  // namespace
}  // namespace slacker
