#include "backend/base/process_state.h"

#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/support/eventually.h"
#include "tests/support/processes.h"

namespace slacker::testing {
namespace {

TEST(IsBeyondActingTest, FollowsTheLifeOfAProcess) {
  LineProcess process({"/bin/cat"});
  const pid_t pid = process.pid();
  EXPECT_FALSE(IsBeyondActing(pid));
  ASSERT_EQ(kill(pid, SIGSTOP), 0);
  EXPECT_FALSE(IsBeyondActing(pid));
  ASSERT_EQ(kill(pid, SIGKILL), 0);  // from here on it never runs again, whatever /proc calls it
  EXPECT_TRUE(IsBeyondActing(pid));
  EXPECT_TRUE(Eventually([&] {
    return ReadWholeFile("/proc/" + std::to_string(pid) + "/stat").find(") Z") != std::string::npos;
  }));
  EXPECT_TRUE(IsBeyondActing(pid));
  process.Wait();
  EXPECT_TRUE(IsBeyondActing(pid));
}

}  // namespace
}  // namespace slacker::testing
