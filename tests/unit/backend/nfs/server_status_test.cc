#include "backend/nfs/server_status.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "backend/base/status.h"
#include "tests/support/status_matchers.h"

namespace slacker::nfs {
namespace {

struct Verdict {
  const char* name;
  uint32_t status;
  int error;
  absl::StatusCode code;
};

class ServerStatusTest : public ::testing::TestWithParam<Verdict> {};

TEST_P(ServerStatusTest, HasItsErrnoAndCode) {
  EXPECT_EQ(ErrnoOfServerStatus(GetParam().status), GetParam().error);
  EXPECT_EQ(ErrnoError(GetParam().error, "x").code(), GetParam().code);
}

INSTANTIATE_TEST_SUITE_P(
    Verdicts, ServerStatusTest,
    ::testing::Values(Verdict{"Permission", 1, EPERM, absl::StatusCode::kPermissionDenied},
                      Verdict{"Access", 13, EACCES, absl::StatusCode::kPermissionDenied},
                      Verdict{"ReadOnly", 30, EROFS, absl::StatusCode::kPermissionDenied},
                      Verdict{"WrongSecurity", 10016, EACCES, absl::StatusCode::kPermissionDenied},
                      Verdict{"Full", 28, ENOSPC, absl::StatusCode::kResourceExhausted},
                      Verdict{"Quota", 69, EDQUOT, absl::StatusCode::kResourceExhausted},
                      Verdict{"Media", 5, EIO, absl::StatusCode::kDataLoss},
                      Verdict{"Stale", 70, ESTALE, absl::StatusCode::kUnavailable},
                      Verdict{"BadHandle", 10001, ESTALE, absl::StatusCode::kUnavailable},
                      Verdict{"HandleExpired", 10014, ESTALE, absl::StatusCode::kUnavailable},
                      Verdict{"Later", 10008, EAGAIN, absl::StatusCode::kUnavailable},
                      Verdict{"Grace", 10013, EAGAIN, absl::StatusCode::kUnavailable},
                      Verdict{"Expired", 10011, EKEYEXPIRED, absl::StatusCode::kInternal},
                      Verdict{"StaleClient", 10022, EKEYEXPIRED, absl::StatusCode::kInternal},
                      Verdict{"StaleState", 10023, EKEYEXPIRED, absl::StatusCode::kInternal},
                      // Never NOT_FOUND or ALREADY_EXISTS: that is for the backend to say.
                      Verdict{"Missing", 2, ENOENT, absl::StatusCode::kInternal},
                      Verdict{"Exists", 17, EEXIST, absl::StatusCode::kInternal},
                      Verdict{"Unknown", 4711, EREMOTEIO, absl::StatusCode::kInternal}),
    [](const auto& test) { return test.param.name; });

TEST(ServerStatusTest, SuccessIsZero) { EXPECT_EQ(ErrnoOfServerStatus(0), 0); }

}  // namespace
}  // namespace slacker::nfs
