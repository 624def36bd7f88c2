#include "snapshotter/files/recent_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "tests/support/layer_builder.h"

namespace slacker {
namespace {

using testing::LayerBuilder;

Layer LayerOf(const std::string& file) {
  return LayerBuilder().File(file, "content").Build(file).layer;
}

Layer LayerOfBytes(size_t bytes) {
  Layer layer = LayerOf("a");
  layer.chunks.resize((bytes - layer.MemoryBytes()) / sizeof(Chunk) + layer.chunks.size());
  return layer;
}

const Digest kOne = Sha256::Of("one"), kTwo = Sha256::Of("two");

TEST(RecentLayersTest, WhatWasPutIsFoundUntilItHasAgedTwice) {
  RecentLayers recent;
  EXPECT_EQ(recent.Find(kOne), nullptr);
  recent.Put(kOne, LayerOf("a"));
  recent.Age();
  recent.Put(kTwo, LayerOf("b"));
  const std::shared_ptr<const Layer> one = recent.Find(kOne);
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->entries.back().name, "a");
  recent.Age();
  EXPECT_EQ(recent.Find(kOne), nullptr);
  EXPECT_NE(recent.Find(kTwo), nullptr);
  recent.Age();
  EXPECT_EQ(recent.Find(kTwo), nullptr);
  // Who has it keeps it.
  EXPECT_EQ(one->entries.back().name, "a");
}

TEST(RecentLayersTest, WhatIsTooMuchIsNotKeptUntilOthersHaveGone) {
  RecentLayers recent;
  recent.Put(kOne, LayerOfBytes(kMaxRecentBytes));
  EXPECT_NE(recent.Find(kOne), nullptr);
  recent.Put(kTwo, LayerOf("b"));
  EXPECT_EQ(recent.Find(kTwo), nullptr);
  recent.Age();
  recent.Age();
  recent.Put(kTwo, LayerOf("b"));
  EXPECT_NE(recent.Find(kTwo), nullptr);
  recent.Put(kOne, LayerOfBytes(kMaxRecentBytes + 2 * sizeof(Chunk)));
  EXPECT_EQ(recent.Find(kOne), nullptr);
}

TEST(RecentLayersTest, WhatNamesTargetsAndAttributesTakeCounts) {
  RecentLayers recent;
  LayerBuilder builder;
  const std::string value(64 << 10, 'v');
  for (size_t i = 0; i < kMaxRecentBytes / value.size(); ++i) {
    testing::Meta meta;
    meta.xattrs = {{"user.long", value}};
    builder.Dir("d" + std::to_string(i), meta);
  }
  recent.Put(kOne, builder.Build("long").layer);
  EXPECT_EQ(recent.Find(kOne), nullptr);
}

TEST(RecentLayersTest, WhatHasLostItsTreeIsNotKept) {
  RecentLayers recent;
  Layer layer = LayerOf("a");
  layer.DropTree();
  recent.Put(kOne, std::move(layer));
  EXPECT_EQ(recent.Find(kOne), nullptr);
}

TEST(RecentLayersTest, ThatARecordIsPutTwiceTakesItsRoomOnce) {
  RecentLayers recent;
  recent.Put(kOne, LayerOfBytes(kMaxRecentBytes / 2));
  recent.Put(kOne, LayerOfBytes(kMaxRecentBytes / 2));
  recent.Put(kTwo, LayerOfBytes(kMaxRecentBytes / 2));
  EXPECT_NE(recent.Find(kTwo), nullptr);
}

}  // namespace
}  // namespace slacker
