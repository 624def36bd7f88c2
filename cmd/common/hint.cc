#include "cmd/common/hint.h"

#include <cerrno>

#include "absl/strings/cord.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr char kPayload[] = "slacker/hint";

}  // namespace

absl::Status WithHint(absl::Status status, std::string_view hint) {
  if (!status.ok()) status.SetPayload(kPayload, absl::Cord(std::string(hint)));
  return status;
}

std::string HintOf(const absl::Status& status) {
  const auto hint = status.GetPayload(kPayload);
  if (hint.has_value()) return std::string(*hint);
  const int error = ErrnoOf(status);
  if (error == ENOSPC || error == EDQUOT) return "free some space there";
  if (absl::IsDataLoss(status) && error == 0) {
    return "what was read is not what its digest promises: \"slackerctl fsck\" says what is "
           "damaged in "
           "a store; from a source nothing was published";
  }
  return "";
}

}  // namespace slacker
