#include "backend/store/boot_pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "backend/base/codec.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/start_trace.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

// A pack of two layers of three chunks each, in two windows.
class BootPackTest : public ::testing::Test {
 protected:
  BootPackTest() {
    for (uint32_t layer = 0; layer < 2; ++layer) {
      for (uint32_t i = 0; i < 3; ++i) {
        contents_[layer].push_back(std::string(100 + 50 * i, static_cast<char>('a' + layer)) +
                                   std::to_string(i));
        Chunk chunk;
        chunk.digest = Sha256::Of(contents_[layer].back());
        chunk.size_bytes = static_cast<uint32_t>(contents_[layer].back().size());
        chunks_[layer].push_back(chunk);
      }
    }
    pack_.chain_id = Sha256::Of("chain");
    pack_.origin = BootOrigin::kTrace;
    pack_.made_of = Sha256::Of("trace");
    pack_.records = {{Sha256::Of("bottom"), "the bottom's record"}, {Sha256::Of("top"), "top's"}};
    AddWindow({{1, 1, 2}, {0, 0, 1}}, true);
    AddWindow({{1, 0, 1}, {0, 2, 1}}, false);
  }

  void AddWindow(std::vector<ChunkRun> runs, bool compressed) {
    std::string content;
    for (const ChunkRun& run : runs) {
      for (uint32_t i = 0; i < run.count; ++i) content += contents_[run.layer][run.first + i];
    }
    NewBootPack::Window window;
    window.runs = std::move(runs);
    if (compressed) {
      window.compressed = CompressOrStore(content, 19, &window.stored);
    } else {
      window.stored = content;
    }
    EXPECT_EQ(window.compressed, compressed);
    pack_.windows.push_back(std::move(window));
  }

  std::string Encoded() const {
    const auto bytes = EncodeBootPack(pack_, nullptr);
    EXPECT_OK(bytes);
    return *bytes;
  }

  absl::StatusOr<std::vector<BootChunk>> Unpack(const BootTable::Window& window,
                                                std::string_view stored) const {
    const std::vector<const TableVector<Chunk>*> tables = {&chunks_[0], &chunks_[1]};
    return UnpackBootWindow(window, stored, tables);
  }
  absl::StatusOr<std::vector<BootChunk>> UnpackFrom(const BootTable::Window& window,
                                                    std::string_view pack) const {
    if (window.offset > pack.size()) return Unpack(window, "");
    return Unpack(window, pack.substr(window.offset, window.stored_bytes));
  }

  std::vector<std::string> contents_[2];
  TableVector<Chunk> chunks_[2];
  NewBootPack pack_;
};

TEST_F(BootPackTest, WhatIsPackedComesBack) {
  const std::string bytes = Encoded();
  ASSERT_OK_AND_ASSIGN(const size_t needed, BootTableBytes(bytes));
  ASSERT_OK_AND_ASSIGN(const BootTable table,
                       DecodeBootTable(bytes.substr(0, needed), pack_.chain_id));
  EXPECT_EQ(table.origin, BootOrigin::kTrace);
  EXPECT_EQ(table.made_of, pack_.made_of);
  EXPECT_EQ(table.pack_bytes, bytes.size());
  ASSERT_EQ(table.records.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(table.records[i].record, pack_.records[i].record);
    EXPECT_EQ(bytes.substr(table.records[i].offset, table.records[i].bytes),
              pack_.records[i].object);
  }
  EXPECT_EQ(table.records[1].offset, needed) << "the top's record comes first";
  std::vector<std::pair<uint32_t, uint32_t>> order;
  for (const BootTable::Window& window : table.windows) {
    ASSERT_OK_AND_ASSIGN(const auto chunks, UnpackFrom(window, bytes));
    for (const BootChunk& chunk : chunks) {
      EXPECT_EQ(chunk.bytes, contents_[chunk.layer][chunk.chunk]);
      order.emplace_back(chunk.layer, chunk.chunk);
    }
  }
  EXPECT_THAT(order, ::testing::ElementsAre(std::pair(1, 1), std::pair(1, 2), std::pair(0, 0),
                                            std::pair(1, 0), std::pair(0, 2)));
}

