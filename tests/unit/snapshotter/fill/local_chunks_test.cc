#include "snapshotter/fill/local_chunks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slacker {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

Digest Number(uint64_t n) { return Sha256::Of(std::to_string(n)); }

TEST(LocalChunksTest, WhatWasNotedIsFoundTheNewestFirst) {
  LocalChunks local;
  EXPECT_THAT(local.Find(Number(1)), IsEmpty());
  local.Note(Number(1), 16, 5);
  local.Note(Number(1), 17, 6);
  const auto places = local.Find(Number(1));
  ASSERT_THAT(places, SizeIs(2));
  EXPECT_EQ(places[0].blob, 17U);
  EXPECT_EQ(places[0].chunk, 6U);
  EXPECT_EQ(places[1].blob, 16U);
  EXPECT_EQ(places[1].chunk, 5U);
}

TEST(LocalChunksTest, OneChunkInManyBlobsTakesNoRoomOfOthers) {
  LocalChunks local(8);
  local.Note(Number(2), 16, 0);
  for (uint64_t blob = 16; blob < 100; ++blob) local.Note(Number(1), blob, 1);
  EXPECT_EQ(local.rows(), 1 + LocalChunks::kMaxPlaces);
  EXPECT_THAT(local.Find(Number(2)), SizeIs(1));
  ASSERT_THAT(local.Find(Number(1)), SizeIs(LocalChunks::kMaxPlaces));
  EXPECT_EQ(local.Find(Number(1))[0].blob, 99U);
}

TEST(LocalChunksTest, TheSameAgainIsOneRow) {
  LocalChunks local;
  for (int i = 0; i < 10; ++i) local.Note(Number(1), 16, 5);
  EXPECT_EQ(local.rows(), 1U);
}

TEST(LocalChunksTest, ItGrowsAndKeepsNearlyAll) {
  constexpr uint64_t kRows = 40'000;
  LocalChunks local(1 << 16);
  for (uint64_t n = 0; n < kRows; ++n) local.Note(Number(n), 16 + n % 7, static_cast<uint32_t>(n));
  uint64_t found = 0;
  for (uint64_t n = 0; n < kRows; ++n) {
    for (const auto& place : local.Find(Number(n))) found += place.chunk == n ? 1 : 0;
  }
  EXPECT_GT(found, kRows * 95 / 100);
  EXPECT_EQ(local.rows(), found);
}

TEST(LocalChunksTest, ItIsBoundedAndTheNewestStay) {
  LocalChunks local(1024);
  for (uint64_t n = 0; n < 20'000; ++n) local.Note(Number(n), 16, static_cast<uint32_t>(n));
  EXPECT_LE(local.rows(), 1024U);
  uint64_t found = 0;
  for (uint64_t n = 19'800; n < 20'000; ++n) found += local.Find(Number(n)).size();
  EXPECT_GE(found, 195U);
  EXPECT_THAT(local.Find(Number(0)), IsEmpty());
}

TEST(LocalChunksTest, ABlobWhoseNumberDoesNotFitIsNotNoted) {
  LocalChunks local;
  local.Note(Number(1), uint64_t{1} << 32, 5);
  EXPECT_THAT(local.Find(Number(1)), IsEmpty());
}

}  // namespace
}  // namespace slacker
