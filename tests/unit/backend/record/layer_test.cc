#include "backend/record/layer.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/support/sample_layer.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::MakeSampleLayer;
using testing::StatusIs;

TEST(LayerTest, BlobOffsetsAreBlockAlignedAndDense) {
  Layer layer = MakeSampleLayer().layer;
  uint64_t expected = 0;
  for (const Chunk& chunk : layer.chunks) {
    EXPECT_EQ(chunk.blob_offset, expected);
    expected += (chunk.size_bytes + 4095u) / 4096 * 4096;
  }
  EXPECT_EQ(layer.blob_size_bytes, expected);
}

TEST(LayerTest, SampleIsValid) { EXPECT_OK(ValidateLayer(MakeSampleLayer().layer)); }

TEST(LayerTest, EmptyLayerIsValid) {
  Layer layer;
  layer.nodes.emplace_back();
  layer.entries.push_back({});
  EXPECT_OK(ValidateLayer(layer));
}

TEST(LayerTest, LayerWithoutItsTarPartIsValid) {
  Layer layer = MakeSampleLayer().layer;
  layer.tar_pieces.clear();
  layer.tar_literals = {};
  EXPECT_OK(ValidateLayer(layer));
}

TEST(LayerTest, ATreeThatIsDroppedLeavesNoMemory) {
  Layer layer = MakeSampleLayer().layer;
  const size_t before = layer.MemoryBytes();
  layer.DropTree();
  EXPECT_EQ(layer.nodes.capacity(), 0U);
  EXPECT_EQ(layer.entries.capacity(), 0U);
  EXPECT_LT(layer.MemoryBytes(), before);
  EXPECT_FALSE(layer.chunks.empty());
}

struct Violation {
  const char* name;
  std::function<void(Layer*)> break_it;
};

class ValidateLayerTest : public ::testing::TestWithParam<Violation> {};

TEST_P(ValidateLayerTest, ViolationIsDataLoss) {
  Layer layer = MakeSampleLayer().layer;
  GetParam().break_it(&layer);
  EXPECT_THAT(ValidateLayer(layer), StatusIs(absl::StatusCode::kDataLoss));
}

Node& FirstOf(Layer* layer, NodeType type) {
  for (Node& node : layer->nodes) {
    if (node.type == type) return node;
  }
  return layer->nodes[0];
}

