#include "backend/erofs/chunk_layout.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/support/layer_builder.h"

namespace slacker::erofs {
namespace {

using slacker::testing::BuiltLayer;
using slacker::testing::LayerBuilder;

constexpr uint32_t kChunk = 16 * 1024;  // four blocks

struct LayoutCase {
  std::string name;
  uint64_t size;
  std::vector<uint64_t> stored;  // chunks of the layer that are stored
  bool all_stored;
  uint32_t block_bits;
  std::vector<int64_t> blocks;  // expected indexes, -1 = hole; not compared when empty
  uint64_t count;
};

class ChunkLayoutTest : public ::testing::TestWithParam<LayoutCase> {};

TEST_P(ChunkLayoutTest, IsExactAndCoarsest) {
  const LayoutCase& c = GetParam();
  std::map<uint64_t, std::string> pieces;
  for (const uint64_t chunk : c.stored) pieces[chunk * kChunk] = "x";
  const BuiltLayer built =
      LayerBuilder(kChunk).SparseFile("f", c.size, pieces, !c.all_stored).Build("f");
  const File& file = built.layer.files[0];
  const ChunkLayout layout = LayOutFile(built.layer, file);
  EXPECT_EQ(layout.block_bits, c.block_bits);
  ASSERT_EQ(layout.count, c.count);
  if (c.blocks.empty()) return;
  std::vector<ChunkIndex> indexes(layout.count);
  FillChunkIndexes(built.layer, file, layout.block_bits, 7, indexes);
  std::vector<int64_t> blocks;
  for (const ChunkIndex& index : indexes) {
    EXPECT_EQ(index.device, index.block == kNullBlock ? 0 : 7);
    blocks.push_back(index.block == kNullBlock ? -1 : static_cast<int64_t>(index.block));
  }
  EXPECT_EQ(blocks, c.blocks);
}

constexpr uint64_t kTerabyte = 1ULL << 40;

INSTANTIATE_TEST_SUITE_P(
    All, ChunkLayoutTest,
    ::testing::Values(
        LayoutCase{"OneByte", 1, {0}, false, 0, {0}, 1},
        LayoutCase{"OneBlock", 4096, {0}, false, 0, {0}, 1},
        LayoutCase{"TwoBlocks", 4097, {0}, false, 1, {0}, 1},
        LayoutCase{"OneChunk", kChunk, {0}, false, 2, {0}, 1},
        LayoutCase{"FiveChunksWithoutHoles", 5 * kChunk, {}, true, 5, {0}, 1},
        LayoutCase{"AllHole", 5 * kChunk, {}, false, 5, {-1}, 1},
        LayoutCase{"HoleFirst", 4 * kChunk, {2, 3}, false, 3, {-1, 0}, 2},
        LayoutCase{"HoleLast", 4 * kChunk, {0, 1}, false, 3, {0, -1}, 2},
        LayoutCase{"HoleInTheLastPartialChunk", 2 * kChunk + 1, {0, 1}, false, 3, {0, -1}, 2},
        LayoutCase{"DataInTheLastPartialChunk", 2 * kChunk + 1, {2}, false, 3, {-1, 0}, 2},
        LayoutCase{"OddBorder", 4 * kChunk, {0, 2, 3}, false, 2, {0, -1, 4, 8}, 4},
        LayoutCase{"EightTerabytesOfHole", 8 * kTerabyte, {}, false, 31, {-1}, 1},
        LayoutCase{"LargerThanAnIndexCovers", 8 * kTerabyte + 1, {}, false, 31, {-1, -1}, 2},
        LayoutCase{"LargestFile", (1ULL << 63) - 1, {}, false, 31, {}, 1ULL << 20}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace slacker::erofs
