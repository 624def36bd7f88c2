// Servers that the kernel still holds when their successors serve, or die too, and what the dead leave
// with the keeper.
#include <fcntl.h>
#include <sys/mman.h>

#include <cstring>
#include <optional>

#include "snapshotter/fuse/fuse_protocol.h"
#include "snapshotter/fuse/request_slots.h"
#include "tests/fault/takeover_fixture.h"

namespace slacker::testing {
namespace {

using fuse::RequestSlots;

constexpr int kReadFiles = 64;

using DyingServerTest = TakeoverTest;

// The slots of a server, as the kernel sees them.
class SlotsOfServer {
 public:
  // No memory where the kernel sends requests again: there is none then.
  explicit SlotsOfServer(pid_t pid) {
    const std::string descriptors = "/proc/" + std::to_string(pid) + "/fd";
    for (const auto& entry : std::filesystem::directory_iterator(descriptors)) {
      std::error_code gone;
      const std::string target = std::filesystem::read_symlink(entry.path(), gone);
      if (!target.starts_with("/memfd:slacker-requests")) continue;
      const UniqueFd memory(open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
      void* base = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
      if (base != MAP_FAILED) base_ = static_cast<char*>(base);
    }
  }
  ~SlotsOfServer() {
    if (base_ != nullptr) (void)munmap(base_, kBytes);
  }
  SlotsOfServer(const SlotsOfServer&) = delete;
  SlotsOfServer& operator=(const SlotsOfServer&) = delete;

  // The READ that was read last and is not answered.
  char* LastRead() const {
    char* last = nullptr;
    for (size_t at = 0; base_ != nullptr && at < kBytes; at += RequestSlots::kSlotBytes) {
      char* const slot = base_ + at;
      if (Header(slot).len == 0 || Header(slot).opcode != FUSE_READ) continue;
      if (last == nullptr || Header(slot).unique > Header(last).unique) last = slot;
    }
    return last;
  }
  // As it is while read(2) is under way: its end is not there yet. Where it was to read.
  static uint64_t Tear(char* slot) {
    std::memset(slot + RequestSlots::kRequestBytes, 0, sizeof(uint64_t));
    uint64_t offset = 0;
    std::memcpy(&offset, OffsetIn(slot), sizeof offset);
    const uint64_t other = offset == 0 ? 4 * 4096 : 0;
    std::memcpy(OffsetIn(slot), &other, sizeof other);
    return offset;
  }
  static void Finish(char* slot, uint64_t offset) {
    std::memcpy(OffsetIn(slot), &offset, sizeof offset);
  }

 private:
  static constexpr size_t kBytes = RequestSlots::kSlots * RequestSlots::kSlotBytes;
  static fuse_in_header Header(const char* slot) {
    fuse_in_header header;
    std::memcpy(&header, slot, sizeof header);
    return header;
  }
  static char* OffsetIn(char* slot) {
    return slot + sizeof(fuse_in_header) + offsetof(fuse_read_in, offset);
  }
  char* base_ = nullptr;
};

TEST_F(DyingServerTest, SuccessorServesWhileItsPredecessorIsStillDying) {
  const ErofsSample sample(directory_.path(), kReadFiles, 20000);
  auto first = StartReady(sample, false, 20);
  Readers readers(sample, tree_, kReadFiles, 8);
  ASSERT_TRUE(WaitUntilHolding(first.get()));
  ASSERT_NO_FATAL_FAILURE(KillAndHold(first->pid()));
  auto second = StartReady(sample, true);
  readers.Join();
  EXPECT_EQ(readers.right(), kReadFiles);
  ASSERT_NO_FATAL_FAILURE(LetGo(first->pid()));
  first->Wait();
  EXPECT_EQ(CountWrong(sample, kReadFiles), 0);
  Finish(second.get());
}

// The keeper knows of one predecessor; the one before that is still inside read(2), of which the third
// server must not take what is half there.
TEST_F(DyingServerTest, WhatTheFirstIsStillReadingIsLeftToHimThroughASecondDeath) {
  const ErofsSample sample(directory_.path(), kReadFiles, 20000);
  auto first = StartReady(sample, false, 20);
  Readers readers(sample, tree_, kReadFiles, 8);
  ASSERT_TRUE(WaitUntilHolding(first.get()));
  ASSERT_NO_FATAL_FAILURE(KillAndHold(first->pid()));
  const SlotsOfServer slots(first->pid());
  char* const torn = slots.LastRead();
  uint64_t offset = 0;
  if (torn != nullptr) {
    offset = SlotsOfServer::Tear(torn);
  } else {
    std::puts("The kernel sends requests again: nothing is torn.");
  }
  auto second = StartReady(sample, true);
  second->Kill();
  auto third = StartReady(sample, true);
  if (torn != nullptr) SlotsOfServer::Finish(torn, offset);
  ASSERT_NO_FATAL_FAILURE(LetGo(first->pid()));
  first->Wait();
  readers.Join();
  EXPECT_EQ(readers.right(), kReadFiles);
  EXPECT_EQ(readers.wrong(), 0);
  EXPECT_EQ(CountWrong(sample, kReadFiles), 0);
  Finish(third.get());
}

// Whether a helper, or a child of one, waits for something that does not end.
bool HelperIsHeld(const std::string& run_dir) {
  for (const pid_t pid : ProcessesWith(run_dir + "/attach.lock")) {
    const std::string stat = ReadWholeFile("/proc/" + std::to_string(pid) + "/stat");
    if (stat.find(") D ") != std::string::npos) return true;
  }
  return false;
}

TEST_F(DyingServerTest, WhoReadsInAdvanceHoldsUpNoSuccessor) {
  constexpr int kManyFiles = 600;  // more than there are requests of a loop device
  const ErofsSample sample(directory_.path(), kManyFiles, 20000);
  auto first = StartReady(sample, false, 20);
  first->Say("warm " + std::to_string(kManyFiles));
  EXPECT_EQ(Next(first.get()), "warm");
  ASSERT_TRUE(WaitUntilHolding(first.get()));
  ASSERT_TRUE(Eventually([this] { return HelperIsHeld(run_dir_); }));
  first->Kill();
  auto second = StartReady(sample, true, 0);  // answers nothing either
  EXPECT_TRUE(HelperIsHeld(run_dir_));
  second->Say("release");
  EXPECT_EQ(Next(second.get()), "release");
  EXPECT_TRUE(Eventually([this] { return !HelperIsHeld(run_dir_); }));
  EXPECT_EQ(CountWrong(sample, kManyFiles), 0);
  Finish(second.get());
}

// The keeper has room for 16 descriptors.
TEST_F(DyingServerTest, StartsThatDieOverAndOverLeaveRoomForTheNextOne) {
  const ErofsSample sample(directory_.path(), kReadFiles, 20000);
  auto server = StartReady(sample, false, 20);
  Readers readers(sample, tree_, kReadFiles, 8);
  ASSERT_TRUE(WaitUntilHolding(server.get()));
  server->Kill();
  for (int start = 0; start < 20; ++start) {
    server = Start(sample, 1'000'000'000, kNoDeadlineSeconds, "attach.slots_kept");
    ASSERT_EQ(server->Line(), "") << "start " << start;
    server->Wait();
  }
  server = StartReady(sample, true);
  readers.Join();
  EXPECT_EQ(readers.right(), kReadFiles);
  Finish(server.get());
}

// The next keeper has everything from the server that found the one before, also what belongs to the
// server that is still dying.
TEST_F(DyingServerTest, AKeeperThatEndsOverItsReplacementIsNotNoticed) {
  const ErofsSample sample(directory_.path(), kReadFiles, 20000);
  auto first = StartReady(sample, false, 20);
  Readers readers(sample, tree_, kReadFiles, 8);
  ASSERT_TRUE(WaitUntilHolding(first.get()));
  const std::vector<pid_t> keepers = Keepers();
  ASSERT_NO_FATAL_FAILURE(KillAndHold(first->pid()));
  keeper_ = REFUSING_KEEPER;
  auto second = StartReady(sample, true);
  EXPECT_NE(Keepers(), keepers);
  readers.Join();
  EXPECT_EQ(readers.right(), kReadFiles);
  ASSERT_NO_FATAL_FAILURE(LetGo(first->pid()));
  first->Wait();
  EXPECT_EQ(CountWrong(sample, kReadFiles), 0);
  Finish(second.get());
}

}  // namespace
}  // namespace slacker::testing
