// Stores that others have filled to the last block: what nobody needs can be taken out of them, until
// there is room to publish again. On the file systems of this machine, and over a real NFS server.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "backend/store/names.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/loop_mount.h"
#include "tests/support/nfs_server.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"

namespace slacker {
namespace {

using testing::GzipLayer;
using testing::ImageLayer;
using ::testing::IsEmpty;
using testing::NfsServer;
using ::testing::Not;
using testing::RandomBytes;
using testing::RunSlackerctl;
using testing::TarBuilder;

constexpr uint64_t kCapacityBytes = 24 << 20;
constexpr size_t kLayerBytes = 4 << 20;

constexpr int kInodes = 192;

enum class Home { kTmpfs, kExt4, kNfs3, kNfs4, kFewInodes };

std::string NameOf(Home home) {
  switch (home) {
    case Home::kTmpfs:
      return "Tmpfs";
    case Home::kExt4:
      return "Ext4";
    case Home::kNfs3:
      return "Nfs3";
    case Home::kNfs4:
      return "Nfs4";
    case Home::kFewInodes:
      return "FewInodes";
  }
  return "";
}

// A small file system of its own with a store in it. Make it before any thread.
class SmallHome {
 public:
  explicit SmallHome(Home home) : home_(home) {
    const std::string mount_point = directory_ / "small";
    std::filesystem::create_directories(mount_point);
    if (home == Home::kTmpfs) {
      mount_.emplace("tmpfs", "tmpfs", mount_point,
                     std::vector<std::string>{"size=" + std::to_string(kCapacityBytes)},
                     testing::Access::kWrite);
    } else if (home == Home::kExt4 || home == Home::kFewInodes) {
      const std::string image = directory_ / "image";
      testing::WriteFileOrDie(image, "");
      std::filesystem::resize_file(image, kCapacityBytes);
      // Nothing kept back for root, who runs this.
      const std::string inodes =
          home == Home::kFewInodes ? "-N " + std::to_string(kInodes) + " " : "";
      const std::string make = "mkfs.ext4 -q -b 4096 -m 0 -O ^has_journal " + inodes + image;
      EXPECT_EQ(std::system(make.c_str()), 0);  // NOLINT(cert-env33-c): a test's own file
      loop_.emplace(image, testing::Access::kWrite);
      mount_.emplace("ext4", loop_->path(), mount_point, std::vector<std::string>{},
                     testing::Access::kWrite);
    } else {
      NfsServer::Options options;
      options.capacity_bytes = kCapacityBytes;
      server_.emplace(directory_.path(), options);
    }
  }

  std::string Root() const { return server_ ? server_->export_directory() : directory_ / "small"; }
  std::string Store() const { return Root() + "/store"; }
  std::string Url() const {
    if (!server_) return "loopback:" + Store();
    return NfsServer::Url(home_ == Home::kNfs3 ? 3 : 4, "/store");
  }

  // As others do who share the file system: until not one block is left.
  void Fill() const {
    const std::string path = Root() + "/others";
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    ASSERT_TRUE(file.valid());
    const std::string block = RandomBytes(4096, 1);
    while (write(file.get(), block.data(), block.size()) > 0) {
    }
    ASSERT_EQ(errno, ENOSPC);
    ASSERT_EQ(fsync(file.get()), 0);
  }
  // Of blocks there are enough.
  void FillWithFiles() const {
    const std::string directory = Root() + "/others.d/";
    std::filesystem::create_directories(directory);
    for (int i = 0;; ++i) {
      const std::string path = directory + std::to_string(i);
      if (UniqueFd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)).valid()) continue;
      ASSERT_EQ(errno, ENOSPC);
      break;
    }
  }
  uint64_t FreeInodes() const {
    struct statvfs info {};
    EXPECT_EQ(statvfs(Root().c_str(), &info), 0);
    return info.f_favail;
  }
  uint64_t FreeBytes() const { return std::filesystem::space(Root()).available; }

 private:
  const testing::TempDir directory_;
  const Home home_;
  std::optional<testing::TestLoop> loop_;
  std::optional<testing::TestMount> mount_;
  std::optional<NfsServer> server_;
};