TEST_F(BootPackTest, EveryTruncationIsDataLossOrGivesFewerWindows) {
  const std::string bytes = Encoded();
  ASSERT_OK_AND_ASSIGN(const size_t needed, BootTableBytes(bytes));
  for (size_t size = kBootHeadBytes; size < bytes.size(); ++size) {
    const std::string_view cut = std::string_view(bytes).substr(0, size);
    const auto table = DecodeBootTable(cut, pack_.chain_id);
    if (size < needed) {
      EXPECT_THAT(table, StatusIs(absl::StatusCode::kDataLoss)) << size;
      continue;
    }
    ASSERT_OK(table);
    const BootTable::Window& last = table->windows.back();
    EXPECT_THAT(UnpackFrom(last, cut), StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
}

TEST_F(BootPackTest, NoFlippedBitGivesAWrongByte) {
  const std::string bytes = Encoded();
  ASSERT_OK_AND_ASSIGN(const size_t needed, BootTableBytes(bytes));
  ASSERT_OK_AND_ASSIGN(const BootTable sound, DecodeBootTable(bytes, pack_.chain_id));
  size_t refused = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    const auto table = DecodeBootTable(damaged, pack_.chain_id);
    if (bit / 8 < needed) {
      EXPECT_THAT(table, StatusIs(absl::StatusCode::kDataLoss)) << bit;
      continue;
    }
    ASSERT_OK(table);
    for (const BootTable::Window& window : table->windows) {
      const auto chunks = UnpackFrom(window, damaged);
      if (!chunks.ok()) {
        EXPECT_THAT(chunks, StatusIs(absl::StatusCode::kDataLoss));
        ++refused;
        continue;
      }
      for (const BootChunk& chunk : *chunks) {
        EXPECT_EQ(chunk.bytes, contents_[chunk.layer][chunk.chunk]);
      }
    }
  }
  EXPECT_GT(refused, 0U);
}

TEST_F(BootPackTest, APackOfAnotherChainIsDataLoss) {
  EXPECT_THAT(DecodeBootTable(Encoded(), Sha256::Of("another")),
              StatusIs(absl::StatusCode::kDataLoss, "another chain"));
}

TEST_F(BootPackTest, WindowsThatLieAreDataLoss) {
  const std::string content = contents_[0][0];
  const auto size = static_cast<uint32_t>(content.size());
  const struct {
    const char* name;
    std::vector<ChunkRun> runs;
    const char* what;
  } cases[] = {
      {"layer", {{2, 0, 1}}, "layer that there is not"},
      {"chunk", {{0, 3, 1}}, "chunk that there is not"},
      {"count", {{0, 2, 2}}, "chunk that there is not"},
      {"first", {{0, 0xfffffff0, 1}}, "chunk that there is not"},
      {"other", {{0, 1, 1}}, "another length"},
  };
  for (const auto& lie : cases) {
    EXPECT_THAT(Unpack({0, size, false, {}, lie.runs}, content),
                StatusIs(absl::StatusCode::kDataLoss, lie.what))
        << lie.name;
  }
  std::vector<ChunkRun> many(20'000, ChunkRun{0, 0, 1});
  EXPECT_THAT(Unpack({0, size, true, {}, many}, content),
              StatusIs(absl::StatusCode::kDataLoss, "too large"));
}

TEST_F(BootPackTest, ATableThatIsTooLargeIsNotWritten) {
  pack_.windows.resize(1);
  pack_.windows[0].runs.assign(kMaxBootTableBytes / 3, ChunkRun{0, 0, 1});
  EXPECT_THAT(EncodeBootPack(pack_, nullptr), StatusIs(absl::StatusCode::kResourceExhausted));
}

// Every other page: as many pieces as the pages of a trace can be in.
TEST_F(BootPackTest, TheLargestTraceHasATableHoweverItIsScattered) {
  constexpr auto kWindowPages = static_cast<uint32_t>(kMaxBootWindowBytes / kBootPageBytes);
  constexpr uint32_t kLast = 1U << 27;
  pack_.windows.clear();
  for (uint32_t page = 0; page < kMaxTracePages; ++page) {
    if (page % kWindowPages == 0) {
      pack_.windows.emplace_back();
      pack_.windows.back().stored = "compressed";
      pack_.windows.back().compressed = pack_.windows.back().pages = true;
    }
    pack_.windows.back().runs.push_back({page % 2, kLast - 2 * page, 1});
  }
  const std::string bytes = Encoded();
  ASSERT_OK_AND_ASSIGN(const BootTable table, DecodeBootTable(bytes, pack_.chain_id));
  ASSERT_EQ(table.windows.size(), kMaxTracePages / kWindowPages);
  ASSERT_EQ(table.windows.back().runs.size(), size_t{kWindowPages});
  EXPECT_EQ(table.windows.back().runs.back().first, kLast - 2 * (kMaxTracePages - 1));
}

TEST_F(BootPackTest, ALengthBeyondTheLimitIsRefusedBeforeAnythingIsRead) {
  std::string bytes = Encoded();
  std::string length;
  Encoder(&length).U32(static_cast<uint32_t>(kMaxBootTableBytes));
  bytes.replace(8, 4, length);
  EXPECT_THAT(BootTableBytes(bytes), StatusIs(absl::StatusCode::kDataLoss, "too large"));
}

}  // namespace
}  // namespace slacker
