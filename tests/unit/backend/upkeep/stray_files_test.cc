// Directories and special files in the place of objects, as whoever can write a shared file system makes
// them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "backend/loopback/loopback_backend.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/fsck.h"
#include "backend/upkeep/gc.h"
#include "backend/upkeep/objects.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::Field;
using ::testing::IsEmpty;

using Maker = std::function<void(const std::string& path)>;

class StrayFilesTest : public ::testing::TestWithParam<std::pair<const char*, Maker>> {
 protected:
  void SetUp() override {
    layout_.AddImage(testing::SampleLayers());
    ASSERT_OK(testing::PublishLayout(layout_, store_));
    ASSERT_OK(store_->Replace(LeaseName(std::string(32, 'a')), EncodeReferences({})));
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::string root_ = dir_ / "store";
  const std::shared_ptr<Backend> store_ =
      LoopbackBackend::Open(root_, MissingStore::kCreate).value();
};

TEST_P(StrayFilesTest, WhateverObjectTheyReplaceTheyAreMovedAsideAndTheStoreCanBeMadeWhole) {
  std::map<ObjectKind, std::string> one_of_each;
  const auto names = store_->List("").value();
  for (const std::string& name : names) one_of_each[IdentifyObject(name).kind] = name;
  for (const auto& [kind, name] : one_of_each) {
    if (kind == ObjectKind::kTrash) continue;
    SCOPED_TRACE(name);
    ASSERT_OK(store_->Remove(name));
    GetParam().second(root_ + "/" + name);
    ASSERT_OK_AND_ASSIGN(const FsckReport report, CheckStore(store_, {}, /*repair=*/true));
    EXPECT_TRUE(fs::exists(fs::symlink_status(root_ + "/quarantine/" + name)));
    EXPECT_THAT(report.repaired, Contains(Field(&Damage::object, name)));
    ASSERT_OK(testing::PublishLayout(layout_, store_));
    ASSERT_OK_AND_ASSIGN(const FsckReport after, CheckStore(store_, {}, /*repair=*/true));
    for (const Damage& damage : after.verified.damages) {
      ADD_FAILURE() << damage.object << ": " << damage.what;
    }
    EXPECT_OK(CollectGarbage(*store_, {}).status());
  }
}

// Nobody misses what is in their place.
TEST_P(StrayFilesTest, FsckNamesThemAndRepairMovesThemAside) {
  const std::string digest(64, 'a');
  for (const std::string& name : std::vector<std::string>{
           "records/" + digest, "packs/" + digest, "packs/" + digest + ".idx", "boot/" + digest,
           "images/" + digest, "manifests/" + digest + "/unsigned", "tars/" + digest,
           "leases/" + std::string(32, 'b') + "/images", "intents/" + std::string(32, 'b'),
           "trash/packs_" + digest, "indexes/" + digest}) {
    SCOPED_TRACE(name);
    fs::create_directories(fs::path(root_ + "/" + name).parent_path());
    GetParam().second(root_ + "/" + name);
    ASSERT_OK_AND_ASSIGN(const FsckReport found, CheckStore(store_, {}, /*repair=*/false));
    EXPECT_THAT(found.verified.damages, Contains(Field(&Damage::object, name)));
    ASSERT_OK_AND_ASSIGN(const FsckReport report, CheckStore(store_, {}, /*repair=*/true));
    EXPECT_THAT(report.verified.damages, IsEmpty());
    EXPECT_TRUE(fs::exists(fs::symlink_status(root_ + "/quarantine/" + name)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, StrayFilesTest,
    ::testing::Values(std::pair<const char*, Maker>("Pipe",
                                                    [](const std::string& path) {
                                                      ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
                                                    }),
                      std::pair<const char*, Maker>("Link",
                                                    [](const std::string& path) {
                                                      fs::create_symlink("/etc/passwd", path);
                                                    }),
                      std::pair<const char*, Maker>("Directory",
                                                    [](const std::string& path) {
                                                      fs::create_directories(path + "/below");
                                                      testing::WriteFileOrDie(path + "/below/file",
                                                                              "x");
                                                    })),
    [](const auto& test) { return test.param.first; });

}  // namespace
}  // namespace slacker
