#include "snapshotter/fuse/request_slots.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <sstream>
#include <thread>

#include "snapshotter/fuse/fuse_protocol.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/processes.h"
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

TEST_F(RequestSlotsTest, WhatIsGatheredBeforehandIsNotTakenOverOnceMore) {
  ReadWhole(old_.get(), 2);
  Read(old_.get(), 4);  // its reader has gone: all of it is there
  std::vector<size_t> slots;
  ASSERT_OK_AND_ASSIGN(const bool all, new_->Gather(old_->memory(), &slots));
  EXPECT_TRUE(all);
  std::vector<uint64_t> names;
  for (const size_t slot : slots) names.push_back(UniqueOf(new_->Request(slot)));
  EXPECT_THAT(names, UnorderedElementsAre(2, 4));
  EXPECT_THAT(TakeOver(*old_, Predecessor::kGone), IsEmpty());
  // And it stands in the memory that takes the old one's place.
  const std::unique_ptr<RequestSlots> second = std::move(new_);
  ASSERT_OK_AND_ASSIGN(new_, RequestSlots::Create());
  EXPECT_THAT(TakeOver(*second, Predecessor::kGone), UnorderedElementsAre(2, 4));
}

TEST_F(RequestSlotsTest, WithoutRoomNobodyWaitsAndTheRestIsTakenOverLater) {
  for (const uint64_t unique : {2, 4, 6}) ReadWhole(old_.get(), unique);
  std::vector<size_t> busy;
  for (size_t i = 0; i + 1 < RequestSlots::kSlots; ++i) busy.push_back(*new_->Take());
  std::vector<size_t> slots;
  ASSERT_OK_AND_ASSIGN(const bool all, new_->Gather(old_->memory(), &slots));
  EXPECT_FALSE(all);
  ASSERT_EQ(slots.size(), 1U);
  std::vector<uint64_t> names = {UniqueOf(new_->Request(slots[0]))};
  for (const size_t slot : busy) new_->Free(slot);
  for (const uint64_t name : TakeOver(*old_, Predecessor::kGone)) names.push_back(name);
  EXPECT_THAT(names, UnorderedElementsAre(2, 4, 6));
}

class ReaderOfSlotsTest : public RequestSlotsTest {
 protected:
  struct Reader {
    uint32_t free, magic;
    int64_t pid;
    uint64_t start_ticks;
  };
  Reader Read() {
    Reader reader{};
    EXPECT_EQ(pread(old_->memory().get(), &reader, sizeof reader, kAt), ssize_t{sizeof reader});
    return reader;
  }
  void Write(const Reader& reader) {
    EXPECT_EQ(pwrite(old_->memory().get(), &reader, sizeof reader, kAt), ssize_t{sizeof reader});
  }
  // Of a process, as the kernel says it.
  static uint64_t StartOf(pid_t pid) {
    std::string text = testing::ReadWholeFile("/proc/" + std::to_string(pid) + "/stat");
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string field;
    for (int i = 3; i <= 22; ++i) fields >> field;
    return std::stoull(field);
  }

  static constexpr off_t kAt = RequestSlots::kSlots * RequestSlots::kSlotBytes;
};

TEST_F(ReaderOfSlotsTest, IsNobodyWhenItIsThisProcess) {
  EXPECT_EQ(Read().pid, getpid());
  EXPECT_EQ(Read().start_ticks, StartOf(getpid()));
  ASSERT_OK_AND_ASSIGN(const UniqueFd reader, RequestSlots::ReaderOf(old_->memory()));
  EXPECT_FALSE(reader.valid());
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, RequestSlots::MakeMemory());
  EXPECT_OK(RequestSlots::ReaderOf(memory));
}

TEST_F(ReaderOfSlotsTest, IsSomebodyUntilTheProcessHasGoneAndNotOneThatHasItsNumber) {
  testing::LineProcess process({"/bin/cat"});
  const uint64_t start = StartOf(process.pid());
  Reader reader = Read();
  reader.pid = process.pid();
  reader.start_ticks = start;
  Write(reader);
  ASSERT_OK_AND_ASSIGN(UniqueFd found, RequestSlots::ReaderOf(old_->memory()));
  EXPECT_TRUE(found.valid());
  reader.start_ticks = start - 1;
  Write(reader);
  ASSERT_OK_AND_ASSIGN(found, RequestSlots::ReaderOf(old_->memory()));
  EXPECT_FALSE(found.valid()) << "another one of that number was started later";
  reader.start_ticks = start;
  Write(reader);
  process.Kill();
  ASSERT_OK_AND_ASSIGN(found, RequestSlots::ReaderOf(old_->memory()));
  EXPECT_FALSE(found.valid());
}

TEST_F(ReaderOfSlotsTest, IsNotKnownOfMemoryOfVersionsBefore) {
  Reader reader = Read();
  reader.magic = 0;
  Write(reader);
  EXPECT_THAT(RequestSlots::ReaderOf(old_->memory()),
              testing::StatusIs(absl::StatusCode::kNotFound));
  const UniqueFd shorter(memfd_create("shorter", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(shorter.get(), kAt), 0);
  EXPECT_THAT(RequestSlots::ReaderOf(shorter), testing::StatusIs(absl::StatusCode::kNotFound));
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
