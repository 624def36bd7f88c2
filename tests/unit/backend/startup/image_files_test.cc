#include "backend/startup/image_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/unit/backend/startup/startup_image.h"

namespace slacker {
namespace {

using testing::LayerBuilder;
using testing::StartupImage;
using testing::StatusIs;

LayerBuilder Bottom() {
  return LayerBuilder(4096)
      .Dir("usr")
      .Dir("usr/bin")
      .File("usr/bin/tool", "tool", {.mode = 0755})
      .File("usr/bin/gone", "gone")
      .Symlink("bin", "usr/bin")
      .Symlink("absolute", "/usr/bin/tool")
      .Symlink("up", "../../usr/bin/../bin/tool")
      .Symlink("usr/bin/there", "./tool")
      .Symlink("loop", "loop")
      .Symlink("usr/loop", "../usr/loop/x")
      .Symlink("nowhere", "usr/missing")
      .Special("fifo", NodeType::kFifo)
      .File("empty", "", {.mode = 0644})
      .SparseFile("sparse", 3 * 4096 + 10, {{4096, "middle"}, {3 * 4096, "end"}});
}

TEST(ImageFilesTest, PathsLeadWhereAProcessInTheImageWouldGetTo) {
  StartupImage image({Bottom(), LayerBuilder(4096).Whiteout("usr/bin/gone")});
  const struct {
    const char* path;
    const char* found;  // "" = nothing
  } cases[] = {
      {"/usr/bin/tool", "/usr/bin/tool"},
      {"usr//bin/./tool", "/usr/bin/tool"},
      {"/bin/tool", "/usr/bin/tool"},
      {"/absolute", "/usr/bin/tool"},
      {"/up", "/usr/bin/tool"},
      {"/bin/there", "/usr/bin/tool"},
      {"/../../usr/bin/tool", "/usr/bin/tool"},
      {"/empty", "/empty"},
      {"/usr/bin/gone", ""},
      {"/usr/bin", ""},
      {"/usr/bin/tool/", "/usr/bin/tool"},
      {"/usr/bin/tool/x", ""},
      {"/loop", ""},
      {"/usr/loop", ""},
      {"/nowhere", ""},
      {"/fifo", ""},
      {"/missing", ""},
      {"/", ""},
      {"", ""},
  };
  for (const auto& look_up : cases) {
    const auto found = image.files().Find(look_up.path);
    EXPECT_EQ(found.has_value() ? found->path : "", look_up.found) << look_up.path;
  }
  EXPECT_TRUE(image.files().Find("/bin/tool")->executable);
  EXPECT_FALSE(image.files().Find("/empty")->executable);
}

TEST(ImageFilesTest, ContentIsReadWithItsHolesAndNoFurtherThanItsEnd) {
  StartupImage image({Bottom()});
  const auto file = *image.files().Find("/sparse");
  std::string whole(3 * 4096 + 10, '\0');
  whole.replace(4096, 6, "middle");
  whole.replace(3 * 4096, 3, "end");
  for (const uint64_t offset : {0, 1, 4095, 4096, 4100, 12288, 12297, 12298, 20000}) {
    for (const uint64_t size : {0, 1, 10, 5000, 100000}) {
      ASSERT_OK_AND_ASSIGN(const std::string read, image.files().Read(file, offset, size));
      EXPECT_EQ(read, offset < whole.size() ? whole.substr(offset, size) : "");
    }
  }
  EXPECT_OK(image.files().Read(*image.files().Find("/empty"), 0, 100));
  image.FailReads(DataLoss("broken"));
  StartupImage other({Bottom()});
  other.FailReads(DataLoss("broken"));
  EXPECT_THAT(other.files().Read(file, 0, 5000), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace slacker
