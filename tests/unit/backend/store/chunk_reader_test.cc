#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/store/store.h"
#include "tests/support/fake_backend.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/store/store_test_util.h"

namespace slacker {
namespace {

using testing::FakeBackend;
using testing::FaultyBackend;
using testing::MakeSampleLayer;
using testing::ReadChunks;
using testing::SampleLayer;
using testing::StatusIs;

class ChunkReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(testing::PublishSamples(fake_, {sample_}));
    const Digest chain = testing::SampleChain({sample_});
    record_ = reader_.ReadManifest(chain).value().layers[0].record;
    layer_ = reader_.ReadRecord(record_).value().layer;
    locations_ = reader_.ReadLocations(record_, layer_.chunks.size()).value();
    fake_->ResetCounts();
  }
  uint32_t count() const { return static_cast<uint32_t>(layer_.chunks.size()); }

  const SampleLayer sample_ = MakeSampleLayer();
  const std::shared_ptr<FakeBackend> fake_ = std::make_shared<FakeBackend>();
  const std::shared_ptr<FaultyBackend> faulty_ = std::make_shared<FaultyBackend>(fake_);
  const StoreReader reader_{faulty_};
  Digest record_;
  Layer layer_;
  Locations locations_;
};

TEST_F(ChunkReaderTest, NeighboursAreFetchedByOneRead) {
  const auto chunks = ReadChunks(reader_, layer_, locations_, 0, count());
  for (uint32_t i = 0; i < count(); ++i) EXPECT_EQ(chunks.at(i).value(), sample_.chunks[i]);
  EXPECT_EQ(fake_->counts().reads, 1u);
}

TEST_F(ChunkReaderTest, PartOfTheChunksIsExactlyThat) {
  const auto chunks = ReadChunks(reader_, layer_, locations_, 2, 2);
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks.at(2).value(), sample_.chunks[2]);
  EXPECT_EQ(chunks.at(3).value(), sample_.chunks[3]);
  EXPECT_TRUE(ReadChunks(reader_, layer_, locations_, 1, 0).empty());
}

TEST_F(ChunkReaderTest, FarApartChunksAreFetchedSeparately) {
  const std::string far = "packs/" + std::string(64, 'f');
  std::string pack(100'000, 'x');
  ASSERT_OK_AND_ASSIGN(const std::string stored, fake_->ReadWhole(locations_.packs[0], 1 << 20));
  ASSERT_OK(fake_->Put(far, stored + pack + stored));
  locations_.packs[0] = far;
  locations_.chunks[1].offset += stored.size() + pack.size();
  fake_->ResetCounts();
  const auto chunks = ReadChunks(reader_, layer_, locations_, 0, 2);
  EXPECT_EQ(chunks.at(0).value(), sample_.chunks[0]);
  EXPECT_EQ(chunks.at(1).value(), sample_.chunks[1]);
  EXPECT_EQ(fake_->counts().reads, 2u);
}

TEST_F(ChunkReaderTest, TransientDamageIsHealedByTheSecondRead) {
  int reads = 0;
  faulty_->SetReadFilter([&reads](auto, auto, std::string* bytes) {
    if (++reads == 1) (*bytes)[0] = static_cast<char>((*bytes)[0] ^ 1);
  });
  const auto chunks = ReadChunks(reader_, layer_, locations_, 0, count());
  for (uint32_t i = 0; i < count(); ++i) EXPECT_EQ(chunks.at(i).value(), sample_.chunks[i]);
  EXPECT_EQ(fake_->counts().reads, 2u);
}

TEST_F(ChunkReaderTest, LastingDamageIsDataLossOfThatChunkOnly) {
  const ChunkLocation damaged = locations_.chunks[1];
  faulty_->SetReadFilter([damaged](auto, uint64_t offset, std::string* bytes) {
    const uint64_t at = damaged.offset - offset;
    if (at < bytes->size()) (*bytes)[at] = static_cast<char>((*bytes)[at] ^ 0x10);
  });
  const auto chunks = ReadChunks(reader_, layer_, locations_, 0, count());
  for (uint32_t i = 0; i < count(); ++i) {
    if (i == 1) {
      EXPECT_THAT(chunks.at(i), StatusIs(absl::StatusCode::kDataLoss, "chunk 1 of layer"));
      EXPECT_THAT(chunks.at(i), StatusIs(absl::StatusCode::kDataLoss, locations_.packs[0]));
    } else {
      EXPECT_EQ(chunks.at(i).value(), sample_.chunks[i]);
    }
  }
}

TEST_F(ChunkReaderTest, TruncatedPackIsDataLoss) {
  ASSERT_OK_AND_ASSIGN(const std::string pack, fake_->ReadWhole(locations_.packs[0], 1 << 20));
  ASSERT_OK(fake_->Replace(locations_.packs[0], pack.substr(0, 20)));
  for (const auto& [chunk, bytes] : ReadChunks(reader_, layer_, locations_, 0, count())) {
    EXPECT_THAT(bytes, StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_F(ChunkReaderTest, EveryFlippedBitOfAPackIsDataLossOrWithoutEffect) {
  ASSERT_OK_AND_ASSIGN(const std::string pack, fake_->ReadWhole(locations_.packs[0], 1 << 20));
  for (size_t byte = 0; byte < pack.size(); byte += 7) {
    std::string damaged = pack;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << (byte % 8)));
    ASSERT_OK(fake_->Replace(locations_.packs[0], damaged));
    for (const auto& [chunk, bytes] : ReadChunks(reader_, layer_, locations_, 0, count())) {
      if (bytes.ok()) {
        ASSERT_EQ(*bytes, sample_.chunks[chunk]);
      } else {
        ASSERT_THAT(bytes, StatusIs(absl::StatusCode::kDataLoss));
      }
    }
  }
}

TEST_F(ChunkReaderTest, MissingPackIsNotFound) {
  ASSERT_OK(fake_->Remove(locations_.packs[0]));
  EXPECT_THAT(ReadChunks(reader_, layer_, locations_, 0, 1).at(0),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ChunkReaderTest, UnreachableStoreIsUnavailableWithoutASecondRead) {
  faulty_->FailFrom(1, Unavailable("no route"));
  for (const auto& [chunk, bytes] : ReadChunks(reader_, layer_, locations_, 0, count())) {
    EXPECT_THAT(bytes, StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_EQ(faulty_->calls(), 1u);
}

TEST_F(ChunkReaderTest, MediaErrorIsTriedAgain) {
  faulty_->FailCall(1, DataLoss("bad sector"));
  EXPECT_EQ(ReadChunks(reader_, layer_, locations_, 0, 1).at(0).value(), sample_.chunks[0]);
}

TEST_F(ChunkReaderTest, WrongLocationIsNeverAWrongByte) {
  std::swap(locations_.chunks[0], locations_.chunks[1]);
  const auto chunks = ReadChunks(reader_, layer_, locations_, 0, 2);
  EXPECT_THAT(chunks.at(0), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(chunks.at(1), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace slacker
