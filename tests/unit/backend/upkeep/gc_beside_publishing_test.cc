// Collections and removals in the middle of publications, and the other way round.
#include "backend/upkeep/gc.h"
#include "tests/support/exhaustive.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

using ::testing::SizeIs;
using testing::StatusIs;

class GcBesidePublishingTest : public testing::UpkeepTest {};

// At every call of a publication, a whole run without grace happens in its middle. Either the
// publication succeeds, and is sound, or it says that it must be started again.
class GcDuringPublicationTest : public GcBesidePublishingTest,
                                public ::testing::WithParamInterface<bool> {};

TEST_P(GcDuringPublicationTest, NothingDanglesWherever) {
  bool failed = false;
  for (uint64_t n = 1;; ++n) {
    store_->SetHook(nullptr);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("other", {two_}));
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Rm("one"));
    if (GetParam()) CondemnAllGarbage();
    store_->SetHook([&](uint64_t call) {
      if (call == n) (void)Gc(0);
    });
    const absl::Status published = Publish("one", {base_, one_});
    const uint64_t calls = store_->calls();
    store_->SetHook(nullptr);
    ExpectSound();
    if (!published.ok()) {
      EXPECT_THAT(published, StatusIs(absl::StatusCode::kAborted)) << n;
      failed = true;
      ASSERT_OK(Publish("one", {base_, one_})) << n;
    }
    for (int i = 0; i < 2; ++i) {
      ExpectSound();
      (void)Gc(0);
    }
    ExpectSound();
    EXPECT_THAT(Names("records/"), SizeIs(3)) << n;
    if (calls < n) break;
  }
  EXPECT_TRUE(failed);  // or the test has not met what it is about
}

INSTANTIATE_TEST_SUITE_P(Garbage, GcDuringPublicationTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Condemned" : "Fresh"; });

// The other way round: a whole publication at every call of a run.
class PublicationDuringGcTest : public GcBesidePublishingTest,
                                public ::testing::WithParamInterface<bool> {};

TEST_P(PublicationDuringGcTest, NothingDanglesWherever) {
  for (uint64_t n = 1;; n += testing::kPlaceStep) {
    store_->SetHook(nullptr);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("other", {two_}));
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Rm("one"));
    if (GetParam()) CondemnAllGarbage();
    absl::Status published;
    store_->SetHook([&](uint64_t call) {
      if (call == n) published = Publish("one", {base_, one_});
    });
    const auto report = CollectGarbage(*store_, {.grace_seconds = 0});
    const uint64_t calls = store_->calls();
    store_->SetHook(nullptr);
    ASSERT_OK(report.status()) << n;
    if (!published.ok()) {
      EXPECT_THAT(published, StatusIs(absl::StatusCode::kAborted)) << n;
    }
    ExpectSound();
    (void)Gc(0);
    ExpectSound();
    if (calls < n) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Garbage, PublicationDuringGcTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Condemned" : "Fresh"; });

TEST_F(GcBesidePublishingTest, RemovingAnImageBesideItsPublicationHarmsNeither) {
  for (uint64_t n = 1;; n += testing::kPlaceStep) {
    store_->SetHook(nullptr);
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("one", {base_, one_}));
    store_->SetHook([&](uint64_t call) {
      if (call != n) return;
      EXPECT_OK(Rm("one"));
    });
    ASSERT_OK(Publish("same layers", {base_, one_}));
    const uint64_t calls = store_->calls();
    store_->SetHook(nullptr);
    ExpectSound();
    if (calls < n) break;
  }
}

}  // namespace
}  // namespace slacker
