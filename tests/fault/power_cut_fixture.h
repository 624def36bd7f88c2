// A slackerd whose root is a file system on a disk that logs every write and every barrier
// (tests/support/logging_disk.h), and what is to be known about the moment at which its power goes.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "backend/os/loop_device.h"
#include "snapshotter/fill/blob_map.h"
#include "snapshotter/fill/page_sums.h"
#include "tests/fault/file_systems.h"
#include "tests/fault/remote_fixture.h"
#include "tests/support/disk_tree.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/logging_disk.h"
#include "tests/support/loop_mount.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {

struct SnapshotShape {
  api::Kind kind = api::UNKNOWN;
  std::string parent;
  bool operator==(const SnapshotShape&) const = default;
};
using Snapshots = std::map<std::string, SnapshotShape>;

class PowerCutFixture : public RemoteFixture, public ::testing::WithParamInterface<FileSystem> {
 protected:
  static constexpr uint32_t kChunks = 24;  // of the file "big" of the image's top layer
  static constexpr size_t kChunkBytes = 64 << 10;
  static constexpr uintmax_t kNeededBytes = 1 << 30;

  void SetUp() override {
    const std::filesystem::space_info space = std::filesystem::space(dir_.path());
    ASSERT_GE(space.available, kNeededBytes)
        << "TMPDIR has too little space for disks, their logs and what is cut off them: "
        << dir_.path();
    auto opened = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
    ASSERT_OK(opened);
    const std::shared_ptr<Backend> store = *std::move(opened);
    image_ = Publish(store, {MakeBigLayer(60, 1), MakeLayerOfBigChunks(kChunks, 2)});
    // Pages of chunks that do not come as a whole.
    WritePagePackOf(store, image_, {{1, 16 * 19 + 3, 7}, {1, 16 * 22, 20}});
    for (const std::string& chunk : image_.layers.back().chunks) big_ += chunk;
    std::filesystem::create_directories(root_);
    std::filesystem::create_directories(merged_);
    std::filesystem::create_directories(dir_ / "logging");
    MakeFileSystem(GetParam(), blank_);
  }
  void TearDown() override {
    if (HasFailure()) {
      (void)umount2(merged_.c_str(), MNT_DETACH);
      EndLeftovers(dir_.path());
    }
    DaemonFixture::TearDown();
  }
  // From the next start on.
  void ConfigureCache(const std::string& complete, uint64_t max_bytes,
                      const std::string& more = "") {
    std::ofstream(config_) << "[store]\nstall_timeout = \"2s\"\nurl = \"loopback:"
                           << (dir_ / "store") << "\"\n[cache]\ncomplete = \"" << complete
                           << "\"\nmin_free = \"0%\"\nmax_bytes = " << max_bytes
                           << "\n[node]\nrun_dir = \"" << run_dir_ << "\"\n"
                           << more;
  }

  // --- While the disk logs

