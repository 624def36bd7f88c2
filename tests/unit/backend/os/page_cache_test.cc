#include "backend/os/page_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "backend/base/unique_fd.h"
#include "tests/support/eventually.h"
#include "tests/support/page_cache.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::CachedPages;
using testing::StatusIs;

constexpr size_t kBytes = 64 * 4096;

class PageCacheTest : public ::testing::Test {
 protected:
  PageCacheTest() { std::filesystem::create_directories(tree_ + "/below"); }

  // A file that the page cache has nothing of.
  std::string Make(const std::string& path) {
    std::ofstream(path, std::ios::binary) << std::string(kBytes, 'x');
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(fsync(file.get()), 0);
    EXPECT_TRUE(testing::Eventually([&] {
      return posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED) == 0 && !AnyCached(path);
    }));
    return path;
  }
  static bool AnyCached(const std::string& path) {
    const std::vector<bool> pages = CachedPages(path, kBytes);
    return std::find(pages.begin(), pages.end(), true) != pages.end();
  }

  testing::TempDir directory_;
  const std::string tree_ = directory_ / "tree";
};

TEST_F(PageCacheTest, WhatIsNamedIsReadAndWhatIsBesideItStays) {
  const std::string named = Make(tree_ + "/below/named"), beside = Make(tree_ + "/beside");
  ASSERT_OK(ReadInAdvance(tree_, std::vector<FileRange>{{"/below/named", 16 * 4096, 32 * 4096}}));
  EXPECT_TRUE(testing::Eventually([&] {
    const std::vector<bool> pages = CachedPages(named, kBytes);
    return std::all_of(pages.begin() + 16, pages.begin() + 48, [](bool page) { return page; });
  }));
  EXPECT_FALSE(CachedPages(named, kBytes)[0]);
  EXPECT_FALSE(AnyCached(beside));
}

TEST_F(PageCacheTest, NothingLeadsOutOfTheTree) {
  const std::string outside = Make(directory_ / "outside"), inside = Make(tree_ + "/inside");
  std::filesystem::create_symlink("../outside", tree_ + "/link");
  std::filesystem::create_symlink("..", tree_ + "/up");
  ASSERT_EQ(mkfifo((tree_ + "/pipe").c_str(), 0600), 0);
  const std::vector<FileRange> ranges = {
      {"/link", 0, kBytes},   {"/up/outside", 0, kBytes}, {"/../outside", 0, kBytes},
      {"/pipe", 0, kBytes},   {"/below", 0, kBytes},      {"/missing", 0, kBytes},
      {"", 0, kBytes},        {outside, 0, kBytes},       {"/inside", kBytes, 1ull << 62},
      {"/inside", 0, kBytes},
  };
  ASSERT_OK(ReadInAdvance(tree_, ranges));
  EXPECT_TRUE(testing::Eventually([&] { return testing::IsCached(inside, kBytes); }));
  EXPECT_FALSE(AnyCached(outside));
  EXPECT_THAT(ReadInAdvance(directory_ / "none", ranges), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace slacker
