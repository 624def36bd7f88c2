#include "backend/base/status.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

// containerd reads these three codes as answers about snapshots: no errno may turn into one.
TEST(ErrnoErrorTest, NeverYieldsACodeThatContainerdActsOn) {
  for (int error = 1; error < 140; ++error) {
    const absl::Status status = ErrnoError(error, "op");
    EXPECT_NE(status.code(), absl::StatusCode::kAlreadyExists) << error;
    EXPECT_NE(status.code(), absl::StatusCode::kNotFound) << error;
    EXPECT_NE(status.code(), absl::StatusCode::kFailedPrecondition) << error;
    EXPECT_EQ(ErrnoOf(status), error);
  }
}

TEST(ErrnoErrorTest, AFullDiskAndAMissingPermissionAreTold) {
  EXPECT_THAT(ErrnoError(ENOSPC, "write x"),
              StatusIs(absl::StatusCode::kResourceExhausted, "write x"));
  EXPECT_THAT(ErrnoError(EACCES, "open x"),
              StatusIs(absl::StatusCode::kPermissionDenied, "open x"));
}

TEST(AnnotateTest, KeepsCodeAndErrno) {
  const absl::Status status = Annotate(ErrnoError(EIO, "read x"), "chunk 3");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, "chunk 3: read x"));
  EXPECT_EQ(ErrnoOf(status), EIO);
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
  EXPECT_EQ(ErrnoOf(NotFound("x")), 0);
}

}  // namespace
}  // namespace slacker
