#include "cmd/hellobench/site/holdings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "backend/base/status.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::IsOk;
using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::ElementsAre;

constexpr auto kNotCold = absl::StatusCode::kFailedPrecondition;

class HoldingsTest : public ::testing::Test {
 protected:
  absl::StatusOr<Holdings> Look() {
    return LookAtHoldings(
        [this](const std::vector<std::string>& words) -> absl::StatusOr<std::string> {
          const auto found = written_.find(words.front());
          if (found == written_.end()) return Internal("ctr " + words.front() + " failed");
          return found->second;
        },
        "slacker", {directory_ / "blobs-*"});
  }

  const TempDir directory_;
  // As of a node with the sandboxes' image, and a sandbox that runs.
  std::map<std::string, std::string> written_ = {
      {"images", "registry/pause:latest\nsha256:aa\n"},
      {"snapshots", "KEY PARENT KIND\nsha256:p   Committed\nbox sha256:p Active\n"},
      {"containers", "box\n"},
      {"content", "sha256:aa\nsha256:bb\n"}};
};

TEST_F(HoldingsTest, EverythingOfImagesIsFoundAndSnapshotsOfContainersAreTheirs) {
  std::ofstream(directory_ / "blobs-1") << "x";
  std::ofstream(directory_ / "else") << "x";
  ASSERT_OK_AND_ASSIGN(const Holdings found, Look());
  EXPECT_THAT(found.images, ElementsAre("registry/pause:latest", "sha256:aa"));
  EXPECT_THAT(found.snapshots, ElementsAre("sha256:p"));
  EXPECT_THAT(found.content, ElementsAre("sha256:aa", "sha256:bb"));
  EXPECT_THAT(found.cached, ElementsAre(directory_ / "blobs-1"));
}

TEST_F(HoldingsTest, ANodeThatHasWhatItHadOrLessIsCold) {
  ASSERT_OK_AND_ASSIGN(const Holdings at_start, Look());
  EXPECT_OK(CheckNothingMore(at_start, at_start));
  EXPECT_OK(CheckNothingMore({}, at_start));
}

TEST_F(HoldingsTest, WhateverIsLeftOfAnImageIsNotCold) {
  ASSERT_OK_AND_ASSIGN(const Holdings at_start, Look());
  const auto check = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Holdings now, Look());
    return CheckNothingMore(now, at_start);
  };
  const std::map<std::string, std::string> before = written_;
  written_["images"] += "registry/redis:latest\n";
  EXPECT_THAT(check(), StatusIs(kNotCold, "the node has the image registry/redis:latest"));
  written_ = before;
  written_["snapshots"] += "sha256:r   Committed\n";
  EXPECT_THAT(check(), StatusIs(kNotCold, "the node has the snapshot sha256:r"));
  // The collector has not finished: no image is left, nor a snapshot.
  written_ = before;
  written_["content"] += "sha256:layer\n";
  EXPECT_THAT(check(), StatusIs(kNotCold, "the node has the content sha256:layer"));
  written_ = before;
  std::ofstream(directory_ / "blobs-2") << "x";
  EXPECT_THAT(check(), StatusIs(kNotCold, "the node has in its cache " + (directory_ / "blobs-2")));
}

TEST_F(HoldingsTest, WhatCannotBeLookedAtIsAnError) {
  for (const char* what : {"images", "snapshots", "containers", "content"}) {
    auto node = written_.extract(what);
    EXPECT_THAT(Look(), StatusIs(absl::StatusCode::kInternal, what));
    written_.insert(std::move(node));
  }
}

}  // namespace
}  // namespace slacker::hellobench
