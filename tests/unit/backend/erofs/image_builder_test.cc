#include "backend/erofs/image_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "backend/base/spill.h"
#include "backend/erofs/erofs_format.h"
#include "tests/support/erofs_image.h"
#include "tests/support/exhaustive.h"
#include "tests/support/layer_builder.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::slacker::testing::BuildImage;
using ::slacker::testing::BuiltImage;
using ::slacker::testing::BuiltLayer;
using ::slacker::testing::LayerBuilder;
using ::slacker::testing::Meta;
using ::slacker::testing::StatusIs;
using ::testing::ElementsAre;

erofs::Superblock SuperblockOf(const BuiltImage& image) {
  erofs::Superblock super;
  std::memcpy(&super, image.metadata.data() + erofs::kSuperblockOffset, sizeof super);
  return super;
}

TEST(ImageBuilderTest, SameLayersGiveTheSameBytes) {
  LayerBuilder builder;
  for (int i = 0; i < 200; ++i) {
    const std::string number = std::to_string(i);
    builder.File("d" + std::to_string(i % 7) + "/" + number, number,
                 {.xattrs = {{"user.a", std::to_string(i % 3)}}});
  }
  const BuiltLayer one = builder.Build("one");
  const BuiltLayer again = builder.Build("one");
  ASSERT_OK_AND_ASSIGN(const BuiltImage first, BuildImage({&one.layer}));
  ASSERT_OK_AND_ASSIGN(const BuiltImage second, BuildImage({&again.layer}));
  EXPECT_EQ(first.metadata, second.metadata);
  EXPECT_EQ(first.metadata.size() % kBlockSize, 0u);
}

