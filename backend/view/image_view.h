// A published image as a directory tree, read from the store without a mount: the tree that a node
// would mount (backend/erofs/image_tree.h merges it), file content on demand.
//
// Everything comes from verified records and chunks. Paths are bytes. Symlinks lead within the
// image: its root is the root, as for a process in a container.
//
// Errors: those of StoreReader; DATA_LOSS also for a record that is not the manifest's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/erofs/image_tree.h"
#include "backend/store/store.h"

namespace slacker {

// Longer paths are refused (RESOURCE_EXHAUSTED); no published tar has them.
inline constexpr size_t kMaxPathBytes = 64 * 1024;

// Thread-compatible. Memory: the layers' records.
class ImageView {
 public:
  // `reader` must outlive the view.
  static absl::StatusOr<std::unique_ptr<ImageView>> Open(const StoreReader* reader,
                                                         const Digest& chain_id);

  const Manifest& manifest() const { return manifest_; }
  const erofs::ImageTree& tree() const { return tree_; }
  const erofs::TreeInode& inode(uint32_t index) const { return tree_.inodes[index]; }

  // What `path` ("/" and relative ones mean the same) names: an index into tree().inodes. A last
  // component that is a symlink is followed if `follow`, or if a '/' stands behind it. NOT_FOUND;
  // FAILED_PRECONDITION: goes through what is no directory, or through more than 40 symlinks;
  // RESOURCE_EXHAUSTED: too long.
  absl::StatusOr<uint32_t> Resolve(std::string_view path, bool follow) const;

  // A regular file's content; null for other inodes and for empty files.
  struct FileRef {
    const Layer* layer = nullptr;
    const File* file = nullptr;
  };
  FileRef FileOf(const erofs::TreeInode& inode) const;
  uint64_t SizeOf(const erofs::TreeInode& inode) const;

  // Hands the whole content to `sink`, piece by piece. FAILED_PRECONDITION: not a regular file; or
  // what `sink` answered.
  using ContentSink = std::function<absl::Status(std::string_view bytes)>;
  absl::Status Read(uint32_t inode, const ContentSink& sink) const;

 private:
  explicit ImageView(const StoreReader* reader) : reader_(reader) {}

  const StoreReader* const reader_;
  Manifest manifest_;
  std::vector<Layer> layers_;  // parallel to the manifest's; never moved once tree_ points into it
  erofs::ImageTree tree_;
};

}  // namespace slacker
