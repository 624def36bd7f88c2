// Images of a node without a store: nothing is published. Thread-safe.
#pragma once

#include "backend/base/status.h"
#include "snapshotter/images/images.h"

namespace slacker {

class NoImages final : public Images {
 public:
  absl::StatusOr<ImagePin> Ensure(const Digest& /*chain_id*/, const Labels& /*hints*/) override {
    return NotFound("no store is configured");
  }
  absl::StatusOr<std::string> Attach(const Digest& chain_id) override {
    return Unavailable("no store is configured, which " + chain_id.ToString() + " needs");
  }
  absl::StatusOr<SnapshotUsage> Usage(const Digest& /*chain_id*/) override {
    return SnapshotUsage{};
  }
  absl::Status Collect() override { return absl::OkStatus(); }
};

}  // namespace slacker