TEST(ImageBuilderTest, LargeImageIsHandedOverInPiecesAndErrorsOfTheSinkComeBack) {
  LayerBuilder builder;
  const std::string name(250, 'n');
  for (int i = 0; i < 20'000; ++i) builder.File(name + std::to_string(i), "");
  const BuiltLayer built = builder.Build("large");
  size_t pieces = 0;
  size_t largest = 0;
  uint64_t bytes = 0;
  ASSERT_OK_AND_ASSIGN(const ErofsImage image,
                       BuildErofsImage({&built.layer}, [&](std::string_view piece) {
                         ++pieces;
                         largest = std::max(largest, piece.size());
                         bytes += piece.size();
                         return absl::OkStatus();
                       }));
  EXPECT_EQ(bytes, image.size_bytes);
  EXPECT_GE(pieces, 3u);  // inodes, two at least; the directory's blocks
  EXPECT_LE(largest, size_t{8} << 20);

  size_t left = pieces;
  EXPECT_THAT(BuildErofsImage({&built.layer},
                              [&left](std::string_view) {
                                return --left == 0 ? absl::UnavailableError("full")
                                                   : absl::OkStatus();
                              }),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(ImageBuilderTest, SharedXattrsAreHandedOverInPieces) {
  LayerBuilder builder;
  for (int i = 0; i < 100; ++i) {
    builder.File(std::to_string(i), "", {.xattrs = {{"user.a", std::string(60'000 + i, 'v')}}});
  }
  const BuiltLayer built = builder.Build("large");
  size_t largest = 0;
  ASSERT_OK_AND_ASSIGN(const ErofsImage image,
                       BuildErofsImage({&built.layer}, [&](std::string_view piece) {
                         largest = std::max(largest, piece.size());
                         return absl::OkStatus();
                       }));
  EXPECT_GE(image.size_bytes, uint64_t{100} * 60'000);
  EXPECT_LE(largest, size_t{2} << 20);
}

// Bytes of anonymous pages.
uint64_t AnonymousMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kibibytes = 0;
    if (word == "RssAnon:" && status >> kibibytes) return kibibytes * 1024;
  }
  ADD_FAILURE() << "no RssAnon";
  return 0;
}

// The tables of this one would be 8 MB.
TEST(ImageBuilderTest, WhereMemoryHasEnoughTablesThoseOfAnImageSpill) {
  SpillManySmallTables();
  std::vector<BuiltLayer> built(4);
  std::vector<const Layer*> layers;
  for (size_t layer = 0; layer < built.size(); ++layer) {
    LayerBuilder builder;
    for (int i = 0; i < 25'000; ++i) {
      const int number = i + static_cast<int>(layer) * 20'000;
      builder.File("d" + std::to_string(number / 500) + "/" + std::to_string(number), "",
                   {.xattrs = {{"user.a", std::to_string(number / 2)}}});
    }
    built[layer] = builder.Build(std::to_string(layer));
    layers.push_back(&built[layer].layer);
  }
  ASSERT_OK_AND_ASSIGN(const BuiltImage image, BuildImage(layers));

  std::vector<TableVector<char>> others(2 * kMaxCountedBytes / kMinSpilledBytes);
  for (TableVector<char>& table : others) table.reserve(kMinSpilledBytes / 2);
  const uint64_t before = AnonymousMemory();
  uint64_t greatest = 0;
  std::string again;
  again.reserve(image.metadata.size());
  ASSERT_OK(BuildErofsImage(layers, [&](std::string_view piece) {
    greatest = std::max(greatest, AnonymousMemory() - again.size());
    again += piece;
    return absl::OkStatus();
  }));
  EXPECT_EQ(again, image.metadata);
  if (!testing::kUnderSanitizers) {
    EXPECT_LE(greatest, before + (uint64_t{4} << 20));
  }
}

TEST(ImageBuilderTest, OtherLayersGiveAnotherUuid) {
  const BuiltLayer a = LayerBuilder().Build("a");
  const BuiltLayer b = LayerBuilder().Build("b");
  ASSERT_OK_AND_ASSIGN(const BuiltImage first, BuildImage({&a.layer}));
  ASSERT_OK_AND_ASSIGN(const BuiltImage second, BuildImage({&b.layer}));
  EXPECT_NE(std::string(reinterpret_cast<const char*>(SuperblockOf(first).uuid), 16),
            std::string(reinterpret_cast<const char*>(SuperblockOf(second).uuid), 16));
}

TEST(ImageBuilderTest, InodesAreCountedOncePerLinkGroup) {
  const BuiltLayer built = LayerBuilder().File("a", "x").Link("b", "a").Build("x");
  ASSERT_OK_AND_ASSIGN(const BuiltImage image, BuildImage({&built.layer}));
  EXPECT_EQ(image.inodes, 2u);
  EXPECT_EQ(SuperblockOf(image).inodes, 2u);
}

TEST(ImageBuilderTest, DevicesAreTheLayersWithVisibleContent) {
  const BuiltLayer hidden = LayerBuilder().File("a", "old").Build("hidden");
  const BuiltLayer content = LayerBuilder().File("b", "x").Build("content");
  const BuiltLayer empty = LayerBuilder().Dir("d").File("e", "").Build("empty");
  const BuiltLayer hole = LayerBuilder().SparseFile("h", 100000, {}).Build("hole");
  const BuiltLayer top = LayerBuilder().File("a", "new").Build("top");
  ASSERT_OK_AND_ASSIGN(const BuiltImage image, BuildImage({&hidden.layer, &content.layer,
                                                           &empty.layer, &hole.layer, &top.layer}));
  EXPECT_THAT(image.devices, ElementsAre(1, 4));
  EXPECT_EQ(SuperblockOf(image).extra_devices, 2);
}

TEST(ImageBuilderTest, EqualLayersShareADevice) {
  const BuiltLayer a = LayerBuilder().File("a", "x").Build("same");
  const BuiltLayer b = LayerBuilder().File("a", "x").Link("b", "a").Build("same");
  const BuiltLayer c = LayerBuilder().File("c", "x").Build("other");
  ASSERT_OK_AND_ASSIGN(const BuiltImage image, BuildImage({&b.layer, &c.layer, &a.layer}));
  EXPECT_THAT(image.devices, ElementsAre(0, 1));
}

TEST(ImageBuilderTest, RootInodeIsReachableWith16BitsBehindManyDevices) {
  std::vector<BuiltLayer> layers;
  for (int i = 0; i < 20000; ++i) {
    layers.push_back(LayerBuilder().File(std::to_string(i), "x").Build(std::to_string(i)));
  }
  std::vector<const Layer*> pointers;
  for (const BuiltLayer& built : layers) pointers.push_back(&built.layer);
  ASSERT_OK_AND_ASSIGN(const BuiltImage image, BuildImage(pointers));
  const erofs::Superblock super = SuperblockOf(image);
  EXPECT_EQ(super.extra_devices, 20000);
  erofs::Inode root;
  std::memcpy(&root,
              image.metadata.data() + super.meta_block * kBlockSize +
                  super.root_nid * erofs::kInodeSlotBytes,
              sizeof root);
  EXPECT_EQ(root.mode, 040755);
  EXPECT_NE(super.root_nid, 0);
}

TEST(ImageBuilderTest, MoreDevicesThanNumbersIsRefused) {
  std::vector<BuiltLayer> layers;
  for (int i = 0; i < 65536; ++i) {
    layers.push_back(LayerBuilder().File(std::to_string(i), "x").Build(std::to_string(i)));
  }
  std::vector<const Layer*> pointers;
  for (const BuiltLayer& built : layers) pointers.push_back(&built.layer);
  EXPECT_THAT(BuildImage(pointers), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ImageBuilderTest, BlobOf2To32BlocksIsRefused) {
  BuiltLayer built = LayerBuilder().File("f", "x").Build("big");
  built.layer.blob_size_bytes = uint64_t{0xFFFFFFFF} * kBlockSize;
  EXPECT_THAT(BuildImage({&built.layer}), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ImageBuilderTest, SparseFileThatNeedsTooManyIndexesIsRefused) {
  const BuiltLayer built =
      LayerBuilder(4096).SparseFile("f", 1ULL << 42, {{4096, "x"}}).Build("bomb");
  EXPECT_THAT(BuildImage({&built.layer}), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ImageBuilderTest, ManyFilesThatTogetherNeedTooManyIndexesAreRefused) {
  LayerBuilder builder(4096);
  for (int i = 0; i < 20; ++i) {
    builder.SparseFile(std::to_string(i), 100ULL << 30, {{4096, "x"}});
  }
  const BuiltLayer built = builder.Build("bombs");
  EXPECT_THAT(BuildImage({&built.layer}),
              StatusIs(absl::StatusCode::kResourceExhausted, "too large"));
}

TEST(ImageBuilderTest, XattrsTooLongForTheFormatAreRefused) {
  const auto build = [](const std::vector<Xattr>& xattrs) {
    const BuiltLayer built = LayerBuilder().File("f", "", {.xattrs = xattrs}).Build("x");
    return BuildImage({&built.layer});
  };
  EXPECT_OK(build({{"user." + std::string(255, 'n'), std::string(65535, 'v')}}));
  EXPECT_THAT(build({{"user." + std::string(256, 'n'), "v"}}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(build({{"user.n", std::string(65536, 'v')}}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  std::vector<Xattr> many;
  for (int i = 0; i < 1000; ++i) {
    many.emplace_back("user." + std::to_string(1000 + i), std::string(1010, 'v'));
  }
  EXPECT_THAT(build(many), StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace slacker
