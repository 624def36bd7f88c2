#include "backend/base/start_thread.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/thread_limit.h"

namespace slacker {
namespace {

TEST(StartThreadTest, RunsItsFunction) {
  bool ran = false;
  ASSERT_OK_AND_ASSIGN(std::thread thread, StartThread([&] { ran = true; }));
  thread.join();
  EXPECT_TRUE(ran);
}

TEST(StartThreadTest, WithoutThreadsIsResourceExhausted) {
  const testing::ThreadLimit none(0);
  EXPECT_THAT(StartThread([] { FAIL() << "there is no thread"; }).status(),
              testing::StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace slacker
