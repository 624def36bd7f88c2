// The machine's loop devices are few, many, or wanted by others: trees by the hundred, every step of
// an attach refused by the kernel, and every step at which its process can die.
#include <gmock/gmock.h>
#include <linux/loop.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "backend/base/failpoint.h"
#include "tests/support/refused_ioctls.h"
#include "tests/unit/snapshotter/attach/kernel_tree_fixture.h"

namespace slacker::testing {
namespace {

class LoopSupplyTest : public KernelTreeMounterTest {
 protected:
  // Starts the helper anew; `setting`: how, on a thread of its own whose filters it inherits.
  template <typename Setting>
  void RestartHelper(Setting setting) {
    mounter_.reset();
    std::thread([&] {
      setting();
      auto mounter = KernelTreeMounter::Open(
          {.helper_path = HELPER_PATH, .read_ahead_kib = 16, .cache_directory = caches_},
          connection_.get(), keeper_.get());
      ASSERT_OK(mounter);
      mounter_ = *std::move(mounter);
    }).join();
  }
  std::vector<std::string> Loops() {
    std::vector<std::string> found;
    for (const std::string& object : KernelObjects(directory_.path())) {
      if (object.starts_with("loop")) found.push_back(object);
    }
    return found;
  }
};

TEST_F(LoopSupplyTest, HundredsOfTreesAreAttachedAtOnceAndAllGo) {
  constexpr size_t kTrees = 160, kThreads = 16;
  std::vector<TreeSpec> specs(kTrees, Spec());
  for (size_t i = 0; i < kTrees; ++i) {
    specs[i].mount_path = directory_ / ("tree" + std::to_string(i));
    std::filesystem::create_directories(specs[i].mount_path);
  }
  std::vector<absl::Status> ends(kTrees);
  const auto for_all = [&](auto action) {
    std::vector<std::thread> threads;
    for (size_t first = 0; first < kThreads; ++first) {
      threads.emplace_back([&, first] {
        for (size_t i = first; i < kTrees; i += kThreads) ends[i] = action(specs[i]);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const absl::Status& end : ends) EXPECT_OK(end);
  };
  for_all([&](const TreeSpec& spec) { return mounter_->Attach(spec); });
  EXPECT_EQ(Loops().size(), 2 * kTrees);
  for (const size_t i : {size_t{0}, kTrees / 2, kTrees - 1}) {
    EXPECT_EQ(Shell("diff -r " + sample_.source + " " + specs[i].mount_path), 0);
  }
  for_all([&](const TreeSpec& spec) { return mounter_->Detach(spec.mount_path); });
  EXPECT_TRUE(Eventually([&] { return Loops().empty(); })) << ::testing::PrintToString(Loops());
}

// What the kernel says when it has no number, no memory or no descriptor for another device.
TEST_F(LoopSupplyTest, WhereverThereIsNoDeviceLeftTheAttachSaysSoAndLeavesNothing) {
  for (const int error : {ENOSPC, ENOMEM}) {
    // Two devices; each is asked for, and configured.
    for (int step = 1; step <= 4; ++step) {
      SCOPED_TRACE(::testing::Message() << "errno " << error << " at step " << step);
      RefusedIoctls refused({LOOP_CTL_GET_FREE, LOOP_CONFIGURE}, error);
      RestartHelper([&] { ASSERT_OK(refused.FilterThisThread()); });
      refused.RefuseAfter(step - 1);
      EXPECT_THAT(mounter_->Attach(Spec()), StatusIs(absl::StatusCode::kUnavailable));
      EXPECT_EQ(refused.refused(), 1);
      EXPECT_TRUE(Eventually([&] { return Loops().empty(); })) << ::testing::PrintToString(Loops());
      ASSERT_OK(mounter_->Attach(Spec())) << "with the next device there is";
      EXPECT_EQ(Shell("diff -r " + sample_.source + " " + tree_), 0);
      ASSERT_OK(mounter_->Detach(tree_));
      RestartHelper([] {});
    }
  }
}

TEST_F(LoopSupplyTest, ManyLostRacesAreNoErrorAndTooManyAre) {
  RefusedIoctls refused({LOOP_CONFIGURE}, EBUSY);
  RestartHelper([&] { ASSERT_OK(refused.FilterThisThread()); });
  refused.RefuseAfter(0, 40);
  ASSERT_OK(mounter_->Attach(Spec())) << "after forty lost races";
  EXPECT_EQ(refused.refused(), 40);
  ASSERT_OK(mounter_->Detach(tree_));
  refused.RefuseAfter(0, 1'000'000);
  EXPECT_THAT(mounter_->Attach(Spec()),
              StatusIs(absl::StatusCode::kUnavailable, "no free loop device"));
  EXPECT_TRUE(Eventually([&] { return Loops().empty(); })) << ::testing::PrintToString(Loops());
  RestartHelper([] {});
}

#ifdef SLACKER_FAILPOINTS
TEST_F(LoopSupplyTest, WhereverItsProcessDiesAnAttachLeavesNoDeviceThatTheNextDoesNotUse) {
  const std::string trace = directory_ / "trace";
  std::vector<std::string> points;
  std::map<std::string, int> passages;
  do {
    std::filesystem::remove(trace);
    RestartHelper([&] { setenv("SLACKER_FAILPOINT_TRACE", trace.c_str(), 1); });
    ASSERT_OK(mounter_->Attach(Spec()));
    ASSERT_OK(mounter_->Detach(tree_));
    unsetenv("SLACKER_FAILPOINT_TRACE");
    points.clear();
    passages.clear();
    std::istringstream lines(ReadWholeFile(trace));
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("attach.") || line == "attach.healed") continue;
      points.push_back(line + ":" + std::to_string(++passages[line]));
    }
    // Once more if somebody else on this machine took a device that was opened.
  } while (passages["attach.loop_opened"] != passages["attach.loop_configured"]);
  ASSERT_GE(points.size(), 12U);
  for (const std::string& point : points) {
    SCOPED_TRACE(point);
    RestartHelper([&] { setenv("SLACKER_FAILPOINT", point.c_str(), 1); });
    EXPECT_THAT(mounter_->Attach(Spec()), StatusIs(absl::StatusCode::kUnavailable));
    unsetenv("SLACKER_FAILPOINT");
    RestartHelper([] {});
    ASSERT_OK(mounter_->Attach(Spec()));
    EXPECT_EQ(Shell("cmp " + sample_.source + "/f0 " + tree_ + "/f0"), 0);
    EXPECT_TRUE(Eventually([&] { return Loops().size() == 2; }))
        << ::testing::PrintToString(Loops());
    ASSERT_OK(mounter_->Detach(tree_));
    EXPECT_TRUE(Eventually([&] { return Loops().empty(); })) << ::testing::PrintToString(Loops());
  }
}
#endif

}  // namespace
}  // namespace slacker::testing
