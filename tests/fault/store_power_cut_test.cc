// The power goes at any moment of publishing into a store on a disk of this machine. From each of many
// such moments the disk is made again and mounted:
//
//   - what slackerctl had said to be published is there, and all that is there is sound;
//   - publishing again makes everything whole.
//
// SLACKER_POWER_CUTS and SLACKER_POWER_CUT_SEED are as in power_cut_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/fault/file_systems.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/logging_disk.h"
#include "tests/support/loop_mount.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"

namespace slacker::testing {
namespace {

constexpr size_t kSampled = 12;  // cuts of each kind

class StorePowerCutTest : public ::testing::TestWithParam<FileSystem> {
 protected:
  void SetUp() override {
    std::vector<ImageLayer> layers;
    for (uint64_t i = 1; i <= kImages; ++i) {
      layers.push_back(
          GzipLayer(TarBuilder().File("file" + std::to_string(i), RandomBytes(400'000, i)).End()));
      layout_.AddImage(layers, "v" + std::to_string(i));
    }
    for (const char* name : {"logging", "mounted"}) {
      std::filesystem::create_directories(dir_ / name);
    }
    MakeFileSystem(GetParam(), blank_);
  }

  // An exit status. `environment`: assignments for a shell.
  int Publish(int image, const std::string& environment = "") {
    const std::string command =
        environment + " " SLACKERCTL " publish --platform linux/amd64 oci:" + layout_.directory() +
        ":v" + std::to_string(image) + " --store loopback:" + store_ + " > /dev/null 2>&1";
    return std::system(command.c_str());  // NOLINT(cert-env33-c)
  }
  // Publishes all images, one after the other, on a new disk; its log.
  DiskLog PublishAndLog(const std::string& environment = "") {
    LoggingDisk disk(LOGGING_DISK_SERVER, blank_, dir_ / "logging");
    {
      const TestLoop loop(disk.path(), Access::kWrite);
      const TestMount mount(GetParam().name, loop.path(), mounted_, {}, Access::kWrite);
      for (int image = 1; image <= kImages; ++image) {
        EXPECT_EQ(Publish(image, environment), 0);
        answered_.push_back(disk.Position());
      }
    }
    EXPECT_TRUE(Eventually([this] { return LoopsBelow(dir_ / "logging") == 0; }));
    return DiskLog(blank_, dir_ / "logging/log");
  }
  // Mounts what a cut at `position` leaves (DiskLog::WriteDisk), and asks.
  void AfterCut(DiskLog& log, uint64_t position, std::mt19937_64* random,
                const std::function<void()>& ask) {
    log.WriteDisk(position, random, dir_ / "image");
    {
      const TestLoop loop(dir_ / "image", Access::kWrite);
      const TestMount mount(GetParam().name, loop.path(), mounted_, {}, Access::kWrite);
      if (mount.mounted()) ask();
    }
    EXPECT_TRUE(Eventually([this] { return LoopsBelow(dir_.path()) == 0; }));
  }
  size_t ImagesInStore() const {
    return std::filesystem::exists(store_) ? ListImages(*OpenStore(store_))->size() : 0;
  }
  void ExpectAnsweredAndSound(uint64_t position) {
    const size_t images = ImagesInStore();
    const auto answered = static_cast<size_t>(
        std::count_if(answered_.begin(), answered_.end(),
                      [position](uint64_t moment) { return moment <= position; }));
    EXPECT_GE(images, answered);
    EXPECT_LE(images, answered + 1);
    if (images > 0) ExpectSoundStore(store_, images);
    for (int image = 1; image <= kImages; ++image) EXPECT_EQ(Publish(image), 0);
    ExpectSoundStore(store_, kImages);
  }

  static constexpr int kImages = 2;  // the second stands on the first
  const TempDir dir_;
  const KernelLeakCheck leaks_{dir_.path()};
  const std::string blank_ = dir_ / "blank", mounted_ = dir_ / "mounted";
  const std::string store_ = mounted_ + "/store";
  OciLayout layout_{dir_ / "layout"};
  std::vector<uint64_t> answered_;  // positions
};

TEST_P(StorePowerCutTest, WhatWasSaidToBePublishedIsThereAndEverythingIsSound) {
  DiskLog log = PublishAndLog();
  ASSERT_FALSE(HasFailure());
  const char* const given = std::getenv("SLACKER_POWER_CUT_SEED");
  const uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device()();
  std::mt19937_64 random(seed);
  const char* const wanted = std::getenv("SLACKER_POWER_CUTS");
  const size_t count =
      wanted != nullptr && std::string(wanted) == "all" ? log.writes().size() : kSampled;
  std::map<uint64_t, bool> cuts;  // position; whether some of what was not synced is there
  for (const uint64_t position : Sample(log.writes(), count, random())) cuts[position] = true;
  for (const uint64_t position : Sample(log.barriers(), count, random())) cuts[position] = false;
  for (const uint64_t position : answered_) cuts[position] = false;
  std::cout << log.barriers().size() << " barriers, " << log.writes().size() << " writes; "
            << cuts.size() << " cuts, SLACKER_POWER_CUT_SEED=" << seed << "\n";
  for (const auto& [at, with_unsynced] : cuts) {
    SCOPED_TRACE("at " + std::to_string(at) + (with_unsynced ? ", with some of the rest" : ""));
    const uint64_t position = at;
    AfterCut(log, at, with_unsynced ? &random : nullptr, [&] { ExpectAnsweredAndSound(position); });
    if (HasFailure()) return;
  }
}

// What that is worth: a publisher that leaves out one kind of sync is found out.
class StoreWithoutSyncTest : public StorePowerCutTest {
 protected:
  bool IsPublishedAndSound(const std::string& without_sync_of) {
    DiskLog log = PublishAndLog("LD_PRELOAD=" WITHOUT_SYNC
                                " ASAN_OPTIONS=verify_asan_link_order=0 "
                                "SLACKER_TEST_WITHOUT_SYNC_OF=" +
                                without_sync_of);
    bool good = false;
    AfterCut(log, answered_.back(), nullptr, [&] {
      good = ImagesInStore() == kImages && VerifyStore(OpenStore(store_))->damages.empty();
    });
    return good;
  }
};

TEST_P(StoreWithoutSyncTest, WithAllSyncsItIsGood) { EXPECT_TRUE(IsPublishedAndSound("/none/")); }

TEST_P(StoreWithoutSyncTest, ObjectsThatAreNotSyncedAreDamagedOrGone) {
  EXPECT_FALSE(IsPublishedAndSound("/.tmp-"));
}

constexpr auto kName = [](const auto& each) { return each.param.name; };
INSTANTIATE_TEST_SUITE_P(On, StorePowerCutTest, ::testing::ValuesIn(FileSystems()), kName);
INSTANTIATE_TEST_SUITE_P(On, StoreWithoutSyncTest, ::testing::Values(FileSystems().front()), kName);

}  // namespace
}  // namespace slacker::testing
