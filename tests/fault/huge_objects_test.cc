// A store of which every object pretends to be huge: files with a hole of 2 GiB behind their content.
// Looking at it costs neither memory nor a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "backend/upkeep/objects.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"

namespace slacker {
namespace {

constexpr uint64_t kHugeBytes = uint64_t{2} << 30;  // ten times what may be used
constexpr int64_t kMaxRssKib = 200 << 10;

class HugeObjectsTest : public ::testing::TestWithParam<bool> {
 protected:
  HugeObjectsTest() {
    layout_.AddImage({testing::GzipLayer(
        testing::TarBuilder().File("file", testing::RandomBytes(300'000, 1)).End())});
    EXPECT_EQ(testing::RunSlackerctl(
                  {"publish", "oci:" + layout_.directory(), "--platform", "linux/amd64"}, url_),
              0);
    const auto store = testing::OpenStore(root_);
    EXPECT_OK(store->Put("leases/" + std::string(32, 'a') + "/images", "x"));
    EXPECT_OK(store->Put("intents/" + std::string(32, 'a'), "x"));
    EXPECT_OK(store->Put("indexes/" + std::string(64, 'a'), "x"));
  }
  // Its exit code; nothing of the store's content may take more memory than it says it may.
  int Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--store", url_});
    rusage usage{};
    const int status = testing::RunTool(arguments, "X=1", "/dev/null", &usage);
    EXPECT_LT(usage.ru_maxrss, kMaxRssKib) << arguments[0];
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::string root_ = dir_ / "store";
  const std::string url_ = "loopback:" + root_;
};

TEST_P(HugeObjectsTest, MaintenanceFailsInBoundedMemory) {
  const auto names = testing::OpenStore(root_)->List("").value();
  for (const std::string& name : names) {
    if (IdentifyObject(name).kind == ObjectKind::kTrash) continue;
    const std::string path = root_ + "/" + name;
    // With and without what an object of its kind begins with.
    if (GetParam()) testing::WriteFileOrDie(path, "");
    std::filesystem::resize_file(path, kHugeBytes);
  }
  EXPECT_EQ(Run({"fsck"}), 1);
  EXPECT_EQ(Run({"images"}), 1);
  EXPECT_EQ(Run({"gc", "--grace", "0"}), 1);
  EXPECT_EQ(Run({"stats"}), 1);
  EXPECT_EQ(Run({"compact"}), 1);
}

INSTANTIATE_TEST_SUITE_P(Contents, HugeObjectsTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Holes" : "Tails"; });

}  // namespace
}  // namespace slacker
