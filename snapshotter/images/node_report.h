// What a node has of published images, for people: read from its root directory, whether or not a
// slackerd runs there, and without disturbing one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {

struct NodeLayer {
  Digest record;
  uint64_t size_bytes = 0;    // of the layer blob
  uint64_t cached_bytes = 0;  // of it on this node's disk
  bool complete = false;      // all of it, verified: needs no store any more
  bool switched = false;      // loop devices read its cache file, not slackerd's
  Proof proof = Proof::kNotYet;
};

struct NodeImage {
  Digest chain_id;
  // As whoever pulled it called it (the label cri.image-ref of its snapshots: a hint); may be empty.
  std::vector<std::string> names;
  std::vector<NodeLayer> layers;  // bottom first
  bool attached = false;          // its tree is mounted
};

// In the order in which they came. NOT_FOUND: no slackerd has ever run on `root`.
// FAILED_PRECONDITION: a slackerd of another version did. DATA_LOSS: the database is damaged.
absl::StatusOr<std::vector<NodeImage>> ReadNodeImages(const std::string& root);

}  // namespace slacker
