#include "backend/view/tree_walk.h"

#include <gmock/gmock.h>

#include "backend/base/status.h"
#include "tests/unit/backend/view/view_fixture.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::TarBuilder;

class TreeWalkTest : public testing::ViewTest {
 protected:
  // "A path", "D path", "M path what what".
  std::vector<std::string> Compare(const ImageView& before, const ImageView& after) {
    std::vector<std::string> changes;
    EXPECT_OK(CompareTrees(before, 0, after, 0, [&changes](const TreeChange& change) {
      std::string text = "ADM"[static_cast<size_t>(change.kind)] + (" " + std::string(change.path));
      const auto add = [&text](bool set, const char* name) { text += set ? name : ""; };
      add(change.type, " type");
      add(change.mode, " mode");
      add(change.owner, " owner");
      add(change.size, " size");
      add(change.content, " content");
      add(change.content_unknown, " content?");
      add(change.target, " target");
      add(change.device, " device");
      add(change.xattrs, " xattrs");
      changes.push_back(text);
      return absl::OkStatus();
    }));
    return changes;
  }
};

TEST_F(TreeWalkTest, DirectoriesComeBeforeWhatIsInThemInTheOrderOfNames) {
  const auto view =
      Open(AddImage({TarBuilder().File("b/y", "").File("b/x", "").File("a", "").End()}));
  std::vector<std::string> paths;
  ASSERT_OK(WalkTree(view->tree(), 0, [&paths](std::string_view path, uint32_t) {
    paths.emplace_back(path);
    return absl::OkStatus();
  }));
  EXPECT_THAT(paths, ElementsAre("a", "b", "b/x", "b/y"));
}

// A chain of directories, as a hostile record could have it.
erofs::ImageTree DeepTree(Layer* layer, uint32_t depth) {
  for (uint32_t i = 0; i <= depth; ++i) {
    layer->nodes.emplace_back();
    layer->entries.push_back({i == 0 ? 0 : i - 1, i, i == 0 ? "" : "d"});
  }
  return erofs::MergeLayers({layer});
}

TEST_F(TreeWalkTest, AVeryDeepTreeIsWalkedAndADeeperOneRefused) {
  for (const uint32_t depth : {30'000U, 40'000U}) {
    Layer layer;
    const erofs::ImageTree tree = DeepTree(&layer, depth);
    size_t count = 0;
    const absl::Status status = WalkTree(tree, 0, [&count](std::string_view, uint32_t) {
      ++count;
      return absl::OkStatus();
    });
    if (depth == 30'000) {
      EXPECT_OK(status);
      EXPECT_EQ(count, depth);
    } else {
      EXPECT_THAT(status, testing::StatusIs(absl::StatusCode::kResourceExhausted));
    }
  }
}

TEST_F(TreeWalkTest, EveryKindOfChangeIsNamed) {
  const std::string big = testing::RandomBytes(200'000, 1);
  std::string changed = big;
  changed[150'000] ^= 1;
  testing::TarBlock owned = testing::MakeBlock("owner");
  owned.uid = 7;
  const auto before = Open(AddImage({TarBuilder()
                                         .File("content", big)
                                         .File("gone/file", "x")
                                         .File("mode", "x")
                                         .Add(testing::MakeBlock("owner"))
                                         .File("same", big)
                                         .File("size", "1")
                                         .Symlink("target", "a")
                                         .File("type", "x")
                                         .Add(testing::MakeDevice("device", '3', 1, 3))
                                         .File("xattr", "x")
                                         .End()}));
  const auto after = Open(AddImage({TarBuilder()
                                        .File("content", changed)
                                        .File("mode", "x", 0600)
                                        .Add(owned)
                                        .File("same", big)
                                        .File("size", "22")
                                        .Symlink("target", "b")
                                        .File("type/new", "x")
                                        .Add(testing::MakeDevice("device", '3', 1, 5))
                                        .Pax({{"SCHILY.xattr.user.a", "b"}})
                                        .File("xattr", "x")
                                        .End()}));
  EXPECT_THAT(Compare(*before, *after),
              ElementsAre("M content content", "M device device", "D gone", "D gone/file",
                          "M mode mode", "M owner owner", "M size size content", "M target target",
                          "M type type", "A type/new", "M xattr xattrs"));
  EXPECT_THAT(Compare(*before, *before), IsEmpty());
}

TEST_F(TreeWalkTest, ChunksOfDifferentSizesCannotBeCompared) {
  const std::string big = testing::RandomBytes(200'000, 1);
  const std::string tar = TarBuilder().File("big", big).File("small", "same").End();
  // Other layers, since a layer that is known is not published again.
  const std::string other = TarBuilder().File("small", "same").File("big", big).End();
  const auto before = Open(AddImage({tar}, 64 * 1024));
  const auto after = Open(AddImage({other}, 16 * 1024));
  EXPECT_THAT(Compare(*before, *after), ElementsAre("M big content?"));
}

}  // namespace
}  // namespace slacker
