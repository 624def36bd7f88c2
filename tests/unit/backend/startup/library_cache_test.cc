#include "backend/startup/library_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "backend/base/codec.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Row {
  std::string name, path;
  uint64_t hardware = 0;
};

std::string Cache(const std::vector<Row>& rows, size_t old_rows = SIZE_MAX) {
  std::string cache("glibc-ld.so.cache1.1");
  Encoder out(&cache);
  std::string strings;
  const size_t strings_at = 48 + 24 * rows.size();
  out.U32(static_cast<uint32_t>(rows.size()));
  out.U32(0);
  for (int i = 0; i < 5; ++i) out.U32(0);
  for (const Row& row : rows) {
    out.U32(0x0303);
    out.U32(static_cast<uint32_t>(strings_at + strings.size()));
    strings += row.name + '\0';
    out.U32(static_cast<uint32_t>(strings_at + strings.size()));
    strings += row.path + '\0';
    out.U32(0);
    out.U64(row.hardware);
  }
  cache += strings;
  if (old_rows == SIZE_MAX) return cache;
  std::string with_old("ld.so-1.7.0\0", 12);
  Encoder old(&with_old);
  old.U32(static_cast<uint32_t>(old_rows));
  with_old += std::string(12 * old_rows, 'o');
  with_old.resize((with_old.size() + 7) / 8 * 8);
  return with_old + cache;
}

TEST(LibraryCacheTest, NamesLeadToPathsInTheirOrder) {
  for (const size_t old_rows : {SIZE_MAX, size_t{0}, size_t{1}, size_t{2}}) {
    auto cache = ReadLibraryCache(Cache({{"liba.so", "/x/liba.so"},
                                         {"liba.so", "/fast/liba.so", 2},
                                         {"liba.so", "/y/liba.so"},
                                         {"libb.so", "/libb.so"}},
                                        old_rows));
    EXPECT_THAT(cache["liba.so"], ElementsAre("/x/liba.so", "/y/liba.so"));
    EXPECT_THAT(cache["libb.so"], ElementsAre("/libb.so"));
    EXPECT_EQ(cache.size(), 2U);
  }
}

TEST(LibraryCacheTest, ThisMachinesCacheIsUnderstood) {
  std::ifstream file("/etc/ld.so.cache", std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  auto cache = ReadLibraryCache(bytes.str());
  ASSERT_FALSE(cache["libc.so.6"].empty());
  EXPECT_THAT(cache["libc.so.6"].front(), ::testing::EndsWith("/libc.so.6"));
}

TEST(LibraryCacheTest, WhatIsDamagedGivesNothingThatIsNotThere) {
  const std::string bytes = Cache({{"liba.so", "/x/liba.so"}, {"libb.so", "/libb.so"}}, 1);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_LE(ReadLibraryCache(std::string_view(bytes).substr(0, size)).size(), 2U);
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = '\xff';
    EXPECT_LE(ReadLibraryCache(damaged).size(), 2U);
  }
  EXPECT_THAT(ReadLibraryCache(""), IsEmpty());
  EXPECT_THAT(ReadLibraryCache("ld.so-1.7.0"), IsEmpty());
}

}  // namespace
}  // namespace slacker