const Violation kViolations[] = {
    {"NoEntries", [](Layer* l) { l->entries.clear(); }},
    {"RootNamed", [](Layer* l) { l->entries[0].name = "x"; }},
    {"RootIsWhiteout", [](Layer* l) { l->entries[0].node = kNone; }},
    {"RootIsNoDirectory", [](Layer* l) { l->nodes[0].type = NodeType::kFifo; }},
    {"NameEmpty", [](Layer* l) { l->entries[1].name = ""; }},
    {"NameDot", [](Layer* l) { l->entries[1].name = "."; }},
    {"NameDotDot", [](Layer* l) { l->entries[1].name = ".."; }},
    {"NameWithSlash", [](Layer* l) { l->entries[1].name = "a/b"; }},
    {"NameWithNul", [](Layer* l) { l->entries[1].name = std::string_view("a\0b", 3); }},
    {"NameTooLong", [](Layer* l) { l->entries[1].name = l->Keep(std::string(256, 'x')); }},
    {"NameTwice",
     [](Layer* l) {
       l->entries.push_back({0, kNone, "dir"});
     }},
    {"ParentAfterChild", [](Layer* l) { l->entries[1].parent = 1; }},
    {"ParentIsFile",
     [](Layer* l) {
       l->entries.push_back({2, kNone, "below"});
     }},
    {"ParentIsWhiteout",
     [](Layer* l) {
       l->entries.push_back({0, kNone, "wh"});
       l->entries.push_back({static_cast<uint32_t>(l->entries.size() - 1), kNone, "below"});
     }},
    {"NodeOutOfRange", [](Layer* l) { l->entries[2].node = 1000; }},
    {"DirectoryWithTwoNames",
     [](Layer* l) {
       l->entries.push_back({0, 1, "again"});
     }},
    {"NodeWithoutName", [](Layer* l) { l->nodes.push_back({}); }},
    {"UnknownType", [](Layer* l) { FirstOf(l, NodeType::kFifo).type = static_cast<NodeType>(9); }},
    {"OpaqueFile", [](Layer* l) { FirstOf(l, NodeType::kRegular).opaque = true; }},
    {"ModeOutOfRange", [](Layer* l) { l->nodes[1].mode = 010000; }},
    {"NanosOutOfRange", [](Layer* l) { l->nodes[1].mtime_nanos = 1'000'000'000; }},
    {"DeviceNumberOfFile", [](Layer* l) { FirstOf(l, NodeType::kRegular).rdev_major = 1; }},
    {"ContentOfDirectory", [](Layer* l) { l->nodes[1].file = 0; }},
    {"FileOutOfRange", [](Layer* l) { FirstOf(l, NodeType::kRegular).file = 99; }},
    {"SymlinkWithoutTarget", [](Layer* l) { FirstOf(l, NodeType::kSymlink).target = ""; }},
    {"SymlinkTooLong",
     [](Layer* l) { FirstOf(l, NodeType::kSymlink).target = l->Keep(std::string(4096, 'x')); }},
    {"TargetOfFile", [](Layer* l) { FirstOf(l, NodeType::kRegular).target = "x"; }},
    {"XattrsUnsorted",
     [](Layer* l) {
       l->nodes[1].xattrs = {{"user.b", ""}, {"user.a", ""}};
     }},
    {"XattrTwice",
     [](Layer* l) {
       l->nodes[1].xattrs = {{"user.a", ""}, {"user.a", ""}};
     }},
    {"XattrOfOverlayfs",
     [](Layer* l) {
       l->nodes[1].xattrs = {{"trusted.overlay.opaque", "y"}};
     }},
    {"XattrNameTooLong",
     [](Layer* l) {
       l->nodes[1].xattrs = {{"user." + std::string(251, 'x'), ""}};
     }},
    {"XattrValueTooLong",
     [](Layer* l) {
       l->nodes[1].xattrs = {{"user.a", std::string(65537, 'x')}};
     }},
    {"ChunkSizeOdd", [](Layer* l) { l->chunk_size = 5000; }},
    {"ChunkSizeSmall", [](Layer* l) { l->chunk_size = 2048; }},
    {"ChunkSizeLarge", [](Layer* l) { l->chunk_size = 512 * 1024; }},
    {"FileTooLarge", [](Layer* l) { l->files[0].size_bytes = (uint64_t{1} << 44) + 1; }},
    {"FirstChunkWrong", [](Layer* l) { l->files[1].first_chunk = 0; }},
    {"ChunksMissing", [](Layer* l) { l->files.back().chunk_count += 1; }},
    {"ChunkOfNoFile", [](Layer* l) { l->files.back().chunk_count -= 1; }},
    {"ChunkBeyondFile", [](Layer* l) { l->chunks.back().index = 1000; }},
    {"ChunkSizeWrong", [](Layer* l) { l->chunks[0].size_bytes += 1; }},
    {"ChunksSwapped", [](Layer* l) { std::swap(l->chunks[2].index, l->chunks[3].index); }},
    {"BlobOffsetWrong", [](Layer* l) { l->chunks[1].blob_offset += 4096; }},
    {"BlobSizeWrong", [](Layer* l) { l->blob_size_bytes += 4096; }},
    {"TarTooShort", [](Layer* l) { l->tar_pieces.pop_back(); }},
    {"TarTooLong", [](Layer* l) { l->tar_pieces.back().length += 1; }},
    {"TarLengthOverflows", [](Layer* l) { l->tar_pieces.back().length = UINT64_MAX; }},
    {"LiteralMissing", [](Layer* l) { l->tar_literals = PagedBytes("header heade"); }},
    {"LiteralLeftOver", [](Layer* l) { l->tar_literals.Append("x"); }},
    {"PieceOfUnknownKind",
     [](Layer* l) { l->tar_pieces[0].kind = static_cast<TarPiece::Kind>(4); }},
    {"PieceOfNoFile", [](Layer* l) { l->tar_pieces[1].file = kNone; }},
    {"PieceBeyondFile", [](Layer* l) { l->tar_pieces[1].offset = 1; }},
};

INSTANTIATE_TEST_SUITE_P(Violations, ValidateLayerTest, ::testing::ValuesIn(kViolations),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace slacker
