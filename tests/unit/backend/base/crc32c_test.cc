#include "backend/base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace slacker {
namespace {

// RFC 3720, appendix B.4, as numbers.
TEST(Crc32cTest, KnownInputsHaveTheirKnownSums) {
  std::string rising;
  std::string falling;
  for (int i = 0; i < 32; ++i) {
    rising.push_back(static_cast<char>(i));
    falling.push_back(static_cast<char>(31 - i));
  }
  EXPECT_EQ(Crc32c(""), 0U);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(Crc32c(rising), 0x46dd794eU);
  EXPECT_EQ(Crc32c(falling), 0x113fdb5cU);
}

TEST(Crc32cTest, EveryBitOfAPageCounts) {
  std::string page(4096, 'p');
  const uint32_t sum = Crc32c(page);
  for (size_t bit = 0; bit < page.size() * 8; ++bit) {
    page[bit / 8] = static_cast<char>(page[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(Crc32c(page), sum) << bit;
    page[bit / 8] = static_cast<char>(page[bit / 8] ^ (1 << (bit % 8)));
  }
}

}  // namespace
}  // namespace slacker
