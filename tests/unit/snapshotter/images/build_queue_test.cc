#include "snapshotter/images/build_queue.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

int Niceness() { return getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())); }

TEST(BuildQueueTest, ABuildThatSomebodyWaitsForIsHurried) {
  std::atomic<bool> started = false;
  std::atomic<int> at_first = 0;
  BuildQueue queue(
      [&](const Digest&) -> absl::StatusOr<MetadataImage> {
        at_first = Niceness();
        started = true;
        EXPECT_TRUE(testing::Eventually([] { return Niceness() == 0; }));
        return MetadataImage{};
      },
      std::chrono::nanoseconds::zero());
  const Digest chain = Sha256::Of("chain");
  queue.Schedule(chain);
  EXPECT_TRUE(testing::Eventually([&] { return started.load(); }));
  EXPECT_EQ(at_first, 10);
  EXPECT_OK(queue.Get(chain).status());
}

// Whoever comes right when it begins must not be left with a build that nobody hurries.
TEST(BuildQueueTest, AWaiterThatComesAsABuildBeginsHurriesItToo) {
  const pid_t waiter = gettid();
  BuildQueue queue(
      [waiter](const Digest&) -> absl::StatusOr<MetadataImage> {
        // Who comes before it begins builds it himself, with whatever niceness he has.
        const bool hurried =
            testing::Eventually([waiter] { return gettid() == waiter || Niceness() == 0; });
        EXPECT_TRUE(hurried);
        return MetadataImage{};
      },
      std::chrono::nanoseconds::zero());
  for (int i = 0; i < 200; ++i) {
    const Digest chain = Sha256::Of(std::to_string(i));
    queue.Schedule(chain);
    EXPECT_OK(queue.Get(chain).status());
  }
}

TEST(BuildQueueTest, ABuildThatEndsWithAnExceptionLeavesTheNextToTry) {
  bool throws = true;
  BuildQueue queue(
      [&](const Digest&) -> absl::StatusOr<MetadataImage> {
        if (std::exchange(throws, false)) throw std::bad_alloc();
        return MetadataImage{};
      },
      std::chrono::hours(1));
  const Digest chain = Sha256::Of("chain");
  EXPECT_THROW((void)queue.Get(chain), std::bad_alloc);
  EXPECT_OK(queue.Get(chain).status());
}

}  // namespace
}  // namespace slacker
