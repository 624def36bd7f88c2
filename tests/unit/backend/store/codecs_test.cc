#include <gtest/gtest.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/pack_index.h"
#include "backend/store/references.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/store/huge_bucket.h"

namespace slacker {
namespace {

using testing::StatusIs;

Digest D(const std::string& text) { return Sha256::Of(text); }

Manifest SampleManifest() {
  Manifest manifest;
  manifest.platform = {"linux", "arm64", "v8"};
  manifest.layers = {{D("diff 1"), D("record 1")}, {D("diff 2"), D("record 2")}};
  manifest.chain_id = ChainId(std::vector<Digest>{D("diff 1"), D("diff 2")});
  return manifest;
}

Locations SampleLocations() {
  Locations locations;
  locations.packs = {PackName(D("pack 1")), PackName(D("pack 2"))};
  locations.chunks = {
      {0, 8, 100, true}, {0, 108, 262'144, false}, {1, 1'000'000, 1, false}, {0, 8, 100, true}};
  return locations;
}

PackIndex SampleIndex() {
  PackIndex index;
  index.pack = D("pack");
  index.pack_bytes = 5000;
  for (uint32_t i = 0; i < 4; ++i) {
    index.chunks.push_back({D("chunk" + std::to_string(i)), 8 + 100 * i, 100, 100 + i, i > 0});
  }
  return index;
}

StoreReferences SampleReferences() {
  return {.chains = {D("a")}, .records = {D("b"), D("c")}, .packs = {}};
}

// One of the formats: a sample's bytes, and a decoder that answers whether they are accepted.
struct Format {
  const char* name;
  std::function<std::string()> sample;
  std::function<absl::Status(std::string_view)> decode;
};

class FormatTest : public ::testing::TestWithParam<Format> {};

TEST_P(FormatTest, SampleIsAccepted) {
  EXPECT_OK(GetParam().decode(GetParam().sample()));
  EXPECT_EQ(GetParam().sample(), GetParam().sample());
}

TEST_P(FormatTest, EveryTruncationIsDataLoss) {
  const std::string bytes = GetParam().sample();
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_THAT(GetParam().decode(bytes.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss));
  }
  EXPECT_THAT(GetParam().decode(bytes + '\0'), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_P(FormatTest, EveryFlippedBitIsDataLoss) {
  const std::string bytes = GetParam().sample();
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_THAT(GetParam().decode(damaged), StatusIs(absl::StatusCode::kDataLoss)) << bit;
  }
}

const Format kFormats[] = {
    {"Manifest", [] { return EncodeManifest(SampleManifest(), nullptr); },
     [](std::string_view b) {
       return DecodeManifest(b, SampleManifest().chain_id, nullptr).status();
     }},
    {"ImageEntryOfVersion1",
     [] {
       return EncodeImageEntry({"docker://x/\xff",
                                {"linux", "amd64", ""},
                                D("chain"),
                                "sha256:00",
                                1,
                                2,
                                -3,
                                "{\"a\":1}"});
     },
     [](std::string_view b) { return DecodeImageEntry(b).status(); }},
    {"ImageEntry",
     [] {
       ImageEntry image;
       image.name = "docker://x";
       image.chain_id = D("chain");
       image.config_json = "{}";
       image.manifest_json = "{\"layers\":[]}";
       return EncodeImageEntry(image);
     },
     [](std::string_view b) { return DecodeImageEntry(b).status(); }},
    {"Locations", [] { return EncodeLocations(SampleLocations(), D("record")).value(); },
     [](std::string_view b) { return DecodeLocations(b, D("record"), 4).status(); }},
    {"References", [] { return EncodeReferences(SampleReferences()); },
     [](std::string_view b) { return DecodeReferences(b).status(); }},
    {"PacksOfLocations", [] { return EncodeLocations(SampleLocations(), D("record")).value(); },
     [](std::string_view b) { return DecodePacksOfLocations(b, D("record")).status(); }},
    {"PackIndex", [] { return EncodePackIndex(SampleIndex()); },
     [](std::string_view b) { return DecodePackIndex(b, D("pack")).status(); }},
};

INSTANTIATE_TEST_SUITE_P(Formats, FormatTest, ::testing::ValuesIn(kFormats),
                         [](const auto& test) { return test.param.name; });

TEST(ManifestCodecTest, RoundTripKeepsEverything) {
  const Manifest manifest = SampleManifest();
  ASSERT_OK_AND_ASSIGN(const Manifest decoded, DecodeManifest(EncodeManifest(manifest, nullptr),
                                                              manifest.chain_id, nullptr));
  EXPECT_EQ(decoded.chain_id, manifest.chain_id);
  EXPECT_EQ(decoded.platform.os, "linux");
  EXPECT_EQ(decoded.platform.architecture, "arm64");
  EXPECT_EQ(decoded.platform.variant, "v8");
  ASSERT_EQ(decoded.layers.size(), 2u);
  EXPECT_EQ(decoded.layers[1].diff_id, D("diff 2"));
  EXPECT_EQ(decoded.layers[1].record, D("record 2"));
}

TEST(ManifestCodecTest, ChainThatItsLayersDoNotMakeIsDataLoss) {
  Manifest manifest = SampleManifest();
  manifest.layers.pop_back();
  EXPECT_THAT(DecodeManifest(EncodeManifest(manifest, nullptr), manifest.chain_id, nullptr),
              StatusIs(absl::StatusCode::kDataLoss, "another chain"));
}

TEST(ManifestCodecTest, UnknownFieldsAreDataLoss) {
  const std::string extra("\x78\x01", 2);  // field 15 = 1
  EXPECT_THAT(DecodeManifest(EncodeManifest(SampleManifest(), nullptr) + extra,
                             SampleManifest().chain_id, nullptr),
              StatusIs(absl::StatusCode::kDataLoss, "canonical"));
}

TEST(LocationsCodecTest, RoundTripKeepsEverything) {
  const Locations locations = SampleLocations();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeLocations(locations, D("record")));
  ASSERT_OK_AND_ASSIGN(const Locations decoded, DecodeLocations(bytes, D("record"), 4));
  EXPECT_EQ(decoded.packs, locations.packs);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(decoded.chunks[i].pack, locations.chunks[i].pack);
    EXPECT_EQ(decoded.chunks[i].offset, locations.chunks[i].offset);
    EXPECT_EQ(decoded.chunks[i].stored_bytes, locations.chunks[i].stored_bytes);
    EXPECT_EQ(decoded.chunks[i].compressed, locations.chunks[i].compressed);
  }
}

TEST(LocationsCodecTest, PackThatIsNoPackIsInvalid) {
  Locations locations = SampleLocations();
  locations.packs[0] = "records/" + D("x").ToHex();
  EXPECT_THAT(EncodeLocations(locations, D("record")),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

class BadLocationsTest : public ::testing::TestWithParam<ChunkLocation> {};

TEST_P(BadLocationsTest, IsDataLoss) {
  Locations locations = SampleLocations();
  locations.chunks[2] = GetParam();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeLocations(locations, D("record")));
  EXPECT_THAT(DecodeLocations(bytes, D("record"), 4), StatusIs(absl::StatusCode::kDataLoss));
}

INSTANTIATE_TEST_SUITE_P(Rows, BadLocationsTest,
                         ::testing::Values(ChunkLocation{2, 8, 100, true},
                                           ChunkLocation{0, 8, 0, true},
                                           ChunkLocation{0, 8, kMaxChunkSize + 1, true},
                                           ChunkLocation{0, UINT64_MAX, 100, true},
                                           ChunkLocation{UINT32_MAX, 8, 100, true}));

TEST(PackIndexTest, RoundTripSortsByDigest) {
  ASSERT_OK_AND_ASSIGN(const PackIndex decoded,
                       DecodePackIndex(EncodePackIndex(SampleIndex()), D("pack")));
  EXPECT_EQ(decoded.pack_bytes, 5000u);
  ASSERT_EQ(decoded.chunks.size(), 4u);
  for (size_t i = 1; i < 4; ++i) EXPECT_LT(decoded.chunks[i - 1].digest, decoded.chunks[i].digest);
}

TEST(PackIndexTest, EmptyIndexIsAccepted) {
  PackIndex index;
  index.pack = D("pack");
  EXPECT_OK(DecodePackIndex(EncodePackIndex(index), D("pack")));
}

PackIndex LargeIndex(uint32_t chunks, bool spread) {
  PackIndex index{D("pack"), uint64_t{1} << 30, {}};
  for (uint32_t i = 0; i < chunks; ++i) {
    PackedChunk chunk{{}, 8, 100, 100, false};
    for (size_t byte = 0; byte < 4; ++byte) {
      chunk.digest.bytes[spread ? byte : 28 + byte] = static_cast<uint8_t>(i >> (8 * byte));
    }
    index.chunks.push_back(chunk);
  }
  return index;
}

TEST(PackIndexTest, MoreChunksThanAPackHasAreDataLossBeforeTheyAreRead) {
  EXPECT_OK(DecodePackIndex(EncodePackIndex(LargeIndex(kMaxPackChunks, true)), D("pack")));
  EXPECT_THAT(DecodePackIndex(EncodePackIndex(LargeIndex(kMaxPackChunks + 1, true)), D("pack")),
              StatusIs(absl::StatusCode::kDataLoss, "more chunks than a pack has"));
}

TEST(PackIndexTest, WhatABucketHasNoRoomForIsLeftOut) {
  ASSERT_OK_AND_ASSIGN(
      const PackIndex decoded,
      DecodePackIndex(EncodePackIndex(LargeIndex(kMaxBucketRows + 10, false)), D("pack")));
  EXPECT_EQ(decoded.chunks.size(), kMaxBucketRows);
}

TEST(PackIndexTest, ABucketThatNobodyCanReadIsDataLossInTheDirectory) {
  for (const uint32_t rows : {uint32_t{kMaxBucketRows} + 1, testing::kUnreadableRows}) {
    const std::string bytes = testing::WithRows(EncodePackIndex(SampleIndex()), D("pack"), rows);
    const std::string directory = bytes.substr(bytes.size() - *IndexDirectoryBytes(bytes));
    EXPECT_THAT(DecodeIndexDirectory(directory, D("pack"), bytes.size()),
                StatusIs(absl::StatusCode::kDataLoss, "too many chunks in one bucket"));
  }
}

TEST(LocationsCodecTest, ThePacksAloneAreThoseOfTheLocations) {
  const std::string bytes = EncodeLocations(SampleLocations(), D("record")).value();
  ASSERT_OK_AND_ASSIGN(const auto packs, DecodePacksOfLocations(bytes, D("record")));
  EXPECT_EQ(packs, (std::vector<Digest>{D("pack 1"), D("pack 2")}));
}

TEST(ReferencesTest, RoundTripKeepsEverything) {
  ASSERT_OK_AND_ASSIGN(const StoreReferences decoded,
                       DecodeReferences(EncodeReferences(SampleReferences())));
  EXPECT_EQ(decoded.chains, SampleReferences().chains);
  EXPECT_EQ(decoded.records, SampleReferences().records);
  EXPECT_EQ(decoded.packs, SampleReferences().packs);
}

class BadPackIndexTest : public ::testing::TestWithParam<PackedChunk> {};

TEST_P(BadPackIndexTest, IsDataLoss) {
  PackIndex index = SampleIndex();
  index.chunks.push_back(GetParam());
  EXPECT_THAT(DecodePackIndex(EncodePackIndex(index), D("pack")),
              StatusIs(absl::StatusCode::kDataLoss));
}

INSTANTIATE_TEST_SUITE_P(Rows, BadPackIndexTest,
                         ::testing::Values(PackedChunk{D("chunk0"), 8, 100, 100, false},  // twice
                                           PackedChunk{D("x"), 4901, 100, 100, false},
                                           PackedChunk{D("x"), UINT64_MAX, 100, 100, false},
                                           PackedChunk{D("x"), 8, 0, 100, true},
                                           PackedChunk{D("x"), 8, 100, 0, true},
                                           PackedChunk{D("x"), 8, 100, 100, true},
                                           PackedChunk{D("x"), 8, 100, 101, false},
                                           PackedChunk{D("x"), 8, 100, kMaxChunkSize + 1, true}));

TEST(NamesTest, NamesAreObjectNames) {
  for (const std::string& name :
       {RecordName(D("x")), TarName(D("x")), LocationsName(D("x")),
        ManifestName(D("x"), std::nullopt), PackName(D("x")), PackIndexName(D("x")),
        ImageName("oci:dir", {"linux", "amd64", ""})}) {
    EXPECT_OK(ValidateObjectName(name));
  }
}

TEST(NamesTest, ImageNameDependsOnNameAndPlatform) {
  const Platform platform = {"linux", "amd64", ""};
  EXPECT_EQ(ImageName("a", platform), ImageName("a", platform));
  EXPECT_NE(ImageName("a", platform), ImageName("b", platform));
  EXPECT_NE(ImageName("a", platform), ImageName("a", {"linux", "arm64", ""}));
}

TEST(NamesTest, PackIndexNamesParseAndOthersDoNot) {
  EXPECT_EQ(ParsePackIndexName(PackIndexName(D("x"))).value(), D("x"));
  for (const std::string& name :
       {PackName(D("x")), std::string("packs/x.idx"), "records/" + D("x").ToHex() + ".idx",
        "packs/" + std::string(64, 'G') + ".idx"}) {
    EXPECT_THAT(ParsePackIndexName(name), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(PrefixChainsTest, APrefixOfEveryLengthHasTheChainIdOfItsLayers) {
  Manifest manifest;
  std::vector<Digest> diff_ids;
  for (int i = 0; i < 4096; ++i) {
    diff_ids.push_back(D(std::to_string(i)));
    manifest.layers.push_back({diff_ids.back(), Digest()});
  }
  const std::vector<Digest> chains = PrefixChains(manifest);
  ASSERT_EQ(chains.size(), diff_ids.size());
  for (const size_t layers : {1, 2, 3, 100, 4096}) {
    EXPECT_EQ(chains[layers - 1], ChainId(std::span(diff_ids).first(layers))) << layers;
  }
}

}  // namespace
}  // namespace slacker
