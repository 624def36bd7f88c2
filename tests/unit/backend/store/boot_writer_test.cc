#include "backend/store/boot_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/store/names.h"
#include "tests/support/fake_backend.h"
#include "tests/support/published_image.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

class BootWriterTest : public ::testing::Test {
 protected:
  BootWriterTest()
      : image_(
            testing::Publish(store_, {testing::MakeBigLayer(20, 1), testing::MakeBigLayer(30, 2)})),
        reader_(store_) {
    for (size_t i = 0; i < image_.layers.size(); ++i) {
      layers_.push_back({image_.manifest[i].record, &image_.layers[i].layer});
      records_.push_back(image_.manifest[i].record);
    }
  }

  absl::Status Write(const BootPlan& trace, const SigningKey* key = nullptr) {
    ChainReader chain(&reader_, layers_);
    return WriteBootPack(*store_, image_.chain(), chain, trace, key);
  }
  bool Has(BootOrigin origin, const std::string& made_of, const SigningKey* key = nullptr) {
    std::vector<PublicKey> keys;
    if (key != nullptr) keys.push_back(key->public_key());
    const auto has =
        HasBootPack(*store_, image_.chain(), records_, origin, Sha256::Of(made_of), keys);
    EXPECT_OK(has);
    return has.ok() && *has;
  }

  const std::shared_ptr<testing::FakeBackend> store_ = std::make_shared<testing::FakeBackend>();
  const testing::PublishedImage image_;
  const StoreReader reader_;
  std::vector<ChainLayer> layers_;
  std::vector<Digest> records_;
};

TEST_F(BootWriterTest, APackHasTheRecordsAndTheTraceInItsOrder) {
  const std::vector<ChunkRun> trace = {{1, 3, 25}, {0, 0, 4}, {1, 0, 1}};
  ASSERT_OK(Write({BootOrigin::kTrace, Sha256::Of("t"), trace, {}}));
  ASSERT_OK_AND_ASSIGN(const std::string pack,
                       store_->ReadWhole(BootPackName(image_.chain()), 64 << 20));
  ASSERT_OK_AND_ASSIGN(const BootTable table, DecodeBootTable(pack, image_.chain()));
  EXPECT_EQ(table.pack_bytes, pack.size());
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_OK(DecodeRecordObject(pack.substr(table.records[i].offset, table.records[i].bytes),
                                 image_.manifest[i].record));
  }
  const std::vector<const TableVector<Chunk>*> tables = {&image_.layers[0].layer.chunks,
                                                         &image_.layers[1].layer.chunks};
  std::vector<std::pair<uint32_t, uint32_t>> order;
  for (const BootTable::Window& window : table.windows) {
    ASSERT_OK_AND_ASSIGN(
        const auto chunks,
        UnpackBootWindow(window, pack.substr(window.offset, window.stored_bytes), tables));
    for (const BootChunk& chunk : chunks) {
      EXPECT_EQ(chunk.bytes, image_.layers[chunk.layer].chunks[chunk.chunk]);
      order.emplace_back(chunk.layer, chunk.chunk);
    }
  }
  std::vector<std::pair<uint32_t, uint32_t>> expected;
  for (const ChunkRun& run : trace) {
    for (uint32_t i = 0; i < run.count; ++i) expected.emplace_back(run.layer, run.first + i);
  }
  EXPECT_EQ(order, expected);
}