  // Does `work` on a new disk; its log.
  DiskLog RunAndLog(const std::function<void()>& work) {
    disk_ = std::make_unique<LoggingDisk>(LOGGING_DISK_SERVER, blank_, dir_ / "logging");
    {
      TestLoop loop(disk_->path(), Access::kWrite);
      const TestMount mount(GetParam().name, loop.path(), root_, {}, Access::kWrite);
      work();
      // A slackerd that has died leaves mounts on the disk, which would keep it, and its server.
      if (HasFailure()) {
        (void)umount2(merged_.c_str(), MNT_DETACH);
        EndLeftovers(dir_.path());
      }
    }
    EXPECT_TRUE(Eventually([this] { return LoopsBelow(dir_ / "logging") == 0; }));
    disk_.reset();
    return DiskLog(blank_, dir_ / "logging/log");
  }
  // A call that changes what snapshots there are, and how it ends.
  template <typename Call>
  void Do(Daemon& daemon, grpc::StatusCode expected, Call call) {
    Moment moment;
    moment.begin = disk_->Position();
    const grpc::Status status = call();
    EXPECT_EQ(status.error_code(), expected) << status.error_message();
    moment.end = disk_->Position();
    moment.snapshots = SnapshotsOf(daemon);
    moments_.push_back(std::move(moment));
  }
  // As containerd unpacks a layer.
  void Unpack(Daemon& daemon, const std::string& name, const std::string& parent) {
    Do(daemon, grpc::OK, [&] { return daemon.Prepare("extract " + name, parent); });
    const std::string upper = UpperOf(daemon.mounts());
    for (int i = 0; i < 3; ++i) {
      WriteWholeFile(upper + "/" + name + std::to_string(i), RandomText(20'000));
    }
    AddOddEntries(upper, RandomText(5'000));
    contents_[name] = DiskTreeOf(upper);
    Do(daemon, grpc::OK, [&] { return daemon.Commit(name, "extract " + name); });
  }
  std::string PullAll(Daemon& daemon) {
    std::string top;
    for (size_t layer = 0; layer < image_.layers.size(); ++layer) {
      Do(daemon, grpc::ALREADY_EXISTS,
         [&] { return daemon.Prepare("pull " + std::to_string(layer), top, RefOf(layer)); });
      const std::vector<api::Info> found = RemoteSnapshots(daemon, layer, top);
      EXPECT_EQ(found.size(), 1U);
      if (found.size() != 1) return "";
      top = found.front().name();
    }
    return top;
  }

  // --- After a power cut

  // Mounts what a cut at `position` leaves (DiskLog::WriteDisk), and asks.
  void AfterCut(DiskLog& log, uint64_t position, std::mt19937_64* random,
                const std::function<void()>& ask) {
    log.WriteDisk(position, random, dir_ / "image");
    {
      TestLoop loop(dir_ / "image", Access::kWrite);
      const TestMount mount(GetParam().name, loop.path(), root_, {}, Access::kWrite);
      if (mount.mounted()) ask();
    }
    EXPECT_TRUE(Eventually([this] { return LoopsBelow(dir_.path()) == 0; }));
  }
  // Whether these are the snapshots after what was answered before `position`, or after the call
  // that was under way.
  bool AreAnswered(uint64_t position, const Snapshots& found) const {
    size_t next = 0;
    while (next < moments_.size() && moments_[next].end <= position) ++next;
    if (found == (next == 0 ? Snapshots() : moments_[next - 1].snapshots)) return true;
    return next < moments_.size() && moments_[next].begin < position &&
           found == moments_[next].snapshots;
  }
  // What is wrong with the caches below the root, as they are on the disk.
  std::vector<std::string> FalseClaims() {
    std::vector<std::string> wrong;
    ForEachMap([&](const BlobMap& map, size_t layer, const std::string& data_path) {
      Compare(map, layer, ReadWholeFile(data_path), &wrong);
    });
    return wrong;
  }
  // The map of the top layer's cache, if there is one.
  std::optional<BlobMap> TopMap() {
    std::optional<BlobMap> top;
    ForEachMap([&](const BlobMap& map, size_t layer, const std::string&) {
      if (layer == 1) top = map;
    });
    return top;
  }
  uint32_t ClaimedOnDisk() {
    const std::optional<BlobMap> map = TopMap();
    uint32_t claimed = 0;
    for (uint32_t chunk = 0; map.has_value() && chunk < kChunks; ++chunk) {
      claimed += map->Has(chunk) ? 1 : 0;
    }
    return claimed;
  }

  // --- Both

  static Snapshots SnapshotsOf(Daemon& daemon) {
    Snapshots snapshots;
    for (const api::Info& each : daemon.List()) {
      snapshots[each.name()] = {each.kind(), each.parent()};
    }
    return snapshots;
  }
  static std::string UpperOf(const std::vector<api::Mount>& mounts) {
    if (mounts.size() != 1) return "no mount";
    for (const std::string& option : mounts.front().options()) {
      if (option.starts_with("upperdir=")) return option.substr(sizeof "upperdir=" - 1);
    }
    return mounts.front().source();
  }
  bool MountOverlay(const std::vector<api::Mount>& mounts) {
    std::string data;
    if (mounts.size() != 1) return false;
    for (const std::string& option : mounts.front().options()) {
      data += (data.empty() ? "" : ",") + option;
    }
    return ::mount("overlay", merged_.c_str(), "overlay", 0, data.c_str()) == 0;
  }
  // Of the container's "big".
  void ExpectChunks(uint32_t begin, uint32_t end) {
    const UniqueFd file(open((merged_ + "/big").c_str(), O_RDONLY | O_CLOEXEC));
    std::string bytes((end - begin) * kChunkBytes, '\0');
    const ssize_t got =
        pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(begin * kChunkBytes));
    EXPECT_EQ(got, static_cast<ssize_t>(bytes.size())) << begin;
    EXPECT_EQ(big_.compare(begin * kChunkBytes, bytes.size(), bytes), 0) << begin;
  }
  bool AllSwitched() { return LoopsBelow(root_ + "/blobs") > 0 && LoopsBelow(run_dir_) == 0; }
  std::string RandomText(size_t size) {
    std::string text(size, '\0');
    for (char& byte : text) byte = static_cast<char>('a' + text_random_() % 26);
    return text;
  }

  // After a call: what there is, and the log's positions when it was made and when it was answered.
  struct Moment {
    uint64_t begin = 0, end = 0;
    Snapshots snapshots;
  };

  const std::string blank_ = dir_ / "blank", merged_ = dir_ / "merged";
  std::unique_ptr<LoggingDisk> disk_;
  std::string big_, top_;
  std::map<std::string, DiskTree> contents_;  // of what was committed
  std::vector<Moment> moments_;

 private:
  // Each map with its layer and its data file. A map that cannot be read claims nothing.
  template <typename Visit>
  void ForEachMap(Visit visit) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/blobs", none)) {
      const auto claims = ReadBlobClaims(entry.path());
      if (entry.path().extension() != ".map" || !claims.ok()) continue;
      const auto map = ReadBlobMap(entry.path(), claims->size_bytes);
      const auto data = std::filesystem::path(entry.path()).replace_extension(".data");
      for (size_t layer = 0; layer < image_.layers.size(); ++layer) {
        if (map.ok() && map->record == image_.manifest[layer].record) visit(*map, layer, data);
      }
    }
  }
  void Compare(const BlobMap& map, size_t layer, const std::string& data,
               std::vector<std::string>* wrong) {
    const std::string right = image_.BlobContent(layer);
    const std::string where = " of layer " + std::to_string(layer);
    if (data.size() != right.size()) return wrong->push_back("the size" + where);
    const auto same = [&](uint64_t offset, uint64_t size) {
      return data.compare(offset, size, right, offset, size) == 0;
    };
    const auto& chunks = image_.layers[layer].layer.chunks;
    for (uint32_t chunk = 0; chunk < chunks.size(); ++chunk) {
      if (!map.Has(chunk) || same(chunks[chunk].blob_offset, chunks[chunk].size_bytes)) continue;
      wrong->push_back("chunk " + std::to_string(chunk) + where);
    }
    for (uint64_t page = 0; page < map.sums.size(); ++page) {
      if (map.sums[page] == PageSums::kUnknown) continue;
      if (same(page * PageSums::kPageBytes, PageSums::kPageBytes)) continue;
      wrong->push_back("page " + std::to_string(page) + where);
    }
    if (map.verified && map.IsFull() && data != right) wrong->push_back("sealed" + where);
  }

  std::mt19937_64 text_random_{7};
};

}  // namespace slacker::testing
