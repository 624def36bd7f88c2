#include "snapshotter/warm/tree_warmer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_tree_mounter.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Digest kChain = Sha256::Of("chain");
constexpr char kTree[] = "/tree";
const FileRange kFirst{"/a", 0, 4096}, kSecond{"/b", 4096, 8192}, kThird{"/c", 0, 10};

class TreeWarmerTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(mounter_.Attach({"/metadata", kTree, {}})); }
  std::vector<FileRange> Read() { return mounter_.read_in_advance(); }

  testing::FakeTreeMounter mounter_;
  uint64_t drawn_ = 1;
  TreeWarmer warmer_{&mounter_, [this] { return drawn_; }};
};

TEST_F(TreeWarmerTest, ReadsWhatIsOnTheNodeInOrderOnceTheTreeIsAttached) {
  EXPECT_TRUE(warmer_.Plan(kChain, {{kFirst, kSecond}, {}, {kThird}}));
  warmer_.OnWindows(kChain, 1);
  EXPECT_THAT(Read(), IsEmpty());
  EXPECT_TRUE(warmer_.OnAttached(kChain, kTree));
  EXPECT_THAT(Read(), ElementsAre(kFirst, kSecond));
  warmer_.OnWindows(kChain, 2);
  EXPECT_THAT(Read(), ElementsAre(kFirst, kSecond));
  warmer_.OnWindows(kChain, 3);
  EXPECT_THAT(Read(), ElementsAre(kFirst, kSecond, kThird));
  EXPECT_EQ(warmer_.GetStats().trees, 1U);
  EXPECT_EQ(warmer_.GetStats().bytes, 4096U + 8192 + 10);
}

TEST_F(TreeWarmerTest, WindowsMayComeBeforeItIsKnownWhichFilesTheyAreOf) {
  warmer_.OnWindows(kChain, 2);
  EXPECT_TRUE(warmer_.Plan(kChain, {{kFirst}, {kSecond}}));
  EXPECT_TRUE(warmer_.OnAttached(kChain, kTree));
  EXPECT_THAT(Read(), ElementsAre(kFirst, kSecond));
}

TEST_F(TreeWarmerTest, ATreeOfWhichNothingIsKnownIsLeftAlone) {
  EXPECT_FALSE(warmer_.OnAttached(kChain, kTree));
  warmer_.OnWindows(kChain, 1);
  EXPECT_FALSE(warmer_.OnAttached(kChain, kTree));
  EXPECT_THAT(Read(), IsEmpty());
}

TEST_F(TreeWarmerTest, OneOfManyIsLeftForATrace) {
  drawn_ = TreeWarmer::kWatchedOf * 7;
  warmer_.OnWindows(kChain, 1);
  EXPECT_FALSE(warmer_.Plan(kChain, {{kFirst}}));
  warmer_.OnWindows(kChain, 1);
  EXPECT_FALSE(warmer_.OnAttached(kChain, kTree));
  EXPECT_THAT(Read(), IsEmpty());
  EXPECT_EQ(warmer_.GetStats().trees, 0U);
}

TEST_F(TreeWarmerTest, AForgottenTreeIsReadNoFurther) {
  EXPECT_TRUE(warmer_.Plan(kChain, {{kFirst}, {kSecond}}));
  warmer_.OnWindows(kChain, 1);
  EXPECT_TRUE(warmer_.OnAttached(kChain, kTree));
  EXPECT_THAT(Read(), ElementsAre(kFirst));
  warmer_.Forget(kChain);
  warmer_.OnWindows(kChain, 2);
  EXPECT_THAT(Read(), ElementsAre(kFirst));
}

TEST_F(TreeWarmerTest, OfMoreTreesThanItKeepsTheOldestAreLeftAlone) {
  const auto chain = [](size_t number) { return Sha256::Of(std::to_string(number)); };
  for (size_t number = 0; number <= TreeWarmer::kMaxTrees; ++number) {
    EXPECT_TRUE(warmer_.Plan(chain(number), {{kFirst}}));
  }
  EXPECT_FALSE(warmer_.OnAttached(chain(0), kTree));
  EXPECT_TRUE(warmer_.OnAttached(chain(1), kTree));
  EXPECT_TRUE(warmer_.OnAttached(chain(TreeWarmer::kMaxTrees), kTree));
}

TEST_F(TreeWarmerTest, APackThatBeginsAnewIsWaitedForAnew) {
  warmer_.OnWindows(kChain, 2);  // of a stream whose image is gone by now
  warmer_.OnWindows(kChain, 0);
  EXPECT_TRUE(warmer_.Plan(kChain, {{kFirst}, {kSecond}}));
  EXPECT_TRUE(warmer_.OnAttached(kChain, kTree));
  EXPECT_THAT(Read(), IsEmpty());
  warmer_.OnWindows(kChain, 2);
  EXPECT_THAT(Read(), ElementsAre(kFirst, kSecond));
}

}  // namespace
}  // namespace slacker
