// A slackerd, a published image whose top layer has a large file "big", and a container on it: the
// overlay of what Prepare answers, mounted here. What reads it for long is another process.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "tests/fault/remote_fixture.h"
#include "tests/support/processes.h"
#include "tests/support/sample_layer.h"

namespace slacker::testing {

class ContainerFixture : public RemoteFixture {
 protected:
  void SetUp() override = 0;  // calls PublishLayers
  void TearDown() override;

  // image_, in a store which the configuration names. "big" is `chunks` chunks of its top, behind which
  // only `others` follow.
  void PublishLayers(std::vector<SampleLayer> layers, size_t chunks, size_t others = 0);

  // Pulls the image unless it is here, and mounts a container. False when a step failed, as it does
  // where the daemon is gone.
  bool MountContainer(Daemon& daemon, const std::string& key);
  bool MountContainer(Daemon& daemon, const std::string& key, const std::string& target);
  void Unmount();
  // Unmounts it, removes every snapshot and waits until no blob is left.
  void End(Daemon& daemon);

  // Every device of the image is on its cache file.
  bool AllSwitched();
  // Whether a daemon that was started with DyingAt has passed the step.
  bool HasPassed(const std::string& step);
  std::vector<std::string> DyingAt(const std::string& step);

  static void DropKernelCaches();
  // Reads "big" at random, beginning at `from` percent of it, and compares: `until` is as
  // random_reader has it. Ends with 0 when all was right.
  std::unique_ptr<LineProcess> StartReader(int from, int seed, const std::string& until);

  const std::string merged_ = dir_ / "merged", reference_ = dir_ / "reference";
  std::string big_, top_;
};

}  // namespace slacker::testing
