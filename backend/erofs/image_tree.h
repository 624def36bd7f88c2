// The tree that a chain of layers adds up to, as overlayfs would show it with each layer unpacked
// into a directory of its own.
//
// Rules. An entry hides what lower layers have under its name, except that a directory over a
// directory shows the entries of both, unless the upper one is opaque (the root never is: overlayfs
// does not look at the mark there, though the OCI image spec would have it hide all). A whiteout, or a character
// device 0:0 (overlayfs knows no difference), leaves no entry. A directory's metadata are those of
// its topmost node; kImplicitDirectory nodes ask the directory below them (also when they are
// opaque), and where there is none the default is mode 0755, root, time 0, no xattrs; below a
// directory with setgid the group is that one's, as mkdir(2) has it. The root follows the same
// rules. Entries of one layer that share a node share an inode, whose link count is the number of
// entries still visible; a directory has 2 plus the number of its subdirectories.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backend/record/layer.h"

namespace slacker::erofs {

struct TreeEntry {
  std::string_view name;  // points into the layer
  uint32_t inode = 0;     // index into ImageTree::inodes
};

struct TreeInode {
  const Node* node = nullptr;  // the metadata; points into the layer, or to a default directory
  uint32_t layer = kNone;      // whose `files` node->file refers to; kNone for a default directory
  uint32_t nlink = 0;
  uint32_t parent = 0;                        // directories: the inode of ".."
  uint32_t first_entry = 0, entry_count = 0;  // directories: a range of ImageTree::entries
  bool is_directory = false;
};

// Inode 0 is the root. The entries of one directory are adjacent and ascend bytewise by name;
// inodes are in the order in which a breadth-first walk meets them. Points into the layers that it
// was merged from. A value; thread-compatible.
struct ImageTree {
  TableVector<TreeInode> inodes;
  TableVector<TreeEntry> entries;
  // Default directories of other groups than root's, by group; they stay where they are.
  std::map<uint32_t, Node> defaults_of_groups;

  std::span<const TreeEntry> Children(const TreeInode& directory) const {
    return std::span(entries).subspan(directory.first_entry, directory.entry_count);
  }
};

// `layers` bottom first; without any, the tree is a default root. REQUIRES: every layer passed
// ValidateLayer; 2^32 - 1 entries at most in all of them. Cost: sorts each directory once.
ImageTree MergeLayers(const std::vector<const Layer*>& layers);

class Merger;

// The same tree, merged only where somebody looks: for a few paths of a large image. Thread-compatible.
class LazyTree {
 public:
  // REQUIRES: as above. Memory: 12 bytes an entry of the layers.
  explicit LazyTree(const std::vector<const Layer*>& layers);
  ~LazyTree();
  LazyTree(const LazyTree&) = delete;
  LazyTree& operator=(const LazyTree&) = delete;

  // Link counts, and the entries of directories, are not to be relied on. Valid until the next call
  // of Children; so are its answers.
  const TreeInode& inode(uint32_t index) const;
  std::span<const TreeEntry> Children(uint32_t directory);

 private:
  std::unique_ptr<Merger> merger_;
};

}  // namespace slacker::erofs
