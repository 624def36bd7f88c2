// Images that are removed while others are published under their names.
#include "backend/upkeep/remove_image.h"

#include "tests/support/faulty_backend.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

using testing::FaultyBackend;
using ::testing::IsEmpty;
using testing::SampleLayer;
using ::testing::SizeIs;

class RemoveImageTest : public testing::UpkeepTest {
 protected:
  void SetUp() override { Reset(); }
  // A store with one image, which has been looked at.
  void Reset() {
    store_->SetHook(nullptr);
    const auto names = store_->List("").value();
    for (const std::string& name : names) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("app", {base_, one_}));
    looked_at_ = ListImages(*store_).value();
    ASSERT_THAT(looked_at_, SizeIs(1));
  }
  absl::StatusOr<RemovedImages> Remove(Backend& backend) const {
    return RemoveImages(backend, looked_at_, {looked_at_[0].chain_id});
  }
  void ReplaceBy(const SampleLayer& layer) { ASSERT_OK(Publish("app", {base_, layer})); }
  // The name is that of base and this layer, and nothing of a removal is left.
  void ExpectNamed(const SampleLayer& layer) {
    ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*store_));
    ASSERT_THAT(images, SizeIs(1));
    EXPECT_EQ(images[0].chain_id, testing::SampleChain({base_, layer}));
    EXPECT_THAT(Entries(), IsEmpty());
    ExpectSound();
  }

  // That were moved away.
  std::vector<std::string> Entries() {
    std::vector<std::string> names = Names("removed/");
    std::erase_if(names,
                  [](const std::string& name) { return !name.starts_with("removed/images_"); });
    return names;
  }

  std::vector<ImageEntry> looked_at_;
  const SampleLayer three_ = testing::MakeSampleLayer(4);
};

TEST_F(RemoveImageTest, ANameThatIsReplacedMeanwhileStaysWheneverThatHappens) {
  uint64_t stayed = 0;
  bool replaced = true;
  for (uint64_t place = 1; replaced; ++place) {
    SCOPED_TRACE(place);
    Reset();
    replaced = false;
    store_->SetHook([&](uint64_t call) {
      if (call != place) return;
      replaced = true;
      ReplaceBy(two_);
    });
    ASSERT_OK_AND_ASSIGN(const RemovedImages removed, Remove(*store_));
    store_->SetHook(nullptr);
    EXPECT_EQ(removed.entries + removed.replaced, 1u);
    stayed += removed.replaced;
    if (replaced) ExpectNamed(two_);
  }
  EXPECT_GT(stayed, 0u);
  EXPECT_THAT(ListImages(*store_).value(), IsEmpty()) << "nobody replaced it the last time";
}

// The second one while the first one's entry is put back.
TEST_F(RemoveImageTest, OfTwoThatReplaceItTheLaterOneStays) {
  bool replaced = true;
  for (uint64_t place = 1; replaced; ++place) {
    SCOPED_TRACE(place);
    Reset();
    replaced = false;
    store_->SetBeforeMove([&](std::string_view from, std::string_view /*to*/) {
      if (!from.starts_with(kImagesPrefix)) return false;
      store_->SetBeforeMove(nullptr);
      ReplaceBy(two_);
      store_->SetHook([&](uint64_t call) {
        if (call != place) return;
        replaced = true;
        ReplaceBy(three_);
      });
      return false;
    });
    ASSERT_OK(Remove(*store_));
    store_->SetHook(nullptr);
    ExpectNamed(replaced ? three_ : two_);
  }
}

TEST_F(RemoveImageTest, WhereverItDiesTheNameIsTheOthersAfterTheNextCollection) {
  absl::Status died = absl::UnavailableError("dead");
  for (uint64_t n = 1; !died.ok(); ++n) {
    SCOPED_TRACE(n);
    Reset();
    store_->SetBeforeMove([&](std::string_view from, std::string_view /*to*/) {
      if (!from.starts_with(kImagesPrefix)) return false;
      store_->SetBeforeMove(nullptr);
      ReplaceBy(two_);
      return false;
    });
    FaultyBackend dying(store_);
    dying.FailFrom(n, absl::UnavailableError("dead"));
    died = Remove(dying).status();
    store_->SetBeforeMove(nullptr);
    const bool removed = ListImages(*store_)->empty();
    // One that lives needs no more than a moment, but a collection cannot know that.
    (void)Gc();
    EXPECT_EQ(ListImages(*store_)->empty(), removed);
    store_->Advance(kDaySeconds);
    (void)Gc();
    const auto chain = ListImages(*store_).value().at(0).chain_id;
    ExpectNamed(chain == looked_at_[0].chain_id ? one_ : two_);
  }
}

TEST_F(RemoveImageTest, WhatADeadOneHasMovedOfItsOwnGoes) {
  FaultyBackend dying(store_);
  absl::Status died = absl::UnavailableError("dead");
  size_t gone = 0;
  for (uint64_t n = 1; !died.ok(); ++n) {
    SCOPED_TRACE(n);
    Reset();
    dying.FailFrom(n, absl::UnavailableError("dead"));
    died = Remove(dying).status();
    const auto before = ListImages(*store_).value();
    gone += before.empty() ? 1 : 0;
    const GcReport dry = CollectGarbage(*store_, {.grace_seconds = 0, .dry_run = true}).value();
    const bool unfinished = !dry.actions.empty() && dry.actions[0].starts_with("finish removed/");
    EXPECT_EQ(unfinished, !Entries().empty()) << ::testing::PrintToString(dry.actions);
    (void)Gc(0);
    EXPECT_EQ(ListImages(*store_)->size(), before.size());
    EXPECT_THAT(Entries(), IsEmpty());
    ExpectSound();
  }
  EXPECT_GT(gone, 1u);
}

TEST_F(RemoveImageTest, ADamagedEntryIsPutBackForFsck) {
  const std::string name = Names(std::string(kImagesPrefix)).at(0);
  ASSERT_OK(store_->Replace(name, "damaged"));
  ASSERT_OK_AND_ASSIGN(const RemovedImages removed, Remove(*store_));
  EXPECT_EQ(removed.replaced, 1u);
  EXPECT_EQ(store_->ReadWhole(name, 100).value(), "damaged");
}

}  // namespace
}  // namespace slacker
