#include "backend/record/layer_codec.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "backend/record/layer_encoder.h"
#include "tests/support/encode_layer.h"
#include "tests/support/exhaustive.h"
#include "tests/support/sample_layer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"

namespace slacker {
namespace {

using testing::EncodeLayer;
using testing::IsOk;
using testing::LayerObjects;
using testing::MakeSampleLayer;
using testing::MakeWideLayer;
using testing::StatusIs;

void ExpectSameNode(const Node& a, const Node& b) {
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(a.opaque, b.opaque);
  EXPECT_EQ(a.mode, b.mode);
  EXPECT_EQ(a.uid, b.uid);
  EXPECT_EQ(a.gid, b.gid);
  EXPECT_EQ(a.mtime_seconds, b.mtime_seconds);
  EXPECT_EQ(a.mtime_nanos, b.mtime_nanos);
  EXPECT_EQ(a.rdev_major, b.rdev_major);
  EXPECT_EQ(a.rdev_minor, b.rdev_minor);
  EXPECT_EQ(a.file, b.file);
  EXPECT_EQ(a.target, b.target);
  EXPECT_EQ(a.xattrs, b.xattrs);
}

void ExpectSameLayer(const Layer& a, const Layer& b) {
  EXPECT_EQ(a.diff_id, b.diff_id);
  EXPECT_EQ(a.tar_size_bytes, b.tar_size_bytes);
  EXPECT_EQ(a.chunk_size, b.chunk_size);
  EXPECT_EQ(a.blob_size_bytes, b.blob_size_bytes);
  ASSERT_EQ(a.nodes.size(), b.nodes.size());
  for (size_t i = 0; i < a.nodes.size(); ++i) ExpectSameNode(a.nodes[i], b.nodes[i]);
  ASSERT_EQ(a.entries.size(), b.entries.size());
  for (size_t i = 0; i < a.entries.size(); ++i) {
    EXPECT_EQ(a.entries[i].parent, b.entries[i].parent);
    EXPECT_EQ(a.entries[i].node, b.entries[i].node);
    EXPECT_EQ(a.entries[i].name, b.entries[i].name);
  }
  ASSERT_EQ(a.files.size(), b.files.size());
  for (size_t i = 0; i < a.files.size(); ++i) {
    EXPECT_EQ(a.files[i].size_bytes, b.files[i].size_bytes);
    EXPECT_EQ(a.files[i].first_chunk, b.files[i].first_chunk);
    EXPECT_EQ(a.files[i].chunk_count, b.files[i].chunk_count);
  }
  ASSERT_EQ(a.chunks.size(), b.chunks.size());
  for (size_t i = 0; i < a.chunks.size(); ++i) {
    EXPECT_EQ(a.chunks[i].digest, b.chunks[i].digest);
    EXPECT_EQ(a.chunks[i].index, b.chunks[i].index);
    EXPECT_EQ(a.chunks[i].size_bytes, b.chunks[i].size_bytes);
    EXPECT_EQ(a.chunks[i].blob_offset, b.chunks[i].blob_offset);
  }
  ASSERT_EQ(a.tar_pieces.size(), b.tar_pieces.size());
  for (size_t i = 0; i < a.tar_pieces.size(); ++i) {
    EXPECT_EQ(a.tar_pieces[i].kind, b.tar_pieces[i].kind);
    EXPECT_EQ(a.tar_pieces[i].file, b.tar_pieces[i].file);
    EXPECT_EQ(a.tar_pieces[i].offset, b.tar_pieces[i].offset);
    EXPECT_EQ(a.tar_pieces[i].length, b.tar_pieces[i].length);
  }
  EXPECT_TRUE(a.tar_literals == b.tar_literals);
}

absl::StatusOr<DecodedRecord> Decode(std::string_view bytes, const Digest& record) {
  return DecodeRecord(std::make_unique<MemoryBytes>(bytes), record);
}

// Reads the whole tar part and puts it into the layer.
absl::Status DecodeTar(std::string_view bytes, const Digest& tar_part, Layer* layer) {
  ASSIGN_OR_RETURN(TarPartReader tar,
                   TarPartReader::Open(std::make_unique<MemoryBytes>(bytes), tar_part, *layer));
  PagedBytes literals;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view next, tar.NextLiteral(1000));
    if (next.empty()) break;
    literals.Append(next);
  }
  RETURN_IF_ERROR(tar.Finish());
  layer->tar_pieces.clear();
  while (const auto piece = tar.NextPiece()) layer->tar_pieces.push_back(*piece);
  layer->tar_literals = std::move(literals);
  return absl::OkStatus();
}

