// The tree that the entries of a tar make when containerd applies them to an overlay layer.
//
// The rules are those of containerd 2.4 (pkg/archive, apply with overlay whiteouts, and
// continuity's RootPath), restated where they surprise:
// - Names and the parents of link targets are resolved within the layer, symlinks included, ".."
//   stays at the root. Entries that mean the root itself change nothing.
// - An entry replaces what has its name, except a directory on a directory: it only gives the
//   metadata. Hard links give the shared inode their own metadata, too; links to nothing in this
//   layer, and to directories, are errors.
// - ".wh.x" deletes x from the lower layers; an error where this layer has x already. A character
//   device 0:0 is a whiteout, since overlayfs means just that by it. ".wh..wh..opq" makes its
//   directory opaque, wherever in the tar it stands. No other ".wh..wh." name is special.
// - Directories get their times at the end, by name: an error where the name leads nowhere then.
// - Extended attributes: user (files and directories only), security, POSIX ACLs; others, all
//   trusted ones among them, are left out. A hard link takes security.capability away from what it
//   is linked to (chown does) unless it brings one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/layer/name_table.h"
#include "backend/layer/node_store.h"
#include "backend/layer/tar_header.h"
#include "backend/layer/tar_reader.h"
#include "backend/record/layer.h"
#include "backend/record/layer_encoder.h"

namespace slacker {

// Memory: some 45 bytes and its text for a name with a node of its own; 16 more for each name while
// it finishes. Thread-compatible.
class LayerTree {
 public:
  explicit LayerTree(const TarLimits& limits);
  LayerTree(const LayerTree&) = delete;
  LayerTree& operator=(const LayerTree&) = delete;

  // `file`: index of the entry's content, kNone if it has none. INVALID_ARGUMENT where containerd
  // fails, and when a limit is exceeded.
  absl::Status Apply(const TarHeader& header, uint32_t file);

  // Gives nodes and entries (names sorted bytewise within a directory, parents first). The object
  // is spent.
  absl::Status Finish(LayerEncoder* layer);

 private:
  struct Step {
    uint32_t name;  // kNone where nothing is
    std::string component;
  };

  bool IsDirectory(uint32_t name) const;
  bool IsSymlink(uint32_t name) const;
  // The steps from the root to what `path` means (without the root), no symlink among them.
  absl::StatusOr<std::vector<Step>> Resolve(std::string_view path);
  absl::StatusOr<uint32_t> ResolveParent(std::string_view path);
  absl::StatusOr<uint32_t> AddName(uint32_t directory, std::string_view component, uint32_t node);
  // A name with a node of its own.
  absl::StatusOr<uint32_t> Add(uint32_t directory, std::string_view component, const Node& node);
  void Unlink(uint32_t directory, std::string_view component);

  absl::Status ApplyWhiteout(uint32_t parent, std::string_view base);
  absl::StatusOr<uint32_t> Create(uint32_t parent, std::string_view base, const TarHeader& header,
                                  uint32_t file);
  absl::StatusOr<uint32_t> CreateLink(uint32_t parent, std::string_view base,
                                      const std::string& target);
  absl::StatusOr<uint32_t> CreateDevice(uint32_t parent, std::string_view base,
                                        const TarHeader& header);
  absl::Status SetMetadata(Node* node, const TarHeader& header);
  void KeepDirectoryTime(std::string_view path, const TarHeader& header);
  absl::Status SetDirectoryTimes();
  absl::Status SetDirectoryTime(const std::string& path, int64_t seconds, uint32_t nanos);
  absl::Status Count(uint64_t bytes);

  const TarLimits limits_;
  uint64_t metadata_bytes_ = 0;
  uint64_t lookups_ = 0;
  NameTable names_;
  NodeStore nodes_;
  Table directory_times_;  // rows: path, seconds, nanoseconds
  // Where the last parent was: most entries stand beside the one before. Valid until something is
  // unlinked.
  std::string last_parent_path_;
  uint32_t last_parent_ = 0;
};

}  // namespace slacker
