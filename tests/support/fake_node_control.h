// A NodeControl that says what it was told to.
#pragma once

#include "snapshotter/node_control.h"

namespace slacker::testing {

class FakeNodeControl final : public NodeControl {
 public:
  NodeStatus Status() override { return status; }

  NodeStatus status;
};

}  // namespace slacker::testing
