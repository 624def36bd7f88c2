// A NodeControl that says what it was told to.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "snapshotter/node_control.h"

namespace slacker::testing {

class FakeNodeControl final : public NodeControl {
 public:
  NodeStatus Status() override { return status; }

  absl::Status Scrub(const std::vector<Digest>& chains,
                     const std::function<void(const ScrubbedLayer&)>& told,
                     const std::function<bool()>& cancelled) override {
    scrubbed_chains = chains;
    for (const ScrubbedLayer& layer : scrubbed) told(layer);
    while (scrub_hangs && !cancelled()) std::this_thread::yield();
    return scrub_hangs ? absl::CancelledError("cancelled") : absl::OkStatus();
  }

  NodeStatus status;
  std::vector<ScrubbedLayer> scrubbed;
  std::vector<Digest> scrubbed_chains;  // of the last Scrub
  bool scrub_hangs = false;             // until it is cancelled
};

}  // namespace slacker::testing
