// A mount namespace of the test's own.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

namespace slacker::testing {

// Gives this process (and what it starts) a mount namespace of its own, once. What it mounts goes
// with it, also when it is killed; and a namespace that another process makes from ours in the
// meantime would hold our mounts.
inline void EnterOwnMountNamespace() {
  static const bool entered =
      unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  EXPECT_TRUE(entered);
}

}  // namespace slacker::testing
