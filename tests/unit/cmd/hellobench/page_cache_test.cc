#include "cmd/hellobench/site/page_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::HasSubstr;

constexpr int64_t kBytes = 8 << 20;

class PageCacheTest : public ::testing::Test {
 protected:
  // On the disk, and in the page cache.
  UniqueFd MakeFile(const std::string& name) {
    const std::string path = dir_.path() + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const std::string bytes(kBytes, 'b');
    EXPECT_EQ(write(fd.get(), bytes.data(), bytes.size()), kBytes);
    EXPECT_EQ(fsync(fd.get()), 0);
    return fd;
  }

  static int64_t Cached(const UniqueFd& fd) {
    const auto bytes = CachedBytes(fd.get(), kBytes);
    EXPECT_OK(bytes);
    return bytes.value_or(-1);
  }

  // Other tests may drop all page caches at any time.
  bool AreRead(const std::vector<const UniqueFd*>& files) {
    return testing::Eventually([&] {
      EXPECT_OK(ReadPages(dir_.path()));
      return std::all_of(files.begin(), files.end(),
                         [](const UniqueFd* file) { return Cached(*file) == kBytes; });
    });
  }

  const TempDir dir_;
};

TEST_F(PageCacheTest, WhatIsBelowADirectoryIsDropped) {
  const UniqueFd one = MakeFile("one");
  const UniqueFd deep = MakeFile("some/where/else");
  ASSERT_TRUE(AreRead({&one, &deep}));
  EXPECT_OK(DropPages(dir_.path()));
  EXPECT_EQ(Cached(one), 0);
  EXPECT_EQ(Cached(deep), 0);
}

TEST_F(PageCacheTest, WhatStaysBecauseSomebodyMapsItIsAnError) {
  const UniqueFd fd = MakeFile("mapped");
  auto* const mapped = static_cast<volatile char*>(
      mmap(nullptr, kBytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd.get(), 0));
  ASSERT_NE(static_cast<volatile void*>(mapped), MAP_FAILED);
  EXPECT_EQ(mapped[0], 'b');
  const absl::Status kept = DropPages(dir_.path());
  EXPECT_THAT(kept, StatusIs(absl::StatusCode::kFailedPrecondition, "keeps"));
  EXPECT_THAT(Message(kept), HasSubstr("mapped"));
  EXPECT_EQ(munmap(const_cast<char*>(mapped), kBytes), 0);
  EXPECT_OK(DropPages(dir_.path()));
}

TEST_F(PageCacheTest, WhatIsBelowADirectoryIsReadAgain) {
  const UniqueFd one = MakeFile("one");
  const UniqueFd deep = MakeFile("some/where/else");
  ASSERT_OK(DropPages(dir_.path()));
  EXPECT_TRUE(AreRead({&one, &deep}));
}

TEST_F(PageCacheTest, AFileWhoseLastPageIsNotFullIsThereAsAWhole) {
  const UniqueFd fd = MakeFile("shorter");
  ASSERT_EQ(ftruncate(fd.get(), kBytes - 1), 0);
  const UniqueFd empty = MakeFile("empty");
  ASSERT_EQ(ftruncate(empty.get(), 0), 0);
  EXPECT_OK(ReadPages(dir_.path()));
}

TEST_F(PageCacheTest, WhereNothingIsNothingIsDroppedOrRead) {
  EXPECT_OK(DropPages(dir_.path() + "/none"));
  EXPECT_OK(ReadPages(dir_.path() + "/none"));
}

}  // namespace
}  // namespace slacker::hellobench
