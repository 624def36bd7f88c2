// Errors of other programs' gRPC services as ours: the same code.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "backend/base/status.h"

namespace slacker {

// `call`: who was asked for what, for the message.
inline absl::Status FromGrpc(const grpc::Status& status, std::string_view call) {
  if (status.ok()) return absl::OkStatus();
  return Annotate(
      absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()),
      std::string(call));
}

}  // namespace slacker