TEST(LayerCodecTest, RoundTripKeepsEverything) {
  const Layer layer = MakeSampleLayer().layer;
  ASSERT_OK_AND_ASSIGN(const LayerObjects encoded, EncodeLayer(layer));
  ASSERT_OK_AND_ASSIGN(DecodedRecord decoded, Decode(encoded.bytes, encoded.record));
  EXPECT_TRUE(decoded.layer.tar_pieces.empty());
  ASSERT_OK(DecodeTar(encoded.tar, decoded.tar_part, &decoded.layer));
  ExpectSameLayer(decoded.layer, layer);
}

TEST(LayerCodecTest, EqualLayersHaveEqualBytes) {
  ASSERT_OK_AND_ASSIGN(const LayerObjects a, EncodeLayer(MakeSampleLayer().layer));
  ASSERT_OK_AND_ASSIGN(const LayerObjects b, EncodeLayer(MakeSampleLayer().layer));
  EXPECT_EQ(a.record, b.record);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.tar, b.tar);
}

// The digest is part of the format: a change of it is a change of the format's version.
TEST(LayerCodecTest, DigestOfTheSampleIsFixed) {
  ASSERT_OK_AND_ASSIGN(const LayerObjects encoded, EncodeLayer(MakeSampleLayer().layer));
  EXPECT_EQ(encoded.record.ToHex(),
            "017d57ec7ec595f91206052cb5cf59a3dbdbf787b95d21adbdf200540ea5cf1f");
}

