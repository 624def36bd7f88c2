// Walks over merged trees that nobody vouches for: of any depth, without recursion.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "backend/view/image_view.h"

namespace slacker {

// Everything below the directory `top`, in the order of its names, a directory before what is in
// it; `path` is relative to `top`, without a leading '/'. RESOURCE_EXHAUSTED: a path of more than
// kMaxPathBytes; or what `visit` answered.
using TreeVisitor = std::function<absl::Status(std::string_view path, uint32_t inode)>;
absl::Status WalkTree(const erofs::ImageTree& tree, uint32_t top, const TreeVisitor& visit);

// How a path differs between two images. Times and link counts are not compared.
struct TreeChange {
  enum class Kind { kAdded, kRemoved, kChanged };
  Kind kind = Kind::kChanged;
  std::string_view path;  // relative to where the comparison began; valid during the call
  uint32_t before = kNone, after = kNone;  // inodes of either tree
  // What changed. `type` stands alone.
  bool type = false, mode = false, owner = false, size = false, content = false;
  bool target = false, device = false, xattrs = false;
  // Whether the content changed cannot be told without reading it: equal sizes, but the two images
  // were published with chunks of different sizes.
  bool content_unknown = false;
};

// Compares what is at `before` and below with what is at `after`; files by the digests of their
// chunks: nothing is fetched. Everything below a directory that came or went is named. In the order
// of the paths' components. Errors as for WalkTree.
using ChangeVisitor = std::function<absl::Status(const TreeChange& change)>;
absl::Status CompareTrees(const ImageView& before_view, uint32_t before,
                          const ImageView& after_view, uint32_t after, const ChangeVisitor& visit);

}  // namespace slacker
