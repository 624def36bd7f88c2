// A slackerd with a store in which an image of two layers is published, and what containerd does with
// it.
#pragma once

#include <string>
#include <vector>

#include "tests/fault/daemon.h"
#include "tests/support/published_image.h"

namespace slacker::testing {

class RemoteFixture : public DaemonFixture {
 protected:
  void SetUp() override;

  std::string RefOf(size_t layer) const { return image_.chains[layer].ToString(); }
  std::vector<api::Info> RemoteSnapshots(Daemon& daemon, size_t layer, const std::string& parent);
  // As containerd does for a pull; the name of the top, empty when a step failed.
  std::string Pull(Daemon& daemon, const std::string& key);
  static grpc::Status RemoveAll(Daemon& daemon);
  // What a node without snapshots has on its disk: no snapshot, image, record or blob.
  void ExpectNothingLeft();

  PublishedImage image_;
};

}  // namespace slacker::testing
