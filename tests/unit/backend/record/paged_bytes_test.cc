#include "backend/record/paged_bytes.h"

#include <gtest/gtest.h>

#include <string>

#include "backend/base/digest.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

// Every page another, all compressible.
std::string Text(size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i) text += "header of entry " + std::to_string(i) + "\n";
  text.resize(size);
  return text;
}

std::string ReadInSteps(const PagedBytes& bytes, uint64_t step) {
  std::string all;
  PagedBytesReader reader(bytes);
  for (std::string_view part = reader.Next(step); !part.empty(); part = reader.Next(step)) {
    EXPECT_LE(part.size(), step);
    all += part;
  }
  return all;
}

TEST(PagedBytesTest, ReadsBackWhatWasAppendedWhateverTheSteps) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{kPageSize - 1}, size_t{kPageSize},
                            size_t{kPageSize + 1}, size_t{3 * kPageSize + 17}}) {
    const std::string text = Text(size);
    PagedBytes bytes;
    for (size_t at = 0; at < size; at += 1000) {
      bytes.Append(std::string_view(text).substr(at, 1000));
    }
    EXPECT_EQ(bytes.size(), size);
    EXPECT_EQ(bytes.empty(), size == 0);
    EXPECT_EQ(bytes.ToString(), text);
    for (const uint64_t step : {1000u, kPageSize, 10 * kPageSize}) {
      EXPECT_EQ(ReadInSteps(bytes, step), text);
    }
    EXPECT_TRUE(bytes == PagedBytes(text));
  }
}

TEST(PagedBytesTest, FullPagesAreKeptCompressed) {
  const PagedBytes bytes(Text(4 * kPageSize + 100));
  ASSERT_EQ(bytes.page_count(), 5U);
  for (size_t i = 0; i < 4; ++i) {
    const PagedBytes::Page page = bytes.StoredPage(i);
    EXPECT_TRUE(page.compressed);
    EXPECT_LT(page.stored.size(), kPageSize / 4);
  }
}

TEST(PagedBytesTest, StoredPagesGiveTheSameBytes) {
  const std::string text = Text(2 * kPageSize + 100);
  const PagedBytes bytes(text);
  PagedBytes copy;
  for (size_t i = 0; i < bytes.page_count(); ++i) {
    const PagedBytes::Page page = bytes.StoredPage(i);
    const size_t size = i < 2 ? kPageSize : 100;
    ASSERT_OK(copy.AppendStoredPage(page.stored, page.compressed, size, page.digest));
  }
  EXPECT_EQ(copy.ToString(), text);
}

TEST(PagedBytesTest, StoredPageThatDoesNotVerifyIsDataLossAndNotAppended) {
  const PagedBytes::Page page = PagedBytes(Text(100)).StoredPage(0);
  PagedBytes bytes;
  const auto data_loss = StatusIs(absl::StatusCode::kDataLoss);
  EXPECT_THAT(bytes.AppendStoredPage(page.stored, page.compressed, 100, Digest{}), data_loss);
  EXPECT_THAT(bytes.AppendStoredPage(page.stored, page.compressed, 99, page.digest), data_loss);
  EXPECT_THAT(bytes.AppendStoredPage(page.stored, page.compressed, 101, page.digest), data_loss);
  EXPECT_THAT(bytes.AppendStoredPage("no frame", /*compressed=*/true, 100, page.digest), data_loss);
  EXPECT_THAT(bytes.AppendStoredPage(Text(99), /*compressed=*/false, 100, page.digest), data_loss);
  EXPECT_TRUE(bytes.empty());
}

}  // namespace
}  // namespace slacker