class FullStoreTest : public ::testing::TestWithParam<Home> {
 protected:
  FullStoreTest() : home_(GetParam()) {
    const ImageLayer base = Layer("base", 1);
    for (uint64_t i = 1; i <= 4; ++i) {
      layout_.AddImage({base, Layer("own", 1 + i)}, "v" + std::to_string(i));
    }
    layout_.AddImage({base, GzipLayer(TarBuilder().File("own", "little").End())}, "small");
    for (const char* tag : {"v1", "v2", "v3"}) EXPECT_EQ(Publish(tag), 0);
  }
  static ImageLayer Layer(const std::string& name, uint64_t seed) {
    return GzipLayer(TarBuilder().File(name, RandomBytes(kLayerBytes, seed)).End());
  }
  std::string Image(const std::string& tag) const {
    return "oci:" + layout_.directory() + ":" + tag;
  }
  int Slackerctl(const std::vector<std::string>& arguments) const {
    const int status = RunSlackerctl(arguments, home_.Url());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  int Publish(const std::string& tag) const {
    return Slackerctl({"publish", Image(tag), "--platform", "linux/amd64"});
  }

  const SmallHome home_;
  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
};

TEST_P(FullStoreTest, WithoutABlockLeftImagesCanBeRemovedUntilThereIsRoomToPublishAgain) {
  home_.Fill();
  ASSERT_EQ(home_.FreeBytes(), 0u);
  ASSERT_NE(Publish("v4"), 0);
  testing::ExpectSoundStore(home_.Store(), 3);
  EXPECT_THAT(testing::OpenStore(home_.Store())->List("intents/").value(), IsEmpty());
  ASSERT_EQ(Slackerctl({"rm", Image("v2")}), 0);
  ASSERT_EQ(Slackerctl({"gc", "--grace", "0"}), 0);
  EXPECT_GE(home_.FreeBytes(), kLayerBytes - kLayerBytes / 8);
  testing::ExpectSoundStore(home_.Store(), 2);
  // It has its room back, for the next time.
  EXPECT_OK(testing::OpenStore(home_.Store())->Stat(kReserveName).status());
  ASSERT_EQ(Slackerctl({"rm", Image("v3")}), 0);
  ASSERT_EQ(Slackerctl({"gc", "--grace", "0"}), 0);
  ASSERT_EQ(Publish("v4"), 0);
  testing::ExpectSoundStore(home_.Store(), 2);
}

// With a grace nothing goes at once; what was condemned before does.
TEST_P(FullStoreTest, WhatHasBeenCondemnedForTheGraceGoes) {
  ASSERT_EQ(Slackerctl({"rm", Image("v2")}), 0);
  testing::Backdate(home_.Store());
  ASSERT_EQ(Slackerctl({"gc", "--grace", "1d"}), 0);
  testing::Backdate(home_.Store());
  home_.Fill();
  ASSERT_EQ(home_.FreeBytes(), 0u);
  ASSERT_EQ(Slackerctl({"gc", "--grace", "1d"}), 0);
  EXPECT_GE(home_.FreeBytes(), kLayerBytes - kLayerBytes / 8);
  ASSERT_EQ(Publish("small"), 0);
  testing::ExpectSoundStore(home_.Store(), 3);
}

TEST_P(FullStoreTest, DamagedObjectsAreMovedAside) {
  const auto store = testing::OpenStore(home_.Store());
  ASSERT_OK_AND_ASSIGN(const auto records, store->List(kRecordsPrefix));
  ASSERT_THAT(records, Not(IsEmpty()));
  std::string record = testing::ReadFileOrDie(home_.Store() + "/" + records[0]);
  record[record.size() / 2] = static_cast<char>(record[record.size() / 2] ^ 1);
  testing::WriteFileOrDie(home_.Store() + "/" + records[0], record);
  testing::Backdate(home_.Store());
  ASSERT_OK_AND_ASSIGN(const auto packs, store->List(kPacksPrefix));
  for (const std::string& name : packs) {
    if (!name.ends_with(".idx")) continue;
    ASSERT_OK(store->Remove(name));
  }
  home_.Fill();
  ASSERT_EQ(home_.FreeBytes(), 0u);
  EXPECT_EQ(Slackerctl({"fsck", "--repair"}), 1);  // the layer is lost until it is published again
  EXPECT_EQ(testing::ReadFileOrDie(home_.Store() + "/quarantine/" + records[0]), record);
}

class NoInodeLeftTest : public FullStoreTest {};

TEST_P(NoInodeLeftTest, ImagesCanBeRemovedUntilThereIsRoomToPublishAgain) {
  home_.FillWithFiles();
  ASSERT_EQ(home_.FreeInodes(), 0u);
  ASSERT_GE(home_.FreeBytes(), kLayerBytes);
  EXPECT_THAT(testing::OpenStore(home_.Store())->Put("packs/more", ""),
              testing::StatusIs(absl::StatusCode::kResourceExhausted, "no inodes left"));
  ASSERT_NE(Publish("v4"), 0);
  testing::ExpectSoundStore(home_.Store(), 3);
  ASSERT_EQ(Slackerctl({"fsck", "--repair"}), 0);
  ASSERT_EQ(Slackerctl({"rm", Image("v2")}), 0);
  ASSERT_EQ(Slackerctl({"gc", "--grace", "0"}), 0);
  EXPECT_GT(home_.FreeInodes(), 4u);
  testing::ExpectSoundStore(home_.Store(), 2);
  EXPECT_OK(testing::OpenStore(home_.Store())->Stat(kReserveName).status());
  ASSERT_EQ(Slackerctl({"rm", Image("v3")}), 0);
  ASSERT_EQ(Slackerctl({"gc", "--grace", "0"}), 0);
  ASSERT_EQ(Publish("v4"), 0);
  testing::ExpectSoundStore(home_.Store(), 2);
}

INSTANTIATE_TEST_SUITE_P(Homes, NoInodeLeftTest, ::testing::Values(Home::kFewInodes),
                         [](const auto& test) { return NameOf(test.param); });

INSTANTIATE_TEST_SUITE_P(Homes, FullStoreTest,
                         ::testing::Values(Home::kTmpfs, Home::kExt4, Home::kNfs3, Home::kNfs4),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace slacker
