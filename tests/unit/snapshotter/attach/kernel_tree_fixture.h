// Attaching with the real kernel: a keeper, a FUSE connection and a helper of the test's own, and one
// tree on one blob. Trees are read by other processes only: a server's process must not wait for
// itself.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "backend/os/loop_device.h"
#include "snapshotter/attach/kernel_tree_mounter.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_blob_source.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

inline constexpr uint64_t kBlobId = 1;  // the smallest: next to FUSE's root node
inline constexpr int kFiles = 48;

inline int Shell(const std::string& command) {
  return std::system(("( " + command + " ) 2>&1").c_str());
}

class KernelTreeMounterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(root_);
    std::filesystem::create_directories(tree_);
    std::filesystem::create_directories(caches_);
    source_.Add(kBlobId, ReadWholeFile(sample_.blob));
    ASSERT_OK_AND_ASSIGN(keeper_, KeeperClient::Open({root_, run_dir_, KEEPER_PATH, 5}));
    Connect();
  }
  void Connect() {
    ASSERT_OK_AND_ASSIGN(connection_, FuseConnection::Open({run_dir_, 2}, keeper_.get(), &source_));
    ASSERT_OK_AND_ASSIGN(mounter_, KernelTreeMounter::Open({.helper_path = HELPER_PATH,
                                                            .read_ahead_kib = 16,
                                                            .cache_directory = caches_},
                                                           connection_.get(), keeper_.get()));
  }
  void TearDown() override {
    EXPECT_OK(mounter_->Detach(tree_));
    EXPECT_TRUE(Eventually([this] {
      const auto blobs = mounter_->FindBlobsInUse();
      return blobs.ok() && blobs->on_fuse.empty() && blobs->on_cache.empty();
    }));
    ASSERT_OK_AND_ASSIGN(const bool ended, mounter_->EndIfIdle());
    EXPECT_TRUE(ended);
  }
  void MakeCache() {
    std::filesystem::copy_file(sample_.blob, caches_ + "/1.data",
                               std::filesystem::copy_options::overwrite_existing);
  }
  BlobRef Blob(BlobFile file) { return {kBlobId, sample_.blob_bytes(), file}; }
  // The loop device that is on this metadata image: "loop7"; "" for none.
  static std::string DeviceOf(const std::string& metadata) {
    const auto loops = ListLoopDevices();
    for (const LoopBacking& loop : *loops) {
      if (loop.backing_path == metadata) return "loop" + std::to_string(loop.number);
    }
    return "";
  }
  // What the tree's own one reads ahead.
  std::string ReadAhead() {
    return ReadWholeFile("/sys/block/" + DeviceOf(sample_.metadata) + "/queue/read_ahead_kb");
  }
  // How the blobs' loop devices read their files: what /sys says, for each.
  std::vector<std::string> BlobDevices() {
    std::vector<std::string> devices;
    const auto loops = ListLoopDevices();
    for (const LoopBacking& loop : *loops) {
      if (!loop.backing_path.starts_with(directory_.path())) continue;
      if (loop.backing_path == sample_.metadata) continue;
      const std::string device = "/sys/block/loop" + std::to_string(loop.number);
      devices.push_back("direct " + ReadWholeFile(device + "/loop/dio") + "block " +
                        ReadWholeFile(device + "/queue/logical_block_size"));
    }
    return devices;
  }
  TreeSpec Spec() { return {sample_.metadata, tree_, {{kBlobId, sample_.blob_bytes()}}}; }

  TempDir directory_;
  KernelLeakCheck leaks_{directory_.path()};
  ErofsSample sample_{directory_.path(), kFiles, 20000};
  const std::string root_ = directory_ / "root";
  const std::string run_dir_ = directory_ / "run";
  const std::string tree_ = directory_ / "tree";
  const std::string caches_ = directory_ / "root/blobs";
  FakeBlobSource source_;
  std::unique_ptr<KeeperClient> keeper_;
  std::unique_ptr<FuseConnection> connection_;
  std::unique_ptr<KernelTreeMounter> mounter_;
};

}  // namespace slacker::testing
