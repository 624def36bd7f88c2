// SIGKILL at every failpoint of a store's maintenance, on a directory and over a real NFS server.
// Invariants: every visible image is sound; the same verb run again finishes the work; garbage is
// collected in the end; of what a repair finds damaged nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "backend/store/names.h"
#include "backend/upkeep/fsck.h"
#include "backend/upkeep/objects.h"
#include "tests/fault/slackerctl.h"
#include "tests/fault/store_place.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using testing::GzipLayer;
using testing::ImageLayer;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::RandomBytes;
using testing::RunSlackerctl;
using testing::StorePlace;
using testing::TarBuilder;
using testing::Way;

// Three images on one base, of which one was removed again.
class UpkeepCrash {
 protected:
  explicit UpkeepCrash(Way way) : place_(way) {
    const ImageLayer base = Layer("base", 1);
    for (uint64_t i = 2; i <= 4; ++i) {
      const std::string tag = "v" + std::to_string(i);
      layout_.AddImage({base, Layer(tag, i)}, tag);
      EXPECT_EQ(Publish("prepared", tag), 0);
    }
    EXPECT_EQ(Slackerctl({"rm", Image("v4")}, "prepared"), 0);
  }
  static ImageLayer Layer(const std::string& name, uint64_t seed) {
    return GzipLayer(TarBuilder().File(name, RandomBytes(150'000, seed)).End());
  }
  std::string Image(const std::string& tag) const {
    return "oci:" + layout_.directory() + ":" + tag;
  }
  int Slackerctl(const std::vector<std::string>& arguments, const std::string& store,
                 const std::string& variable = "X=1") const {
    return RunSlackerctl(arguments, place_.Url(store), variable);
  }
  int Publish(const std::string& store, const std::string& tag) const {
    return Slackerctl({"publish", Image(tag), "--platform", "linux/amd64"}, store);
  }
  // Two days later. Its directory.
  std::string CopyOfPrepared(const std::string& store) const {
    const std::string to = place_.Directory(store);
    std::filesystem::copy(place_.Directory("prepared"), to,
                          std::filesystem::copy_options::recursive);
    testing::Backdate(to);
    return to;
  }
  // Runs `arguments` on a copy of the prepared store once for each failpoint that they pass (many
  // are alike: some ten of each), dies there, and has `check` look at the store of this name.
  void DieEverywhere(const std::vector<std::string>& arguments,
                     const std::vector<std::string>& expected, int exit_code,
                     const std::function<void(const std::string& store)>& check) const {
    const std::string whole = CopyOfPrepared("whole");
    const int exited =
        Slackerctl(arguments, "whole", "SLACKER_FAILPOINT_TRACE=" + (dir_ / "trace"));
    ASSERT_TRUE(WIFEXITED(exited));
    ASSERT_EQ(WEXITSTATUS(exited), exit_code);
    const auto passages = testing::Passages(dir_ / "trace");
    for (const std::string& name : expected) EXPECT_TRUE(passages.contains(name)) << name;
    int stores = 0;
    for (const auto& [name, count] : passages) {
      for (int n = 1; n <= count; n += 1 + count / 10) {
        const std::string point = name + ":" + std::to_string(n);
        SCOPED_TRACE(point);
        const std::string store = "store-" + std::to_string(++stores);
        const std::string directory = CopyOfPrepared(store);
        const int status = Slackerctl(arguments, store, "SLACKER_FAILPOINT=" + point);
        ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        check(store);
        std::filesystem::remove_all(directory);
      }
    }
  }

  StorePlace place_;
  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
};

struct Case {
  const char* name;
  std::vector<std::string> arguments;
  size_t images_before, images_after;
  std::vector<std::string> failpoints;  // some that it must have passed
};

class UpkeepCrashTest : public ::testing::TestWithParam<std::tuple<Way, Case>>,
                        protected UpkeepCrash {
 protected:
  UpkeepCrashTest() : UpkeepCrash(std::get<0>(GetParam())) {}
};

TEST_P(UpkeepCrashTest, WhateverStepItDiesAtEveryImageStaysSoundAndTheNextRunFinishes) {
  const Case& verb = std::get<1>(GetParam());
  std::vector<std::string> arguments = verb.arguments;
  if (arguments[0] == "rm") arguments.push_back(Image("v3"));
  std::vector<std::string> expected = verb.failpoints;
  if (std::get<0>(GetParam()) != Way::kLoopback) expected.emplace_back("nfs.created");
  DieEverywhere(arguments, expected, 0, [&](const std::string& store) {
    const std::string directory = place_.Directory(store);
    const size_t images = ListImages(*testing::OpenStore(directory))->size();
    EXPECT_TRUE(images == verb.images_before || images == verb.images_after);
    testing::ExpectSoundStore(directory, images);
    (void)Slackerctl(arguments, store);  // a name that is gone is an error of rm
    testing::ExpectSoundStore(directory, verb.images_after);
    testing::Backdate(directory);
    ASSERT_EQ(Slackerctl({"gc", "--grace", "0"}, store), 0);
    ASSERT_EQ(Slackerctl({"gc", "--grace", "0"}, store), 0);
    testing::ExpectSoundStore(directory, verb.images_after);
    const auto opened = testing::OpenStore(directory);
    EXPECT_THAT(opened->List("trash/").value(), ElementsAre("trash/clock", kReserveName));
    EXPECT_THAT(opened->List("removed/").value(), IsEmpty());
    EXPECT_THAT(opened->List("intents/").value(), IsEmpty());
    EXPECT_EQ(opened->List("records/")->size(), verb.images_after + 1);
    EXPECT_EQ(opened->List("manifests/")->size(), verb.images_after + 1);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
      EXPECT_FALSE(entry.path().filename().string().starts_with(".tmp-")) << entry.path();
    }
  });
}

class UpkeepOverNfsTest : public ::testing::TestWithParam<Way>, protected UpkeepCrash {
 protected:
  UpkeepOverNfsTest() : UpkeepCrash(GetParam()) {}
};

TEST_P(UpkeepOverNfsTest, EveryVerbSaysWhatItSaysOfTheServersDirectory) {
  for (const std::vector<std::string>& verb : std::vector<std::vector<std::string>>{
           {"stats"}, {"fsck"}, {"verify"}, {"images"}, {"gc", "--dry-run", "--grace", "0"}}) {
    SCOPED_TRACE(verb[0]);
    std::vector<std::string> arguments = verb;
    arguments.emplace_back("--json");
    const std::string here = dir_ / (verb[0] + "-here"), over_nfs = dir_ / (verb[0] + "-nfs");
    EXPECT_EQ(RunSlackerctl(arguments, "loopback:" + place_.Directory("prepared"), "X=1", here), 0);
    EXPECT_EQ(RunSlackerctl(arguments, place_.Url("prepared"), "X=1", over_nfs), 0);
    EXPECT_THAT(testing::ReadFileOrDie(here), Not(IsEmpty()));
    EXPECT_EQ(testing::ReadFileOrDie(over_nfs), testing::ReadFileOrDie(here));
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, UpkeepOverNfsTest, ::testing::Values(Way::kNfs3, Way::kNfs4),
                         [](const auto& test) { return testing::NameOf(test.param); });

INSTANTIATE_TEST_SUITE_P(
    Verbs, UpkeepCrashTest,
    ::testing::Combine(
        ::testing::Values(Way::kLoopback, Way::kNfs3, Way::kNfs4),
        ::testing::Values(
            Case{
                "Gc",
                {"gc", "--grace", "0"},
                2,
                2,
                {"gc.marked", "gc.condemned", "gc.before_remove", "gc.removed", "gc.looked_again"}},
            Case{"Compact",
                 {"compact"},
                 2,
                 2,
                 {"compact.before_index", "compact.packed", "compact.location_replaced",
                  "compact.condemned", "merge.before_index"}},
            Case{"Rm", {"rm"}, 2, 1, {"rm.entry_removed", "rm.condemned", "rm.removed"}})),
    [](const auto& test) {
      return testing::NameOf(std::get<0>(test.param)) + std::get<1>(test.param).name;
    });

// A store in which something of each kind is damaged.
class RepairCrashTest : public ::testing::TestWithParam<Way>, protected UpkeepCrash {
 protected:
  RepairCrashTest() : UpkeepCrash(GetParam()) {}

  void SetUp() override {
    // Old packs that are condemned, new ones, and an index of many.
    ASSERT_EQ(Slackerctl({"compact"}, "prepared"), 0);
    const std::string prepared = place_.Directory("prepared");
    const auto store = testing::OpenStore(prepared);
    ASSERT_OK(store->Replace("leases/" + std::string(32, 'a') + "/images", "garbage"));
    ASSERT_OK_AND_ASSIGN(const auto names, store->List(""));
    // Of images v2's entry, whatever its name is the digest of: v3's manifest comes first.
    std::string other_image;
    ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*store));
    for (const ImageEntry& image : images) {
      if (image.name == Image("v3")) other_image = ImageName(image.name, image.platform);
    }
    std::set<ObjectKind> damaged;
    for (const std::string& name : names) {
      const ObjectKind kind = IdentifyObject(name).kind;
      // Of packs the one in use: a copy of its chunks is in those that are condemned.
      if (kind == ObjectKind::kPack && store->Stat(TrashName(name)).ok()) continue;
      if (kind == ObjectKind::kTrash || name == other_image || !damaged.insert(kind).second)
        continue;
      std::string bytes = testing::ReadFileOrDie(prepared + "/" + name);
      if (bytes.empty()) bytes = "more";
      bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
      testing::WriteFileOrDie(prepared + "/" + name, bytes);
    }
    for (const ObjectKind kind :
         {ObjectKind::kPack, ObjectKind::kPackIndex, ObjectKind::kMergedIndex,
          ObjectKind::kLocations, ObjectKind::kRecord, ObjectKind::kTar, ObjectKind::kManifest,
          ObjectKind::kImage, ObjectKind::kLease}) {
      EXPECT_TRUE(damaged.contains(kind)) << static_cast<int>(kind);
    }
    for (const std::string& name : names) before_[name] = *store->ReadWhole(name, 1 << 20);
  }
  static std::set<std::string> Damages(const std::string& directory) {
    std::set<std::string> objects;
    const FsckReport report = CheckStore(testing::OpenStore(directory), {}, false).value();
    for (const Damage& damage : report.verified.damages) objects.insert(damage.object);
    return objects;
  }
  // What is not made anew has the content that it had, damaged or not, here or in quarantine.
  void ExpectNothingLost(const std::string& directory) const {
    const auto store = testing::OpenStore(directory);
    for (const auto& [name, content] : before_) {
      const ObjectKind kind = IdentifyObject(name).kind;
      if (kind == ObjectKind::kMergedIndex) continue;
      const auto here = store->ReadWhole(name, 1 << 20);
      const auto aside = store->ReadWhole("quarantine/" + name, 1 << 20);
      const bool made_anew = kind == ObjectKind::kLocations || kind == ObjectKind::kPackIndex;
      EXPECT_TRUE((here.ok() && (made_anew || *here == content)) ||
                  (aside.ok() && (made_anew || *aside == content)))
          << name;
    }
  }

  std::map<std::string, std::string> before_;
};

TEST_P(RepairCrashTest, WhateverStepItDiesAtNothingIsLostAndTheNextRunComesToTheSameEnd) {
  const std::vector<std::string> repair = {"fsck", "--repair"};
  DieEverywhere(repair,
                {"fsck.moved", "fsck.index_replaced", "fsck.locations_replaced",
                 "fsck.index_removed", "compact.location_replaced"},
                1, [&](const std::string& store) {
                  const std::string directory = place_.Directory(store);
                  ExpectNothingLost(directory);
                  // What the dead one had declared is believed for a day.
                  testing::Backdate(directory);
                  (void)Slackerctl(repair, store);
                  ExpectNothingLost(directory);
                  EXPECT_EQ(Damages(directory), Damages(place_.Directory("whole")));
                  for (const char* tag : {"v2", "v3"}) EXPECT_EQ(Publish(store, tag), 0);
                  (void)Slackerctl(repair, store);
                  testing::ExpectSoundStore(directory, 2);
                });
}

INSTANTIATE_TEST_SUITE_P(Ways, RepairCrashTest,
                         ::testing::Values(Way::kLoopback, Way::kNfs3, Way::kNfs4),
                         [](const auto& test) { return testing::NameOf(test.param); });

}  // namespace
}  // namespace slacker
