#include "snapshotter/warm/touched_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/layer_builder.h"

namespace slacker {
namespace {

using testing::BuiltLayer;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::LayerBuilder;

constexpr uint64_t kPage = kBootPageBytes;
constexpr uint32_t kChunk = 2 * kBootPageBytes;

std::string Pages(size_t pages, char byte) { return std::string(pages * kPage, byte); }

class TouchedFilesTest : public ::testing::Test {
 protected:
  // Bottom first.
  void Make(std::vector<LayerBuilder> layers) {
    for (LayerBuilder& layer : layers) {
      built_.push_back(layer.Build("layer " + std::to_string(built_.size())));
    }
    std::vector<const Layer*> pointers;
    for (const BuiltLayer& layer : built_) pointers.push_back(&layer.layer);
    files_ = std::make_unique<TouchedFiles>(pointers);
  }

  std::vector<BuiltLayer> built_;
  std::unique_ptr<TouchedFiles> files_;
};

TEST_F(TouchedFilesTest, PagesAreThePartsOfFilesInTheirOrder) {
  // The blob: pages 0-4 are /usr/a's, 5 is /usr/b's, 6 and 7 are /c's, which has a hole before them.
  Make({LayerBuilder(kChunk)
            .Dir("usr")
            .File("usr/a", Pages(5, 'a'))
            .File("usr/nothing", "")
            .File("usr/b", "short")
            .SparseFile("c", 4 * kPage, {{2 * kPage, Pages(2, 'c')}})});
  EXPECT_THAT(
      files_->Find(std::vector<ChunkRun>{{0, 6, 2}, {0, 1, 3}}),
      ElementsAre(FileRange{"/c", 2 * kPage, 2 * kPage}, FileRange{"/usr/a", kPage, 3 * kPage}));
  EXPECT_THAT(files_->Find(std::vector<ChunkRun>{{0, 4, 3}}),
              ElementsAre(FileRange{"/usr/a", 4 * kPage, kPage}, FileRange{"/usr/b", 0, 5},
                          FileRange{"/c", 2 * kPage, kPage}))
      << "one run of pages over three files";
  EXPECT_THAT(files_->Find(std::vector<ChunkRun>{{0, 0, 1}, {0, 1, 1}, {0, 3, 1}}),
              ElementsAre(FileRange{"/usr/a", 0, 2 * kPage}, FileRange{"/usr/a", 3 * kPage, kPage}))
      << "neighbours are one part";
}

TEST_F(TouchedFilesTest, WhatTheTreeDoesNotShowIsLeftOut) {
  Make({LayerBuilder(kChunk)
            .Dir("etc")
            .File("etc/gone", Pages(1, 'g'))
            .File("etc/replaced", Pages(1, 'r'))
            .File("etc/stays", Pages(1, 's'))
            .Link("etc/also", "etc/stays"),
        LayerBuilder(kChunk).Whiteout("etc/gone").File("etc/replaced", Pages(1, 'n'))});
  EXPECT_THAT(files_->Find(std::vector<ChunkRun>{{0, 0, 3}, {1, 0, 1}}),
              ElementsAre(FileRange{"/etc/stays", 0, kPage}, FileRange{"/etc/replaced", 0, kPage}));
}

TEST_F(TouchedFilesTest, FilesOfLongPathsAreLeftOut) {
  std::string deep = "d";
  LayerBuilder layer(kChunk);
  while (deep.size() < 700) deep += "/" + std::string(200, 'd');
  layer.File(deep + "/open", Pages(1, 'o'));
  while (deep.size() < 10'000) deep += "/" + std::string(200, 'd');
  layer.File(deep + "/closed", Pages(1, 'c'));
  Make({layer});
  const std::vector<FileRange> found = files_->Find(std::vector<ChunkRun>{{0, 0, 2}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].path.ends_with("/open"));
}

TEST_F(TouchedFilesTest, RunsThatNoLayerHasAreNothing) {
  Make({LayerBuilder(kChunk).File("a", Pages(1, 'a')), LayerBuilder(kChunk).Dir("empty")});
  EXPECT_THAT(
      files_->Find(std::vector<ChunkRun>{{2, 0, 1}, {1, 0, 5}, {0, 1, 7}, {0, kNone - 1, 1}}),
      IsEmpty());
  EXPECT_THAT(files_->Find(std::vector<ChunkRun>{{0, 0, 7}}),
              ElementsAre(FileRange{"/a", 0, kPage}));
}

}  // namespace
}  // namespace slacker
