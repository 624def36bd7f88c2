// The power goes at any moment of what a node does: unpacking, a pull, containers that read and
// write, completion, eviction, removal. From each of many such moments the disk is made again,
// mounted, and given to a new slackerd, first without the store:
//
//   - the snapshots are those after the last call that was answered, or after the one under way;
//   - what was committed is whole; containers are mounted again;
//   - blob caches have what they claim: all of it reads right, without the store;
//   - images can be read, all of them once the store is there; what is removed leaves nothing.
//
// SLACKER_POWER_CUTS=all looks at every barrier and after every write; otherwise at every barrier of the
// first start, and at an even sample of both. SLACKER_POWER_CUT_SEED=N repeats a sample and what is lost.
#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "snapshotter/metastore/db.h"
#include "tests/fault/power_cut_fixture.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::IsEmpty;

constexpr size_t kSampled = 16;  // cuts of each kind

class PowerCutTest : public PowerCutFixture {
 protected:
  void LifeOfANode() {
    UnpackPullAndRead();
    Complete();
    Evict();
    RemoveImage();
  }

  void UnpackPullAndRead() {
    ConfigureCache("off", 0);
    auto daemon = Start();
    ASSERT_TRUE(daemon->running());
    moments_.push_back({0, disk_->Position(), {}});
    Unpack(*daemon, "base", "");
    Unpack(*daemon, "upper", "base");
    Do(*daemon, grpc::OK, [&] { return daemon->Prepare("doomed", "upper"); });
    WriteWholeFile(UpperOf(daemon->mounts()) + "/doomed", RandomText(100'000));
    top_ = PullAll(*daemon);
    Do(*daemon, grpc::OK, [&] { return daemon->Prepare("container", top_); });
    ASSERT_TRUE(MountOverlay(daemon->mounts()));
    Do(*daemon, grpc::OK, [&] { return daemon->Remove("doomed"); });
    Do(*daemon, grpc::OK, [&] { return daemon->Cleanup(); });
    ExpectChunks(0, 9);
    // What was read is claimed while slackerd runs, too.
    EXPECT_TRUE(Eventually([this] { return ClaimedOnDisk() >= 9; }));
    ExpectChunks(12, 15);
    WriteWholeFile(merged_ + "/written", RandomText(10'000));
    EXPECT_EQ(daemon->End(SIGTERM), 0);
  }
  void Complete() {
    ConfigureCache("idle", 0);
    auto daemon = Start();
    EXPECT_TRUE(Eventually([this] { return AllSwitched(); }));
    EXPECT_EQ(umount2(merged_.c_str(), 0), 0);
    Do(*daemon, grpc::OK, [&] { return daemon->Remove("container"); });
    EXPECT_EQ(daemon->End(SIGTERM), 0);
  }
  // What nobody has read since slackerd began is cold: it evicts as soon as it starts.
  void Evict() {
    ConfigureCache("off", big_.size() / 2);
    auto daemon = Start();
    EXPECT_TRUE(Eventually([this] { return ClaimedOnDisk() < kChunks; }));
    Do(*daemon, grpc::OK, [&] { return daemon->Prepare("second", top_); });
    ASSERT_TRUE(MountOverlay(daemon->mounts()));
    ExpectChunks(0, kChunks);
    EXPECT_EQ(daemon->End(SIGTERM), 0);
  }
  void RemoveImage() {
    ConfigureCache("off", 0);
    auto daemon = Start();
    EXPECT_EQ(umount2(merged_.c_str(), 0), 0);
    const std::string below = SnapshotsOf(*daemon)[top_].parent;
    for (const std::string& name : {std::string("second"), std::string("upper"), top_, below}) {
      Do(*daemon, grpc::OK, [&] { return daemon->Remove(name); });
    }
    Do(*daemon, grpc::OK, [&] { return daemon->Cleanup(); });
    EXPECT_EQ(daemon->End(SIGTERM), 0);
  }

  // A node that comes up after the power went at `position`.
  void ExpectNodeComesBack(uint64_t position) {
    EXPECT_THAT(FalseClaims(), IsEmpty());
    const std::optional<BlobMap> map = TopMap();
    std::filesystem::rename(dir_ / "store", dir_ / "elsewhere");
    auto daemon = Start();
    const Snapshots found = daemon->running() ? SnapshotsOf(*daemon) : Snapshots();
    EXPECT_TRUE(daemon->running());
    EXPECT_TRUE(AreAnswered(position, found)) << ::testing::PrintToString(found.size());
    for (const auto& [name, shape] : found) {
      if (shape.kind == api::COMMITTED) ExpectContent(*daemon, name);
      if (shape.kind == api::ACTIVE) ExpectContainer(*daemon, name);
    }
    const bool pulled = found.contains(top_);
    if (pulled) ExpectClaimsReadable(*daemon, map);
    std::filesystem::rename(dir_ / "elsewhere", dir_ / "store");
    if (pulled) {
      ExpectChunks(0, kChunks);
      EXPECT_EQ(umount2(merged_.c_str(), 0), 0);
    }
    EXPECT_TRUE(daemon->Cleanup().ok());
    ExpectDirectoriesOf(SnapshotsOf(*daemon));
    EXPECT_TRUE(RemoveAll(*daemon).ok());
    // Loop devices clear themselves in the kernel's own time.
    EXPECT_TRUE(Eventually(
        [&] { return daemon->Cleanup().ok() && std::filesystem::is_empty(root_ + "/blobs"); }));
    ExpectNothingLeft();
    EXPECT_EQ(daemon->End(SIGTERM), 0);
    ExpectSoundDatabase();
  }
  void ExpectContent(Daemon& daemon, const std::string& name) {
    const std::string directory = View(daemon, name);
    if (contents_.contains(name)) {
      EXPECT_TRUE(IsWhole(name, directory)) << name;
    } else {
      EXPECT_TRUE(std::filesystem::exists(directory + "/big")) << name;
    }
    EXPECT_TRUE(daemon.Remove("look at " + name).ok());
  }
  // The topmost directory of a view of it; empty when there is none.
  static std::string View(Daemon& daemon, const std::string& name) {
    const grpc::Status viewed = daemon.View("look at " + name, name);
    EXPECT_TRUE(viewed.ok()) << name << ": " << viewed.error_message();
    if (!viewed.ok() || daemon.mounts().size() != 1) return "";
    std::string directory = daemon.mounts().front().source();
    for (const std::string& option : daemon.mounts().front().options()) {
      if (!option.starts_with("lowerdir=")) continue;
      directory = option.substr(sizeof "lowerdir=" - 1);
      directory.resize(std::min(directory.size(), directory.find(':')));
    }
    return directory;
  }
  bool IsWhole(const std::string& name, const std::string& directory) {
    return DiskTreeOf(directory) == contents_[name];
  }
  void ExpectContainer(Daemon& daemon, const std::string& key) {
    ASSERT_TRUE(daemon.Mounts(key).ok()) << key;
    const std::vector<api::Mount> mounts = daemon.mounts();
    if (mounts.size() == 1 && mounts.front().type() == "bind") {
      WriteWholeFile(mounts.front().source() + "/more", "more");
      return;
    }
    ASSERT_TRUE(MountOverlay(mounts)) << key;
    WriteWholeFile(merged_ + "/more", "more");
    EXPECT_EQ(ReadWholeFile(merged_ + "/more"), "more");
    EXPECT_EQ(umount2(merged_.c_str(), 0), 0);
  }
  void ExpectClaimsReadable(Daemon& daemon, const std::optional<BlobMap>& map) {
    ASSERT_TRUE(daemon.Prepare("again", top_).ok());
    ASSERT_TRUE(MountOverlay(daemon.mounts()));
    for (uint32_t chunk = 0; map.has_value() && chunk < kChunks; ++chunk) {
      if (map->Has(chunk)) ExpectChunks(chunk, chunk + 1);
    }
  }
  void ExpectDirectoriesOf(const Snapshots& snapshots) {
    size_t ordinary = 0, found = 0;
    for (const auto& [name, shape] : snapshots) {
      ordinary += shape.kind != api::COMMITTED || contents_.contains(name) ? 1 : 0;
    }
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/snapshots")) {
      const std::string name = entry.path().filename();
      found += name.starts_with(".new-") || name.starts_with('i') ? 0 : 1;
    }
    EXPECT_EQ(found, ordinary);
  }
  void ExpectSoundDatabase() {
    const auto db = Db::OpenForReading(root_ + "/slacker.db");
    ASSERT_OK(db);
    auto txn = (*db)->Read();
    ASSERT_OK(txn);
    Stmt check(*txn, "PRAGMA integrity_check");
    ASSERT_TRUE(check.Step().value_or(false));
    EXPECT_EQ(check.Text(0), "ok");
  }
};

TEST_P(PowerCutTest, ANodeComesBackWithWhatItHadAnswered) {
  DiskLog log = RunAndLog([this] { LifeOfANode(); });
  ASSERT_FALSE(HasFailure());
  const char* const given = std::getenv("SLACKER_POWER_CUT_SEED");
  const uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device()();
  std::mt19937_64 random(seed);
  const char* const cuts_wanted = std::getenv("SLACKER_POWER_CUTS");
  const bool all = cuts_wanted != nullptr && std::string(cuts_wanted) == "all";
  const size_t count = all ? log.writes().size() : kSampled;
  std::map<uint64_t, bool> cuts;  // position; whether some of what was not synced is there
  for (const uint64_t position : Sample(log.writes(), count, random())) cuts[position] = true;
  for (const uint64_t position : Sample(log.barriers(), count, random())) cuts[position] = false;
  // The first start, of which each step is there once.
  for (const uint64_t position : log.barriers()) {
    if (position <= moments_.front().end) cuts[position] = false;
  }
  std::cout << log.barriers().size() << " barriers, " << log.writes().size() << " writes, "
            << moments_.size() << " calls; " << cuts.size()
            << " cuts, SLACKER_POWER_CUT_SEED=" << seed << "\n";
  ConfigureCache("off", 0);
  for (const auto& [at, with_unsynced] : cuts) {
    SCOPED_TRACE("at " + std::to_string(at) + (with_unsynced ? ", with some of the rest" : ""));
    const uint64_t position = at;
    AfterCut(log, at, with_unsynced ? &random : nullptr, [&] { ExpectNodeComesBack(position); });
    if (HasFailure()) return;
  }
}

// What that is worth: a slackerd that leaves out one kind of sync is found out.

class WithoutSyncTest : public PowerCutTest {};

std::vector<std::string> WithoutSyncOf(const std::string& path) {
  return {"LD_PRELOAD=" WITHOUT_SYNC, "SLACKER_TEST_WITHOUT_SYNC_OF=" + path,
          "ASAN_OPTIONS=verify_asan_link_order=0"};
}

TEST_P(WithoutSyncTest, CachesThatAreNotSyncedBeforeTheirMapsClaimTooMuch) {
  ConfigureCache("off", 0);
  uint64_t position = 0;
  DiskLog log = RunAndLog([&] {
    {
      auto daemon = Start(WithoutSyncOf(".data"));
      top_ = PullAll(*daemon);
      ASSERT_TRUE(daemon->Prepare("container", top_).ok());
      ASSERT_TRUE(MountOverlay(daemon->mounts()));
      ExpectChunks(0, 9);
      EXPECT_EQ(daemon->End(SIGTERM), 0);
    }
    const UniqueFd maps(open((root_ + "/blobs").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    EXPECT_EQ(fsync(maps.get()), 0);
    position = disk_->Position();
    EXPECT_EQ(umount2(merged_.c_str(), 0), 0);
    EXPECT_TRUE(RemoveAll(*Start()).ok());
  });
  std::vector<std::string> wrong;
  AfterCut(log, position, nullptr, [&] { wrong = FalseClaims(); });
  EXPECT_FALSE(wrong.empty());
}

TEST_P(WithoutSyncTest, ADatabaseThatIsNotSyncedForgetsWhatWasAnswered) {
  ConfigureCache("off", 0);
  DiskLog log = RunAndLog([this] {
    auto daemon = Start(WithoutSyncOf("slacker.db-wal"));
    Do(*daemon, grpc::OK, [&] { return daemon->Prepare("answered", ""); });
    daemon->End(SIGKILL);
    EXPECT_TRUE(RemoveAll(*Start()).ok());
  });
  AfterCut(log, moments_.back().end, nullptr, [&] {
    auto daemon = Start();
    EXPECT_FALSE(AreAnswered(moments_.back().end, SnapshotsOf(*daemon)));
    EXPECT_TRUE(RemoveAll(*daemon).ok());
  });
}

TEST_P(WithoutSyncTest, WithoutSyncCommitsALayerMayHaveEmptyFiles) {
  ConfigureCache("off", 0, "sync_commits = false\n");
  DiskLog log = RunAndLog([this] {
    auto daemon = Start();
    Unpack(*daemon, "layer", "");
    daemon->End(SIGKILL);
    EXPECT_TRUE(RemoveAll(*Start()).ok());
  });
  AfterCut(log, moments_.back().end, nullptr, [&] {
    auto daemon = Start();
    ASSERT_TRUE(AreAnswered(moments_.back().end, SnapshotsOf(*daemon)));
    const std::string directory = View(*daemon, "layer");
    EXPECT_TRUE(std::filesystem::is_directory(directory));
    EXPECT_FALSE(IsWhole("layer", directory));
    EXPECT_TRUE(RemoveAll(*daemon).ok());
  });
}

constexpr auto kName = [](const auto& each) { return each.param.name; };
INSTANTIATE_TEST_SUITE_P(On, PowerCutTest, ::testing::ValuesIn(FileSystems()), kName);
INSTANTIATE_TEST_SUITE_P(On, WithoutSyncTest, ::testing::Values(FileSystems().front()), kName);

}  // namespace
}  // namespace slacker::testing
