// What the CRI plugin says with each layer of a pull, in labels of the request. Other clients set them
// from annotations in the image: what they say may be wrong in any way.
#pragma once

#include <optional>
#include <string>

#include "backend/base/digest.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

struct PullHints {
  // That there are layers above this one.
  bool says_not_top = false;
  // What is pulled: "docker.io/library/app:v1", "docker.io/library/app"; "" = unknown.
  std::string reference, repository;
  std::optional<Digest> manifest_digest;  // of the OCI manifest

  // The pull as a whole, if it is known well enough to look for its image: the same for each layer.
  std::optional<Digest> PullId() const;
  // What its image is called in the store.
  std::string NameInStore() const { return "docker://" + reference; }
};

PullHints ReadPullHints(const Labels& labels);

}  // namespace slacker
