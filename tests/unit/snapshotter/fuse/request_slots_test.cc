#include "snapshotter/fuse/request_slots.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "snapshotter/fuse/fuse_protocol.h"
#include "tests/support/status_matchers.h"

namespace slacker::fuse {
namespace {

using Predecessor = RequestSlots::Predecessor;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class RequestSlotsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(old_, RequestSlots::Create());
    ASSERT_OK_AND_ASSIGN(new_, RequestSlots::Create());
  }
  // As read(2) does.
  static size_t Read(RequestSlots* slots, uint64_t unique) {
    fuse_in_header header{};
    header.len = sizeof header;
    header.unique = unique;
    const size_t slot = *slots->Take();
    std::memcpy(slots->Buffer(slot).data(), &header, sizeof header);
    return slot;
  }
  static size_t ReadWhole(RequestSlots* slots, uint64_t unique) {
    const size_t slot = Read(slots, unique);
    slots->Filled(slot);
    return slot;
  }
  static uint64_t UniqueOf(std::string_view request) {
    fuse_in_header header;
    EXPECT_GE(request.size(), sizeof header);
    std::memcpy(&header, request.data(), sizeof header);
    return header.unique;
  }
  // What `new_` gets of `old`.
  std::vector<uint64_t> TakeOver(const RequestSlots& old, Predecessor predecessor) {
    std::vector<uint64_t> names;
    EXPECT_OK(new_->TakeOver(old.memory(), predecessor, [&](size_t slot) {
      names.push_back(UniqueOf(new_->Request(slot)));
      slots_.push_back(slot);
    }));
    return names;
  }

  std::unique_ptr<RequestSlots> old_, new_;
  std::vector<size_t> slots_;  // of what was taken over
};

TEST_F(RequestSlotsTest, WhatIsUnansweredIsTakenOver) {
  ReadWhole(old_.get(), 2);
  const size_t answered = ReadWhole(old_.get(), 4);
  ReadWhole(old_.get(), 6);
  old_->Free(answered);
  EXPECT_THAT(TakeOver(*old_, Predecessor::kGone), UnorderedElementsAre(2, 6));
}

TEST_F(RequestSlotsTest, WhatMayBeHalfReadIsTakenOnceItsReaderHasGone) {
  Read(old_.get(), 2);
  ReadWhole(old_.get(), 4);
  EXPECT_THAT(TakeOver(*old_, Predecessor::kMayBeReading), ElementsAre(4));
  EXPECT_THAT(TakeOver(*old_, Predecessor::kGone), ElementsAre(2)) << "and nothing twice";
  EXPECT_THAT(TakeOver(*old_, Predecessor::kGone), IsEmpty());
}

TEST_F(RequestSlotsTest, WhatWasTakenOverCanBeTakenOverAgain) {
  ReadWhole(old_.get(), 2);
  EXPECT_THAT(TakeOver(*old_, Predecessor::kGone), ElementsAre(2));
  // The second server dies too, before it has let go of the first one's memory.
  const std::unique_ptr<RequestSlots> second = std::move(new_);
  ASSERT_OK_AND_ASSIGN(new_, RequestSlots::Create());
  EXPECT_THAT(TakeOver(*old_, Predecessor::kGone), ElementsAre(2));
  EXPECT_THAT(TakeOver(*second, Predecessor::kGone), IsEmpty());
}

TEST_F(RequestSlotsTest, NothingIsReadForWhichThereIsNoSlot) {
  std::vector<size_t> taken;
  for (size_t i = 0; i < RequestSlots::kSlots; ++i) taken.push_back(ReadWhole(old_.get(), i + 1));
  std::thread waiter([&] { EXPECT_EQ(old_->Take(), taken[7]); });
  old_->Free(taken[7]);
  waiter.join();
  std::thread stopped([&] { EXPECT_EQ(old_->Take(), std::nullopt); });
  old_->Stop();
  stopped.join();
}

TEST_F(RequestSlotsTest, ManyArePassedOnThroughFewSlots) {
  for (size_t i = 0; i < RequestSlots::kSlots; ++i) ReadWhole(old_.get(), i + 1);
  std::vector<size_t> busy;
  for (size_t i = 0; i + 1 < RequestSlots::kSlots; ++i) busy.push_back(*new_->Take());
  size_t handled = 0;
  EXPECT_OK(new_->TakeOver(old_->memory(), Predecessor::kGone, [&](size_t slot) {
    ++handled;
    new_->Free(slot);
  }));
  EXPECT_EQ(handled, RequestSlots::kSlots);
}

TEST_F(RequestSlotsTest, TakingOverEndsWithTheServer) {
  ReadWhole(old_.get(), 2);
  new_->Stop();
  EXPECT_THAT(new_->TakeOver(old_->memory(), Predecessor::kGone, [](size_t) { FAIL(); }),
              testing::StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(RequestSlotsTest, OnlyMemoryThatCannotShrinkIsLookedInto) {
  const UniqueFd other(memfd_create("other", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(other.get(), 4096), 0);
  EXPECT_THAT(new_->TakeOver(other, Predecessor::kGone, [](size_t) { FAIL(); }),
              testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(RequestSlotsTest, LongRequestsAreCutAndKeepTheirName) {
  const size_t slot = *old_->Take();
  fuse_in_header header{};
  header.len = 3000;
  header.unique = 8;
  std::memcpy(old_->Buffer(slot).data(), &header, sizeof header);
  old_->Filled(slot);
  EXPECT_EQ(old_->Request(slot).size(), RequestSlots::kRequestBytes);
  EXPECT_THAT(TakeOver(*old_, Predecessor::kGone), ElementsAre(8));
}

}  // namespace
}  // namespace slacker::fuse
