#include "backend/base/status.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/cord.h"

namespace slacker {
namespace {

constexpr char kErrnoPayload[] = "slacker/errno";

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

absl::StatusCode CodeOfErrno(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EIO:
      return absl::StatusCode::kDataLoss;
    case EAGAIN:
    case EBUSY:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ESTALE:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string DescribeErrno(int error) {
  char buffer[128];
  return strerror_r(error, buffer, sizeof buffer);  // the GNU variant returns the text
}

absl::Status Make(absl::StatusCode code, std::string_view message) {
  return absl::Status(code, ToAbsl(message));
}

}  // namespace

absl::Status ErrnoError(int error, std::string_view what) {
  std::string message(what);
  message += ": " + DescribeErrno(error);
  absl::Status status = Make(CodeOfErrno(error), message);
  status.SetPayload(kErrnoPayload, absl::Cord(std::to_string(error)));
  return status;
}

int ErrnoOf(const absl::Status& status) {
  auto payload = status.GetPayload(kErrnoPayload);
  return payload.has_value() ? std::stoi(std::string(*payload)) : 0;
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  std::string message(context);
  message += ": " + Message(status);
  absl::Status annotated = Make(status.code(), message);
  status.ForEachPayload([&annotated](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

absl::Status InvalidArgument(std::string_view m) {
  return Make(absl::StatusCode::kInvalidArgument, m);
}
absl::Status NotFound(std::string_view m) { return Make(absl::StatusCode::kNotFound, m); }
absl::Status AlreadyExists(std::string_view m) { return Make(absl::StatusCode::kAlreadyExists, m); }
absl::Status FailedPrecondition(std::string_view m) {
  return Make(absl::StatusCode::kFailedPrecondition, m);
}
absl::Status Unavailable(std::string_view m) { return Make(absl::StatusCode::kUnavailable, m); }
absl::Status Aborted(std::string_view m) { return Make(absl::StatusCode::kAborted, m); }
absl::Status DeadlineExceeded(std::string_view m) {
  return Make(absl::StatusCode::kDeadlineExceeded, m);
}
absl::Status ResourceExhausted(std::string_view m) {
  return Make(absl::StatusCode::kResourceExhausted, m);
}
absl::Status PermissionDenied(std::string_view m) {
  return Make(absl::StatusCode::kPermissionDenied, m);
}
absl::Status DataLoss(std::string_view m) { return Make(absl::StatusCode::kDataLoss, m); }
absl::Status Internal(std::string_view m) { return Make(absl::StatusCode::kInternal, m); }
absl::Status Cancelled(std::string_view m) { return Make(absl::StatusCode::kCancelled, m); }

std::string Message(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace slacker
