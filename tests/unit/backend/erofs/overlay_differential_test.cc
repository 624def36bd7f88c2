// Random stacks of layers: the tree that the merge gives, the kernel's overlayfs over the same
// layers unpacked into directories, and the mounted image must agree.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/loop_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree_model.h"
#include "tests/support/unpack.h"
#include "tests/unit/backend/erofs/mounted_image.h"

namespace slacker::testing {
namespace {

// A layer of some 20 operations on a small set of names, so that layers meet often.
class RandomLayer {
 public:
  RandomLayer(std::mt19937* random, int number) : random_(*random), number_(number) {}

  BuiltLayer Make() {
    for (uint32_t i = Pick(5) + 8; i > 0; --i) AddSomething("", 0);
    return builder_.Build("layer" + std::to_string(number_));
  }

 private:
  uint32_t Pick(uint32_t below) { return static_cast<uint32_t>(random_() % below); }

  Meta RandomMeta() {
    Meta meta{.mode = static_cast<uint16_t>(0500 + Pick(0300)),
              .uid = Pick(3),
              .gid = Pick(3),
              .mtime_seconds = static_cast<int64_t>(Pick(2'000'000'000)),
              .mtime_nanos = Pick(1'000'000'000)};
    if (Pick(4) == 0) meta.xattrs.emplace_back("user.x", std::to_string(Pick(3)));
    return meta;
  }

  void AddSomething(const std::string& parent, int depth) {
    const std::string name(1, static_cast<char>('a' + Pick(4)));
    const std::string path = parent.empty() ? name : parent + "/" + name;
    if (directories_.contains(path)) return AddSomething(path, depth + 1);
    if (taken_.contains(path)) return;
    const uint32_t kind = Pick(depth < 3 ? 10 : 6);
    if (kind >= 6) {
      AddDirectory(path, kind);
      for (uint32_t i = Pick(3); i > 0; --i) AddSomething(path, depth + 1);
      return;
    }
    taken_.insert(path);
    switch (kind) {
      case 0:
        builder_.Whiteout(path);
        break;
      case 1:
        builder_.Symlink(path, "target" + std::to_string(number_), {.mtime_seconds = number_});
        break;
      case 2:
        if (!files_.empty()) {
          builder_.Link(path, files_[Pick(static_cast<uint32_t>(files_.size()))]);
          break;
        }
        [[fallthrough]];
      default:
        builder_.File(path, "content " + path + std::to_string(number_), RandomMeta());
        files_.push_back(path);
    }
  }

  void AddDirectory(const std::string& path, uint32_t kind) {
    directories_.insert(path);
    if (kind == 6) {
      builder_.ImplicitDir(path);
    } else {
      builder_.Dir(path, RandomMeta());
    }
    if (Pick(5) == 0) builder_.Opaque(path);
  }

  std::mt19937& random_;
  int number_;
  LayerBuilder builder_;
  std::set<std::string> directories_, taken_;
  std::vector<std::string> files_;
};

// overlayfs counts the links of the lower file, hidden ones too, and gives every merged directory
// one link: neither is what the image says.
void ForgetLinkCounts(Model* model) {
  for (auto& [path, entry] : *model) entry.nlink = 0;
}

class OverlayDifferentialTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(OverlayDifferentialTest, MergeEqualsOverlayfs) {
  std::mt19937 random(GetParam());
  std::vector<BuiltLayer> built;
  const int count = 2 + static_cast<int>(random() % 5);
  for (int i = 0; i < count; ++i) built.push_back(RandomLayer(&random, i).Make());
  std::vector<const BuiltLayer*> layers;
  for (const BuiltLayer& layer : built) layers.push_back(&layer);

  ExpectImageMatches(layers);

  const TempDir dir;
  UnpackForOverlay(layers, dir.path());
  const std::unique_ptr<TestMount> overlay = MountUnpacked(dir.path(), layers.size());
  Model expected = ModelOfLayers(layers);
  Model actual = ReadModel(dir / "merged");
  ForgetLinkCounts(&expected);
  ForgetLinkCounts(&actual);
  for (const std::string& line : Differences(expected, actual)) ADD_FAILURE() << line;
}

INSTANTIATE_TEST_SUITE_P(Seeds, OverlayDifferentialTest, ::testing::Range(1u, 41u));

}  // namespace
}  // namespace slacker::testing
