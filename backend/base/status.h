// Errors. Everything fallible returns absl::Status or absl::StatusOr; nothing of ours throws.
//
// Codes are part of our interfaces: ALREADY_EXISTS, NOT_FOUND and FAILED_PRECONDITION are decided
// by domain logic only, because containerd acts on them (a stray EEXIST from mkdir would read as
// "this layer is already there"). ErrnoError therefore never yields them.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker {

// A status from an errno value; `what` names the operation and its object ("open /var/lib/x").
//   ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM            RESOURCE_EXHAUSTED
//   EACCES, EPERM, EROFS                              PERMISSION_DENIED
//   EIO                                               DATA_LOSS
//   EAGAIN, EBUSY, ETIMEDOUT, ESTALE, EPIPE, ECONN*,  UNAVAILABLE
//   ENOTCONN, ENETUNREACH, EHOSTUNREACH
//   anything else                                     INTERNAL
// The errno value survives as a payload, see ErrnoOf. Thread-safe.
absl::Status ErrnoError(int error, std::string_view what);

// The errno value that `status` was made from, 0 if it was made otherwise.
int ErrnoOf(const absl::Status& status);

// The same code and payloads, message "context: message". OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

// Constructors that take std::string_view (the packaged Abseil's own do not).
absl::Status InvalidArgument(std::string_view message);
absl::Status NotFound(std::string_view message);
absl::Status AlreadyExists(std::string_view message);
absl::Status FailedPrecondition(std::string_view message);
absl::Status Unavailable(std::string_view message);
absl::Status Aborted(std::string_view message);  // others were faster: begin again
absl::Status DeadlineExceeded(std::string_view message);
absl::Status ResourceExhausted(std::string_view message);
absl::Status PermissionDenied(std::string_view message);
absl::Status DataLoss(std::string_view message);  // bytes that fail their verification
absl::Status Internal(std::string_view message);
absl::Status Cancelled(std::string_view message);

// message() as std::string (absl::string_view does not convert to std::string_view here).
std::string Message(const absl::Status& status);

}  // namespace slacker

#define SLACKER_CONCAT_INNER(a, b) a##b
#define SLACKER_CONCAT(a, b) SLACKER_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expr` (a Status) is not OK.
#define RETURN_IF_ERROR(expr)                                                                 \
  do {                                                                                        \
    if (absl::Status slacker_status_ = (expr); !slacker_status_.ok()) return slacker_status_; \
  } while (false)

// ASSIGN_OR_RETURN(auto x, F()): assigns the value of a StatusOr or returns its status.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_INNER(SLACKER_CONCAT(slacker_statusor_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_INNER(tmp, lhs, expr)   \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)
