#include "cmd/common/store_url.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::StatusIs;
using testing::TempDir;

TEST(StoreUrlTest, LoopbackIsMadeForPublishing) {
  const TempDir directory;
  const std::string path = directory / "a/b";
  ASSERT_OK_AND_ASSIGN(auto backend, OpenBackend("loopback:" + path));
  EXPECT_EQ(backend->Url(), "loopback:" + path);
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_OK(backend->Put("x", "y"));
}

TEST(StoreUrlTest, MissingLoopbackIsUnavailableToTools) {
  const TempDir directory;
  EXPECT_THAT(OpenExistingBackend("loopback:" + directory / "none"),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(std::filesystem::exists(directory / "none"));
}

TEST(StoreUrlTest, MissingLoopbackIsOpenedForNodes) {
  const TempDir directory;
  ASSERT_OK_AND_ASSIGN(auto backend, OpenReadBackend("loopback:" + directory / "none", {}));
  EXPECT_THAT(backend->Read("x", 0, 1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(std::filesystem::exists(directory / "none"));
}

TEST(StoreUrlTest, ARootOfSlackerdIsNoStoreToPublishOrMaintain) {
  const TempDir directory;
  std::ofstream(directory / "slacker.db") << "rows";
  const std::string url = "loopback:" + directory.path();
  EXPECT_THAT(OpenBackend(url), StatusIs(absl::StatusCode::kFailedPrecondition, "slacker.db"));
  EXPECT_THAT(OpenExistingBackend(url), StatusIs(absl::StatusCode::kFailedPrecondition));
  // Where a node's own requests are.
  ASSERT_OK_AND_ASSIGN(const auto below, OpenBackend(url + "/publish"));
  EXPECT_OK(below->Put("x", "y"));
}

TEST(StoreUrlTest, MemoryOpens) {
  ASSERT_OK_AND_ASSIGN(auto backend, OpenBackend("memory:"));
  EXPECT_EQ(backend->Url(), "memory:");
}

TEST(StoreUrlTest, WebServersCanBeReadOnly) {
  for (const std::string url : {"https://example.com:8443/a", "http://127.0.0.1:1"}) {
    EXPECT_OK(ValidateStoreUrl(url));
    ASSERT_OK_AND_ASSIGN(const auto backend, OpenReadBackend(url, {}));
    EXPECT_EQ(backend->Url(), url);
    EXPECT_TRUE(backend->IsNetwork());
    EXPECT_THAT(OpenBackend(url), StatusIs(absl::StatusCode::kInvalidArgument, "only be read"));
    EXPECT_THAT(OpenExistingBackend(url), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_FALSE(CanBeListed(url));
  }
}

TEST(StoreUrlTest, FilesThatCannotBeReadAreNamed) {
  const StoreAccess kCases[] = {{.ca_file = "/none"},
                                {.client_certificate = "/none", .client_key = "/dev/null"},
                                {.client_certificate = "/dev/null", .client_key = "/none"},
                                {.token_file = "/none"}};
  for (const StoreAccess& access : kCases) {
    EXPECT_THAT(OpenReadBackend("https://example.com", access),
                StatusIs(absl::StatusCode::kInternal, "/none"));
  }
}

TEST(StoreUrlTest, NfsIsOpenedForNodesWithoutItsServer) {
  ASSERT_OK_AND_ASSIGN(auto backend, OpenReadBackend("nfs://127.0.0.1:1/store?uid=0", {}));
  EXPECT_EQ(backend->Url(), "nfs://127.0.0.1:1/store?uid=0");
  EXPECT_TRUE(backend->IsNetwork());
}

class BadStoreUrlTest : public ::testing::TestWithParam<std::string_view> {};

TEST_P(BadStoreUrlTest, IsInvalidArgument) {
  EXPECT_THAT(ValidateStoreUrl(GetParam()), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(OpenBackend(GetParam()), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(OpenExistingBackend(GetParam()), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(OpenReadBackend(GetParam(), {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(Urls, BadStoreUrlTest,
                         ::testing::Values("", "loopback", "loopback:", "loopback:relative/path",
                                           "memory", "memory:x", "/var/lib/store", "ftp://host/",
                                           "LOOPBACK:/x", "nfs:", "nfs://", "nfs://host",
                                           "nfs:/path", "nfs://host/x?version=2",
                                           "https:", "https://a?b", "http://example.com/",
                                           std::string_view("loopback:/a\0/b", 14)));

}  // namespace
}  // namespace slacker
