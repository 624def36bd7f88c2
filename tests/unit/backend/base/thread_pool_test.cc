#include "backend/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/status_matchers.h"
#include "tests/support/thread_limit.h"

namespace slacker {
namespace {

TEST(ThreadPoolTest, RunsWhatWasAddedBeforeItEnds) {
  std::atomic<int> ran{0};
  {
    ASSERT_OK_AND_ASSIGN(const auto pool, ThreadPool::Make("test", 3));
    for (int i = 0; i < 100; ++i) pool->Add([&] { ++ran; });
  }
  EXPECT_EQ(ran, 100);
}

TEST(ThreadPoolTest, ThreadsThatAreNotAllToBeHadAreEndedAndAnError) {
  const testing::ThreadLimit two(2);
  EXPECT_THAT(ThreadPool::Make("test", 4).status(),
              testing::StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_OK(ThreadPool::Make("test", 2).status()) << "those of the first have ended";
}

}  // namespace
}  // namespace slacker
