// Races between calls: exactly one winner, and nothing lost or left.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

class ConcurrencyTest : public CoreTest {
 protected:
  static constexpr int kThreads = 8;

  template <typename Function>
  static void InParallel(Function function) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([=] { function(i); });
    for (std::thread& thread : threads) thread.join();
  }

  // Directories on disk are exactly those that rows have.
  void ExpectNoLeftovers() {
    ASSERT_OK(core_->Cleanup());
    size_t expected = 0;
    for (const SnapshotInfo& info : ListAll()) {
      ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
      ASSERT_OK_AND_ASSIGN(const auto row, SnapshotTable::Find(txn, info.name));
      ASSERT_TRUE(row.has_value());
      expected += row->HasDirectory() ? 1U : 0U;
    }
    ASSERT_OK_AND_ASSIGN(const auto names, files_.List(dir_ / "snapshots"));
    EXPECT_EQ(names.size(), expected);
  }
};

TEST_F(ConcurrencyTest, OfEqualPreparesOneWins) {
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> won{0}, lost{0};
    InParallel([&, this](int) {
      const auto status = core_->Prepare("key " + std::to_string(round), "", {}).status();
      won += status.ok() ? 1 : 0;
      lost += status.code() == kExists ? 1 : 0;
    });
    EXPECT_EQ(won, 1);
    EXPECT_EQ(lost, kThreads - 1);
  }
  ExpectNoLeftovers();
}

// The kernel says only once that it lost something: to whoever syncs first, even if what is lost is
// another's.
TEST_F(ConcurrencyTest, ALossThatOneCommitHearsOfFailsTheOtherThatSyncsAfterIt) {
  ASSERT_OK(core_->Prepare("first", "", {}));
  ASSERT_OK(core_->Prepare("second", "", {}));
  Mutex mutex;
  CondVar changed;
  int syncs = 0;
  bool second_is_back = false;
  files_.OnSync([&](const std::string&) {
    MutexLock lock(&mutex);
    changed.SignalAll();
    if (++syncs > 1) return absl::OkStatus();
    while (syncs == 1) changed.Wait(&mutex);
    // Has been told, and is slow to say so. The other must not come back meanwhile: as long as this
    // waits it has every opportunity.
    if (!second_is_back) (void)changed.WaitFor(&mutex, std::chrono::milliseconds(200));
    return ErrnoError(EIO, "syncfs");
  });
  absl::Status first, second;
  std::thread hears([&] { first = core_->Commit("a", "first", {}, ""); });
  {
    MutexLock lock(&mutex);
    while (syncs == 0) changed.Wait(&mutex);
  }
  second = core_->Commit("b", "second", {}, "");
  {
    MutexLock lock(&mutex);
    second_is_back = true;
    changed.SignalAll();
  }
  hears.join();
  EXPECT_THAT(first, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kDataLoss, "unpack"));
}

TEST_F(ConcurrencyTest, OfEqualCommitsOneWins) {
  ASSERT_OK(core_->Prepare("key", "", {}));
  std::atomic<int> won{0};
  InParallel([&, this](int i) {
    won += core_->Commit("name " + std::to_string(i), "key", {}, "").ok() ? 1 : 0;
  });
  EXPECT_EQ(won, 1);
  EXPECT_EQ(ListAll().size(), 1U);
}

TEST_F(ConcurrencyTest, EqualRemotePreparesAllSucceedWithOneSnapshot) {
  const Digest chain = Sha256::Of(std::string_view("a"));
  images_.Publish(chain);
  core_.reset();
  auto core =
      CoreSnapshotter::Open(db_.get(), &faulty_, &images_, &clock_,
                            {.root = dir_.path(), .overlay_index_off = false, .on_decision = {}});
  ASSERT_OK(core);
  core_ = *std::move(core);
  std::atomic<int> done{0};
  InParallel([&, this](int i) {
    const Labels labels = {{std::string(kRefLabel), chain.ToString()}};
    const auto status = core_->Prepare("extract " + std::to_string(i), "", labels).status();
    done += status.code() == kExists ? 1 : 0;
  });
  EXPECT_EQ(done, kThreads);
  EXPECT_EQ(ListAll().size(), 1U);
  EXPECT_EQ(images_.pins(), 0);
}

TEST_F(ConcurrencyTest, AParentRemovedDuringPrepareIsNotFoundOrKept) {
  for (int round = 0; round < 20; ++round) {
    const std::string base = "base " + std::to_string(round);
    MakeCommitted(base);
    std::atomic<bool> removed{false};
    std::atomic<int> prepared{0};
    InParallel([&, this](int i) {
      if (i == 0) {
        removed = core_->Remove(base).ok();
        return;
      }
      const auto status = core_->Prepare(base + " " + std::to_string(i), base, {}).status();
      EXPECT_TRUE(status.ok() || status.code() == kNotFound) << status;
      prepared += status.ok() ? 1 : 0;
    });
    EXPECT_NE(removed.load(), prepared > 0);
  }
  ExpectNoLeftovers();
}

TEST_F(ConcurrencyTest, CleanupBesideEverythingTakesNothingLive) {
  std::atomic<int> busy{kThreads - 1};
  InParallel([&, this](int i) {
    if (i == 0) {
      while (busy > 0) EXPECT_OK(core_->Cleanup());
      return;
    }
    for (int n = 0; n < 30; ++n) {
      const std::string key = std::to_string(i) + "/" + std::to_string(n);
      EXPECT_OK(core_->Prepare(key, "", {}));
      EXPECT_OK(core_->Usage(key));
      EXPECT_OK(core_->Commit("c" + key, key, {}, ""));
      EXPECT_OK(core_->View("v" + key, "c" + key, {}));
      if (n % 2 == 0) {
        EXPECT_OK(core_->Remove("v" + key));
        EXPECT_OK(core_->Remove("c" + key));
      }
    }
    --busy;
  });
  ExpectNoLeftovers();
}

}  // namespace
}  // namespace slacker::testing
