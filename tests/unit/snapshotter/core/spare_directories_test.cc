#include "snapshotter/core/spare_directories.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>

#include "tests/support/eventually.h"
#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

// Gives IDs from 1 on, as long as it is not told to fail.
class Maker {
 public:
  SpareDirectories::Make AsFunction() {
    return [this](int count) { return Make(count); };
  }
  void FailMoreThan(int count, absl::Status failure) {
    MutexLock lock(&mutex_);
    most_ = count;
    failure_ = std::move(failure);
  }
  int64_t made() {
    MutexLock lock(&mutex_);
    return last_;
  }

 private:
  absl::StatusOr<std::vector<int64_t>> Make(int count) {
    MutexLock lock(&mutex_);
    if (count > most_) return failure_;
    std::vector<int64_t> ids;
    for (int i = 0; i < count; ++i) ids.push_back(++last_);
    return ids;
  }

  Mutex mutex_;
  int64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  int most_ ABSL_GUARDED_BY(mutex_) = 1000;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

TEST(SpareDirectoriesTest, ManyTakersGetEachSpareOnce) {
  Maker maker;
  SpareDirectories spares(4, maker.AsFunction());
  constexpr int kThreads = 8, kEach = 200;
  std::vector<std::vector<int64_t>> taken(kThreads);
  std::vector<std::thread> threads;
  for (std::vector<int64_t>& mine : taken) {
    threads.emplace_back([&spares, &mine] {
      for (int i = 0; i < kEach; ++i) {
        const auto id = spares.Take();
        if (id.ok()) mine.push_back(*id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<int64_t> all;
  for (const std::vector<int64_t>& mine : taken) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), static_cast<size_t>(kThreads * kEach));
}

TEST(SpareDirectoriesTest, WhereThereIsRoomForOneOneIsMade) {
  Maker maker;
  maker.FailMoreThan(1, ResourceExhausted("full"));
  SpareDirectories spares(4, maker.AsFunction());
  EXPECT_OK(spares.Take());
  EXPECT_OK(spares.Take());
}

TEST(SpareDirectoriesTest, AFailureIsTheTakersAndDoesNotLast) {
  Maker maker;
  maker.FailMoreThan(0, ResourceExhausted("full"));
  SpareDirectories spares(4, maker.AsFunction());
  EXPECT_THAT(spares.Take(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(spares.Take(), StatusIs(absl::StatusCode::kResourceExhausted));
  maker.FailMoreThan(1000, absl::OkStatus());
  EXPECT_OK(spares.Take());
}

TEST(SpareDirectoriesTest, WhatIsGivenBackIsTakenAgain) {
  Maker maker;
  SpareDirectories spares(4, maker.AsFunction());
  ASSERT_OK_AND_ASSIGN(const int64_t id, spares.Take());
  spares.GiveBack(id);
  const std::vector<int64_t> rest = spares.TakeAll();
  EXPECT_THAT(rest, ::testing::Contains(id));
}

TEST(SpareDirectoriesTest, AllAreMadeAndAgainWhenHalfOfThemWereTaken) {
  Maker maker;
  SpareDirectories spares(40, maker.AsFunction());
  ASSERT_TRUE(Eventually([&] { return maker.made() == 40; }));
  for (int i = 0; i < 21; ++i) EXPECT_OK(spares.Take());
  ASSERT_TRUE(Eventually([&] { return maker.made() > 40; }));
  const size_t left = spares.TakeAll().size();
  EXPECT_EQ(left + 21, static_cast<size_t>(maker.made()));
}

TEST(SpareDirectoriesTest, TheEndDoesNotWaitForAQuietMoment) {
  Maker maker;
  SpareDirectories spares(40, maker.AsFunction());
  ASSERT_TRUE(Eventually([&] { return maker.made() == 40; }));
  for (int i = 0; i < 25; ++i) EXPECT_OK(spares.Take());
  EXPECT_THAT(spares.TakeAll().size(), ::testing::AnyOf(15U, 31U, 40U));
}

// With spares, as slackerd has them.
class SpareCoreTest : public CoreTest {
 protected:
  SpareCoreTest() {
    core_.reset();
    options_.spare_directories = 16;  // enough that none is made anew meanwhile
    Reopen();
  }
  // Makes the maker's work be done: whatever it does comes before what it gives.
  void Settle() {
    for (int i = 0; i < 2; ++i) EXPECT_OK(core_->Prepare("settle " + std::to_string(i), "", {}));
  }
};

// Where the maker has had time: one that finds no spare makes its own.
TEST_F(SpareCoreTest, PrepareDoesNotWaitForTheDisk) {
  int number = 0;
  EXPECT_TRUE(testing::Eventually([&] {
    const std::string key = "key " + std::to_string(number++);
    faulty_.TakeCalls();
    EXPECT_OK(core_->Prepare(key, "", {}));
    const std::vector<std::string> calls = faulty_.TakeCalls();
    const auto mounts = core_->Mounts(key);
    EXPECT_OK(mounts);
    // The maker may be at further ones meanwhile: this one was there.
    const std::filesystem::path fs = mounts->front().source;
    const std::string spare = Path(".new-" + fs.parent_path().filename().string());
    return std::find(calls.begin(), calls.end(), "rename " + spare) != calls.end() &&
           std::find(calls.begin(), calls.end(), "mkdir " + spare) == calls.end();
  }));
}

TEST_F(SpareCoreTest, AnUpperDirectoryHasItsParentsOwnerDurably) {
  MakeCommitted("base");
  ASSERT_OK_AND_ASSIGN(const auto mounts, core_->Prepare("child", "base", {}));
  for (const std::string& path : files_.Directories()) {
    if (!path.ends_with("/fs")) continue;
    ASSERT_OK(files_.SetOwner(path, {.mode = 01777, .uid = 7, .gid = 8}));
  }
  Settle();
  faulty_.TakeCalls();
  ASSERT_OK_AND_ASSIGN(const auto second, core_->Prepare("second", "base", {}));
  const std::vector<std::string> calls = faulty_.TakeCalls();
  EXPECT_THAT(calls, ::testing::Contains(::testing::StartsWith("chown ")));
  EXPECT_THAT(calls, ::testing::Contains(::testing::ContainsRegex("fsync .*/fs")));
}

TEST_F(SpareCoreTest, TheEndDeletesTheSpares) {
  ASSERT_OK(core_->Prepare("key", "", {}));
  core_.reset();
  ASSERT_OK_AND_ASSIGN(const auto names, files_.List(dir_ / "snapshots"));
  EXPECT_EQ(names.size(), 1U) << "the key's own";
}

TEST_F(SpareCoreTest, AStartPlacesWhatACrashLeftASpareAlthoughItHasARow) {
  ASSERT_OK_AND_ASSIGN(const auto mounts, core_->Prepare("key", "", {}));
  const std::string fs = mounts.front().source;
  const std::string id = fs.substr(Path("").size(), fs.size() - Path("").size() - 3);
  core_.reset();
  ASSERT_OK(files_.Rename(Path(id), Path(".new-" + id)));
  Reopen();
  EXPECT_THAT(files_.Directories(), ::testing::Contains(fs));
  ASSERT_OK_AND_ASSIGN(const auto again, core_->Mounts("key"));
  EXPECT_EQ(again, mounts);
}

TEST_F(SpareCoreTest, ADirectoryWithTheLastNumberOfAllIsNotOurs) {
  core_.reset();
  const std::string last = Path("9223372036854775807");
  ASSERT_OK(files_.MakeDirectory(last, 0700, 0, 0));
  Reopen();
  EXPECT_OK(core_->Prepare("key", "", {})) << "there are numbers left";
  EXPECT_THAT(files_.Directories(), ::testing::Contains(last));
}

}  // namespace
}  // namespace slacker::testing
