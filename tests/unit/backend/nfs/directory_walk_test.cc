#include "backend/nfs/directory_walk.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker::nfs {
namespace {

using testing::StatusIs;

TEST(ReadPagesTest, PagesArePutTogetherAlthoughSomeAreEmpty) {
  std::vector<uint64_t> cookies;
  const auto read = [&](uint64_t cookie, uint64_t /*verifier*/) -> absl::StatusOr<DirectoryPage> {
    cookies.push_back(cookie);
    DirectoryPage page;
    page.cookie = cookie + 1;
    if (cookie % 4 == 3) page.entries.push_back({std::to_string(cookie), FileType::kRegular, 0});
    page.end = page.cookie == 100;
    return page;
  };
  ASSERT_OK_AND_ASSIGN(const auto entries, ReadPages(read, 25));
  EXPECT_EQ(entries.size(), 25u);
  EXPECT_EQ(entries.back().name, "99");
  EXPECT_EQ(cookies.size(), 100u);
  EXPECT_THAT(ReadPages(read, 24).status(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ReadPagesTest, PagesWithoutEntriesThatDoNotEndAreAnError) {
  const auto read = [](uint64_t cookie, uint64_t /*verifier*/) -> absl::StatusOr<DirectoryPage> {
    return DirectoryPage{{}, cookie + 1, 0, false};
  };
  EXPECT_THAT(ReadPages(read, kMaxEntries).status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace slacker::nfs