TEST_F(BootWriterTest, WindowsOfTinyChunksHaveNoMoreOfThemThanTheyMay) {
  const std::vector<ChunkRun> trace(10'000, ChunkRun{0, 0, 1});
  ASSERT_OK(Write({BootOrigin::kTrace, Sha256::Of("t"), trace, {}}));
  ASSERT_OK_AND_ASSIGN(const std::string pack,
                       store_->ReadWhole(BootPackName(image_.chain()), 64 << 20));
  ASSERT_OK_AND_ASSIGN(const BootTable table, DecodeBootTable(pack, image_.chain()));
  size_t chunks = 0;
  for (const BootTable::Window& window : table.windows) chunks += window.runs.size();
  EXPECT_EQ(chunks, trace.size());
}

TEST_F(BootWriterTest, APackIsLeftAloneThatIsAsGood) {
  EXPECT_FALSE(Has(BootOrigin::kGuess, "a"));
  ASSERT_OK(Write({BootOrigin::kGuess, Sha256::Of("a"), {{1, 0, 2}}, {}}));
  EXPECT_TRUE(Has(BootOrigin::kGuess, "a"));
  EXPECT_FALSE(Has(BootOrigin::kGuess, "b"));
  EXPECT_FALSE(Has(BootOrigin::kTrace, "a"));
  ASSERT_OK(Write({BootOrigin::kTrace, Sha256::Of("t"), {{1, 0, 2}}, {}}));
  EXPECT_TRUE(Has(BootOrigin::kGuess, "a")) << "what was seen beats what is guessed";
  EXPECT_TRUE(Has(BootOrigin::kTrace, "t"));
  EXPECT_FALSE(Has(BootOrigin::kTrace, "u"));
  records_.pop_back();
  EXPECT_FALSE(Has(BootOrigin::kTrace, "t")) << "other layers";
}

TEST_F(BootWriterTest, APackThatIsCutShortOrDamagedAtItsBeginningIsNone) {
  ASSERT_OK(Write({BootOrigin::kGuess, Sha256::Of("a"), {{1, 0, 2}}, {}}));
  const std::string name = BootPackName(image_.chain());
  ASSERT_OK_AND_ASSIGN(const std::string pack, store_->ReadWhole(name, 64 << 20));
  for (const size_t size : {size_t{0}, size_t{5}, size_t{100}, pack.size() - 1}) {
    ASSERT_OK(store_->Replace(name, pack.substr(0, size)));
    EXPECT_FALSE(Has(BootOrigin::kGuess, "a")) << size;
  }
  std::string damaged = pack;
  damaged[40] ^= 1;
  ASSERT_OK(store_->Replace(name, damaged));
  EXPECT_FALSE(Has(BootOrigin::kGuess, "a"));
}

TEST_F(BootWriterTest, APackWhosePagesAreNotSignedWithTheKeyIsNoneForWhoHasIt) {
  const SigningKey key = SigningKey::Generate();
  const SigningKey other = SigningKey::Generate();
  ASSERT_OK(Write({BootOrigin::kTrace, Sha256::Of("t"), {}, {{1, 0, 2}}}, &key));
  EXPECT_TRUE(Has(BootOrigin::kTrace, "t", &key));
  EXPECT_TRUE(Has(BootOrigin::kGuess, "a", &key));
  EXPECT_FALSE(Has(BootOrigin::kTrace, "t", &other));
  const std::string name = BootPackName(image_.chain());
  ASSERT_OK_AND_ASSIGN(const std::string pack, store_->ReadWhole(name, 64 << 20));
  ASSERT_OK_AND_ASSIGN(const size_t table_end, BootTableBytes(pack));
  for (const size_t byte : {table_end - 96, table_end - 65, table_end - 64, table_end - 1}) {
    std::string damaged = pack;
    damaged[byte] ^= 1;
    ASSERT_OK(store_->Replace(name, damaged));
    EXPECT_FALSE(Has(BootOrigin::kTrace, "t", &key)) << byte;
    EXPECT_FALSE(Has(BootOrigin::kGuess, "a", &key)) << byte;
  }
}

TEST_F(BootWriterTest, ATraceWithChunksThatThereAreNotIsInvalid) {
  const auto chunks = static_cast<uint32_t>(image_.layers[1].chunks.size());
  for (const ChunkRun& run : {ChunkRun{2, 0, 1}, ChunkRun{1, chunks, 1}, ChunkRun{1, chunks - 1, 2},
                              ChunkRun{1, 0xffffffff, 2}}) {
    EXPECT_THAT(Write({BootOrigin::kTrace, Sha256::Of("t"), {run}, {}}),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(store_->Stat(BootPackName(image_.chain())), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(BootWriterTest, WhatTheStoreHasLostIsNotPacked) {
  const auto packs = store_->List(kPacksPrefix);
  ASSERT_OK(packs);
  for (const std::string& name : *packs) ASSERT_OK(store_->Remove(name));
  EXPECT_THAT(Write({BootOrigin::kTrace, Sha256::Of("t"), {{1, 0, 1}}, {}}),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace slacker