TEST(LayerCodecTest, DigestCoversTheTarPart) {
  Layer layer = MakeSampleLayer().layer;
  ASSERT_OK_AND_ASSIGN(const LayerObjects a, EncodeLayer(layer));
  layer.tar_literals = PagedBytes("Header header");
  ASSERT_OK_AND_ASSIGN(const LayerObjects b, EncodeLayer(layer));
  EXPECT_NE(a.record, b.record);
  ASSERT_OK_AND_ASSIGN(DecodedRecord decoded, Decode(a.bytes, a.record));
  EXPECT_THAT(DecodeTar(b.tar, decoded.tar_part, &decoded.layer),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(LayerCodecTest, InvalidLayerIsNotEncoded) {
  Layer layer = MakeSampleLayer().layer;
  layer.entries[1].name = "..";
  EXPECT_THAT(EncodeLayer(layer), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(LayerCodecTest, LayerWithoutItsTarPartIsNotEncoded) {
  Layer layer = MakeSampleLayer().layer;
  layer.tar_pieces.clear();
  layer.tar_literals = {};
  EXPECT_THAT(EncodeLayer(layer), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(LayerCodecTest, RecordUnderAnotherNameIsDataLoss) {
  ASSERT_OK_AND_ASSIGN(const LayerObjects encoded, EncodeLayer(MakeSampleLayer().layer));
  EXPECT_THAT(Decode(encoded.bytes, Digest{}), StatusIs(absl::StatusCode::kDataLoss));
}

// What an encoder of ours would never write: longer than the memory that texts are kept in has room for.
absl::Status DecodeLongTexts(size_t name_bytes, size_t target_bytes) {
  const std::string name(name_bytes, 'n'), target(target_bytes, 't');
  LayerEncoder encoder(64 << 10);
  Node root;
  root.type = NodeType::kDirectory;
  encoder.AddNode(root);
  Node link;
  link.type = NodeType::kSymlink;
  link.target = target;
  encoder.AddNode(link);
  encoder.AddEntry(0, 0, "");
  encoder.AddEntry(0, 1, name);
  const LayerTables tables = encoder.Finish(Digest{}, 0);
  const auto encoded = slacker::EncodeLayer(tables);
  RETURN_IF_ERROR(encoded.status());
  const std::string bytes = encoded->record.ToString();
  return DecodeRecord(std::make_unique<MemoryBytes>(bytes), encoded->record.digest).status();
}

TEST(LayerCodecTest, NamesAndTargetsOfAnyLengthAreRefusedBeforeTheyAreKept) {
  EXPECT_OK(DecodeLongTexts(255, 4095));
  for (const size_t bytes : {size_t{256}, size_t{70'000}, size_t{1'000'000}}) {
    EXPECT_THAT(DecodeLongTexts(bytes, 1), StatusIs(absl::StatusCode::kDataLoss, "name"));
  }
  for (const size_t bytes : {size_t{4096}, size_t{70'000}, size_t{1'000'000}}) {
    EXPECT_THAT(DecodeLongTexts(1, bytes), StatusIs(absl::StatusCode::kDataLoss, "target"));
  }
}

TEST(LayerCodecTest, EveryTruncationIsDataLoss) {
  ASSERT_OK_AND_ASSIGN(const LayerObjects encoded, EncodeLayer(MakeSampleLayer().layer));
  ASSERT_OK_AND_ASSIGN(const DecodedRecord whole, Decode(encoded.bytes, encoded.record));
  for (size_t size = 0; size < encoded.bytes.size(); ++size) {
    ASSERT_THAT(Decode(encoded.bytes.substr(0, size), encoded.record),
                StatusIs(absl::StatusCode::kDataLoss));
  }
  for (size_t size = 0; size < encoded.tar.size(); ++size) {
    Layer layer = whole.layer;
    ASSERT_THAT(DecodeTar(encoded.tar.substr(0, size), whole.tar_part, &layer),
                StatusIs(absl::StatusCode::kDataLoss));
  }
  EXPECT_THAT(Decode(encoded.bytes + "x", encoded.record), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(LayerCodecTest, EveryFlippedBitIsDataLossOrWithoutEffect) {
  const Layer original = MakeSampleLayer().layer;
  ASSERT_OK_AND_ASSIGN(const LayerObjects encoded, EncodeLayer(original));
  ASSERT_OK_AND_ASSIGN(const DecodedRecord whole, Decode(encoded.bytes, encoded.record));
  for (size_t bit = 0; bit < encoded.bytes.size() * 8; ++bit) {
    std::string damaged = encoded.bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const auto decoded = Decode(damaged, encoded.record);
    if (decoded.ok()) {  // a bit of a zstd frame that decoders ignore
      ExpectSameLayer(decoded->layer, whole.layer);
    } else {
      ASSERT_THAT(decoded, StatusIs(absl::StatusCode::kDataLoss));
    }
  }
  for (size_t bit = 0; bit < encoded.tar.size() * 8; ++bit) {
    std::string damaged = encoded.tar;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    Layer layer = whole.layer;
    if (DecodeTar(damaged, whole.tar_part, &layer).ok()) ExpectSameLayer(layer, original);
  }
}

// Many pages in each section, and rows that lie across two of them.
TEST(LayerCodecTest, DamageAndTruncationOfAnyPageAreDataLoss) {
  Layer layer = MakeWideLayer(10, 1500);
  layer.nodes[3].xattrs = {{"user.long", std::string(60'000, 'x')},
                           {"user.longer", std::string(60'000, 'y')},
                           {"user.noise", testing::Noise(60'000)}};
  ASSERT_OK_AND_ASSIGN(const LayerObjects encoded, EncodeLayer(layer));
  ASSERT_OK_AND_ASSIGN(const DecodedRecord whole, Decode(encoded.bytes, encoded.record));
  ExpectSameNode(whole.layer.nodes[3], layer.nodes[3]);
  ASSERT_GT(encoded.bytes.size(), 4 * size_t{kPageSize});
  for (size_t at = 0; at < encoded.bytes.size(); at += 997 * testing::kPlaceStep) {
    ASSERT_THAT(Decode(encoded.bytes.substr(0, at), encoded.record),
                StatusIs(absl::StatusCode::kDataLoss));
    std::string damaged = encoded.bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    ASSERT_THAT(Decode(damaged, encoded.record), StatusIs(absl::StatusCode::kDataLoss)) << at;
  }
}

TEST(LayerCodecTest, AMillionEntriesRoundTrip) {
  const Layer layer = MakeWideLayer(100, 10'000);
  ASSERT_OK_AND_ASSIGN(const LayerObjects encoded, EncodeLayer(layer));
  ASSERT_OK_AND_ASSIGN(const DecodedRecord decoded, Decode(encoded.bytes, encoded.record));
  ASSERT_EQ(decoded.layer.entries.size(), layer.entries.size());
  EXPECT_EQ(decoded.layer.entries.back().name, layer.entries.back().name);
  EXPECT_EQ(decoded.layer.chunks.back().digest, layer.chunks.back().digest);
}

}  // namespace
}  // namespace slacker
