#include "backend/base/spill.h"

#include <sys/mount.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace slacker {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRows = (size_t{64} << 20) / sizeof(uint64_t);

// Bytes of resident pages, of the kind that /proc/self/status calls `kind`.
uint64_t Resident(const std::string& kind) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kibibytes = 0;
    if (word == kind + ":" && status >> kibibytes) return kibibytes * 1024;
  }
  ADD_FAILURE() << "no " << kind;
  return 0;
}

class SpillTest : public ::testing::Test {
 protected:
  SpillTest() {
    directory_ = ::testing::TempDir() + "/spill";
    fs::create_directories(directory_);
    setenv("TMPDIR", directory_.c_str(), 1);
  }
  ~SpillTest() override {
    unsetenv("TMPDIR");
    fs::remove_all(directory_);
  }

  static TableVector<uint64_t> Numbers() {
    TableVector<uint64_t> rows;
    for (uint64_t i = 0; i < kRows; ++i) rows.push_back(i * i);
    return rows;
  }
  // As often as it takes for one of them to do something, and more.
  static void Trim() {
    for (int i = 0; i < 1000; ++i) TrimSpilled();
  }
  static bool AreNumbers(const TableVector<uint64_t>& rows) {
    for (uint64_t i = 0; i < kRows; ++i) {
      if (rows[i] != i * i) return false;
    }
    return rows.size() == kRows;
  }

  std::string directory_;
};

TEST_F(SpillTest, WhatIsTrimmedLeavesMemoryAndComesBack) {
  const uint64_t anonymous = Resident("RssAnon");
  const TableVector<uint64_t> rows = Numbers();
  EXPECT_LT(Resident("RssAnon"), anonymous + kMinSpilledBytes * 2);
  const uint64_t in_files = Resident("RssFile");
  Trim();
  EXPECT_LT(Resident("RssFile") + kRows * sizeof(uint64_t) / 2, in_files);
  EXPECT_TRUE(AreNumbers(rows));
}

// Those of an image of many layers.
TEST_F(SpillTest, SmallerTablesSpillOnceMemoryHasManyOfThem) {
  SpillManySmallTables();
  constexpr size_t kTableRows = kMinSpilledBytes / sizeof(uint64_t) - 1;
  constexpr size_t kTables = 2 * kMaxCountedBytes / kMinSpilledBytes;
  for (int i = 0; i < 2; ++i) {  // what was freed does not count any more
    const uint64_t anonymous = Resident("RssAnon");
    std::vector<TableVector<uint64_t>> tables;
    for (size_t k = 0; k < kTables; ++k) tables.emplace_back(kTableRows, k);
    EXPECT_GT(Resident("RssAnon"), anonymous + kMaxCountedBytes / 2);
    EXPECT_LT(Resident("RssAnon"), anonymous + kMaxCountedBytes * 3 / 2);
    Trim();
    for (size_t k = 0; k < kTables; ++k) {
      EXPECT_EQ(tables[k].front(), k);
      EXPECT_EQ(tables[k].back(), k);
    }
  }
}

TEST_F(SpillTest, WhereNoFileCanBeMadeSmallerTablesAreInMemory) {
  SpillManySmallTables();
  setenv("TMPDIR", (directory_ + "/missing").c_str(), 1);
  std::vector<TableVector<uint64_t>> tables;
  for (size_t bytes = 0; bytes < 2 * kMaxCountedBytes; bytes += kMinSpilledBytes / 2) {
    tables.emplace_back(kMinSpilledBytes / 2 / sizeof(uint64_t), bytes);
  }
  Trim();
  for (size_t k = 0; k < tables.size(); ++k) {
    EXPECT_EQ(tables[k].back(), k * kMinSpilledBytes / 2);
  }
}

TEST_F(SpillTest, RowsThatMoveToMoreRoomAreTheSame) {
  TableVector<uint64_t> rows = Numbers();
  MoveToRoom(&rows, 2 * kRows);
  EXPECT_EQ(rows.capacity(), 2 * kRows);
  EXPECT_TRUE(AreNumbers(rows));
  const uint64_t* const at = rows.data();
  GrowFor(&rows, kRows);
  EXPECT_EQ(rows.data(), at) << "there is room";
  GrowFor(&rows, kRows + 1);
  EXPECT_GE(rows.capacity(), 2 * kRows + 1);
  EXPECT_TRUE(AreNumbers(rows));
}

TEST_F(SpillTest, NoFileIsLeftBehind) {
  const TableVector<uint64_t> rows = Numbers();
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(SpillTest, WhereNoFileCanBeMadeMemoryIsUsed) {
  setenv("TMPDIR", (directory_ + "/missing").c_str(), 1);
  const TableVector<uint64_t> rows = Numbers();
  Trim();
  EXPECT_TRUE(AreNumbers(rows));
}

TEST_F(SpillTest, WhereTheDiskIsFullMemoryIsUsed) {
  ASSERT_EQ(mount("none", directory_.c_str(), "tmpfs", 0, "size=1m"), 0) << "needs root";
  const TableVector<uint64_t> rows = Numbers();
  Trim();
  EXPECT_TRUE(AreNumbers(rows));
  EXPECT_EQ(umount(directory_.c_str()), 0);
}

TEST_F(SpillTest, ATableThatIsFreedCannotBeTrimmedInItsSuccessor) {
  for (int i = 0; i < 3; ++i) {
    { const TableVector<uint64_t> freed = Numbers(); }
    setenv("TMPDIR", (directory_ + "/missing").c_str(), 1);
    const TableVector<uint64_t> rows = Numbers();  // private memory, likely at the same address
    Trim();
    EXPECT_TRUE(AreNumbers(rows));
    setenv("TMPDIR", directory_.c_str(), 1);
  }
}

}  // namespace
}  // namespace slacker
