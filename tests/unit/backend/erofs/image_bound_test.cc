#include "backend/erofs/image_bound.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "backend/erofs/image_builder.h"
#include "tests/support/erofs_image.h"
#include "tests/support/layer_builder.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::BuildImage;
using testing::BuiltImage;
using testing::BuiltLayer;
using testing::LayerBuilder;
using testing::Meta;
using testing::StatusIs;

// The bound holds for the chain, and for its bottom layer alone; so does what merging tells.
void ExpectBounded(const std::vector<BuiltLayer>& built) {
  std::vector<LayerTotals> totals;
  std::vector<const Layer*> layers;
  for (const BuiltLayer& one : built) {
    totals.push_back(TotalsOf(one.layer));
    layers.push_back(&one.layer);
    ASSERT_OK_AND_ASSIGN(const uint64_t bound, ErofsBound(totals));
    ASSERT_OK_AND_ASSIGN(const BuiltImage image, BuildImage(layers));
    EXPECT_LE(image.metadata.size(), bound);
    ASSERT_OK_AND_ASSIGN(const uint64_t checked, CheckErofsImage(layers));
    EXPECT_EQ(image.metadata.size(), checked);
  }
}

Meta WithXattrs(std::mt19937& random, size_t max_bytes) {
  Meta meta;
  for (size_t i = random() % 4; i > 0; --i) {
    meta.xattrs.insert(meta.xattrs.begin(),
                       {"user." + std::to_string(10 + i) + std::string(random() % 200, 'n'),
                        std::string(random() % max_bytes, 'v')});
  }
  return meta;
}

// Data and xattrs of every length behind inodes: the worst is where little more than half of a block
// is used.
TEST(ErofsBoundTest, DirectoriesAndLinksOfAllSizesAreBelow) {
  std::mt19937 random(1);
  for (const size_t xattr_bytes : {1, 40, 1000, 1800, 5000, 60'000}) {
    LayerBuilder builder;
    for (int i = 0; i < 300; ++i) {
      const std::string name = std::to_string(i);
      builder.Dir(name, WithXattrs(random, xattr_bytes));
      for (size_t k = random() % 30; k > 0; --k) {
        builder.Symlink(name + "/" + std::to_string(k) + std::string(random() % 250, 'x'),
                        std::string(1 + random() % 4000, 't'), WithXattrs(random, xattr_bytes));
      }
    }
    ExpectBounded({builder.Build("a")});
  }
}

TEST(ErofsBoundTest, InodesThatFillALittleMoreThanHalfABlockAreBelow) {
  for (const size_t target : {1984, 2000, 2016, 2048, 4031, 4032, 4033, 4095}) {
    LayerBuilder builder;
    for (int i = 0; i < 500; ++i) builder.Symlink(std::to_string(i), std::string(target, 't'));
    ExpectBounded({builder.Build("a")});
  }
}

TEST(ErofsBoundTest, SharedXattrsAreBelow) {
  LayerBuilder builder;
  for (int i = 0; i < 600; ++i) {
    Meta meta;
    for (int k = 0; k < 20; ++k) {
      meta.xattrs.push_back({"user." + std::to_string(10 + k), std::string(100, 'v')});
    }
    meta.xattrs.push_back({"user.own", std::string(1500, 'v') + std::to_string(i)});
    builder.Dir(std::to_string(i), meta);
  }
  ExpectBounded({builder.Build("a")});
}

TEST(ErofsBoundTest, ManyNamesOfEachLengthAreBelow) {
  for (const size_t length : {1, 12, 100, 255}) {
    LayerBuilder builder;
    for (int i = 0; i < 2000; ++i) {
      std::string name = std::to_string(100'000 + i);
      name.resize(std::max(name.size(), length), 'n');
      builder.File(name, "");
    }
    ExpectBounded({builder.Build("a")});
  }
}

TEST(ErofsBoundTest, SparseFilesAreBelow) {
  LayerBuilder builder(4096);
  builder.SparseFile("holes", 40 << 20, {{4096, "x"}, {9 << 20, "y"}});
  builder.SparseFile("one", 1ULL << 33, {{1ULL << 32, "x"}});
  builder.SparseFile("none", 1ULL << 40, {});
  ExpectBounded({builder.Build("a")});
}

TEST(ErofsBoundTest, LayersOverLayersAreBelow) {
  std::vector<BuiltLayer> layers;
  for (int i = 0; i < 10; ++i) {
    LayerBuilder builder;
    for (int k = 0; k < 200; ++k) {
      builder.File("usr/share/" + std::to_string(k % (i + 3)) + "/f" + std::to_string(i * k), "x");
    }
    if (i % 3 == 2) builder.Whiteout("usr/share/1");
    layers.push_back(builder.Build(std::to_string(i)));
  }
  ExpectBounded(layers);
}

// Two names of one content are allowed, though no tar makes them.
TEST(ErofsBoundTest, TwoNodesWithOneSparseFileCountTwice) {
  BuiltLayer built =
      LayerBuilder(4096).SparseFile("f", 1 << 30, {{4096, "x"}}).File("g", "").Build("a");
  built.layer.nodes[built.layer.entries[2].node].file = 0;
  ASSERT_OK(ValidateLayer(built.layer));
  ExpectBounded({built});
}

TEST(ErofsBoundTest, WhatMayNotBeBuiltIsRefused) {
  constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
  LayerTotals many;
  many.nodes = many.entries = 6'500'000;
  EXPECT_THAT(ErofsBound({many}), StatusIs(kExhausted));
  many.nodes = many.entries = 600'000;
  EXPECT_OK(ErofsBound(std::vector<LayerTotals>(3, many)));
  EXPECT_THAT(ErofsBound(std::vector<LayerTotals>(12, many)), StatusIs(kExhausted));
  LayerTotals value;
  value.max_xattr_value_bytes = 65536;
  EXPECT_THAT(ErofsBound({value}), StatusIs(kExhausted));
  LayerTotals body;
  body.max_xattrs = 5;
  body.max_xattr_bytes = 262'144;
  EXPECT_THAT(ErofsBound({body}), StatusIs(kExhausted));
  LayerTotals bomb;
  bomb.sparse_chunks = 1 << 27;
  EXPECT_THAT(ErofsBound({bomb}), StatusIs(kExhausted));
}

}  // namespace
}  // namespace slacker
