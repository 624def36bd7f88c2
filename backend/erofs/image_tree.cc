#include "backend/erofs/image_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "backend/base/spill.h"

namespace slacker::erofs {
namespace {

const Node& DefaultDirectory() {
  static const Node node;
  return node;
}

bool IsDirectory(NodeType type) {
  return type == NodeType::kDirectory || type == NodeType::kImplicitDirectory;
}

bool IsWhiteout(const Layer& layer, const Entry& entry) {
  if (entry.node == kNone) return true;
  const Node& node = layer.nodes[entry.node];
  return node.type == NodeType::kCharDevice && node.rdev_major == 0 && node.rdev_minor == 0;
}

// The first eight bytes as a number that orders as they do, so that most comparisons touch no
// string.
uint64_t NamePrefix(std::string_view name) {
  uint64_t prefix = 0;
  std::memcpy(&prefix, name.data(), std::min(name.size(), sizeof prefix));
  return __builtin_bswap64(prefix);
}
static_assert(std::endian::native == std::endian::little);

// The entries of each directory of one layer.
class ChildIndex {
 public:
  explicit ChildIndex(const Layer& layer)
      : first_(layer.entries.size() + 1), children_(layer.entries.size()) {
    const TableVector<Entry>& entries = layer.entries;
    for (size_t i = 1; i < entries.size(); ++i) {
      TrimSpilledAt(i);
      ++first_[entries[i].parent];
    }
    uint32_t end = 0;
    for (uint32_t& first : first_) first = end += first;
    // Now each has the place after its last; filled from behind they end up with their first.
    for (size_t i = entries.size(); i-- > 1;) {
      TrimSpilledAt(i);
      children_[--first_[entries[i].parent]] = static_cast<uint32_t>(i);
    }
  }
  std::span<const uint32_t> Of(uint32_t entry) const {
    return std::span(children_).subspan(first_[entry], first_[entry + 1] - first_[entry]);
  }

 private:
  TableVector<uint32_t> first_;
  TableVector<uint32_t> children_;
};

// An entry of one of the layers.
struct Source {
  uint32_t layer = 0;
  uint32_t entry = 0;
};

// A directory entry that takes part in a merge; sorted by name, the upper layer first.
struct Candidate {
  uint64_t prefix = 0;
  Source source;
};

}  // namespace

class Merger {
 public:
  explicit Merger(const std::vector<const Layer*>& layers) : layers_(layers) {
    indexes_.reserve(layers.size());
    links_.reserve(layers.size());
    for (const Layer* layer : layers) {
      indexes_.emplace_back(*layer);
      links_.emplace_back(layer->nodes.size(), kNone);
    }
    std::vector<Source> roots;
    for (size_t i = layers_.size(); i > 0; --i) roots.push_back({static_cast<uint32_t>(i - 1), 0});
    AddDirectory(0, roots);
  }

  ImageTree Run() && {
    size_t entries = 0;
    for (const Layer* layer : layers_) entries += layer->entries.size();
    tree_.entries.reserve(entries);
    tree_.inodes.reserve(entries + 1);
    // MergeDirectory appends to both while the walk goes on: breadth first without recursion.
    for (size_t next = 0; next < directories_.size(); ++next) MergeDirectory(next);
    return std::move(tree_);
  }

  const ImageTree& tree() const { return tree_; }

  // Merges it unless it has been.
  void MergeInode(uint32_t inode) {
    for (; numbered_ < directories_.size(); ++numbered_) {
      unmerged_.emplace(directories_[numbered_].inode, numbered_);
    }
    const auto found = unmerged_.find(inode);
    if (found == unmerged_.end()) return;
    MergeDirectory(found->second);
    unmerged_.erase(found);
  }

 private:
  // A directory of the result, and where its entries come from: sources_[first, first + count),
  // the upper layer first.
  struct Directory {
    uint32_t inode = 0;
    size_t first_source = 0, source_count = 0;
  };

  const Layer& LayerOf(Source source) const { return *layers_[source.layer]; }
  const Entry& EntryOf(Source source) const { return LayerOf(source).entries[source.entry]; }
  const Node& NodeOf(Source source) const { return LayerOf(source).nodes[EntryOf(source).node]; }
  bool IsDirectorySource(Source source) const {
    return !IsWhiteout(LayerOf(source), EntryOf(source)) && IsDirectory(NodeOf(source).type);
  }

  bool Before(const Candidate& a, const Candidate& b) const {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    const int order = EntryOf(a.source).name.compare(EntryOf(b.source).name);
    return order != 0 ? order < 0 : a.source.layer > b.source.layer;
  }

  // containerd makes it with mkdir(2) and chmod(2): of a parent with setgid it has the group alone.
  const Node& DefaultBelow(uint32_t parent) {
    const Node& above = *tree_.inodes[parent].node;
    if ((above.mode & S_ISGID) == 0 || above.gid == 0) return DefaultDirectory();
    Node& node = tree_.defaults_of_groups[above.gid];
    node.gid = above.gid;
    return node;
  }

  // `same_name` are the entries of one name, the upper layer first, the first one a directory.
  uint32_t AddDirectory(uint32_t parent, std::span<const Source> same_name) {
    Directory directory{static_cast<uint32_t>(tree_.inodes.size()), sources_.size(), 0};
    TreeInode inode{
        .node = &DefaultDirectory(), .nlink = 2, .parent = parent, .is_directory = true};
    bool open = true;
    for (const Source source : same_name) {
      if (!IsDirectorySource(source)) break;
      const Node& node = NodeOf(source);
      if (open) {
        GrowFor(&sources_, 1);
        sources_.push_back(source);
      }
      // Of the root of a layer overlayfs does not look at the mark.
      open = open && (!node.opaque || directory.inode == 0);
      if (inode.layer == kNone && node.type == NodeType::kDirectory) {
        inode.node = &node;
        inode.layer = source.layer;
      }
      if (!open && inode.layer != kNone) break;
    }
    if (inode.layer == kNone && directory.inode != 0) inode.node = &DefaultBelow(parent);
    directory.source_count = sources_.size() - directory.first_source;
    GrowFor(&directories_, 1);
    directories_.push_back(directory);
    tree_.inodes.push_back(inode);
    return directory.inode;
  }

  uint32_t AddOther(Source source) {
    uint32_t& link = links_[source.layer][EntryOf(source).node];
    if (link == kNone) {
      link = static_cast<uint32_t>(tree_.inodes.size());
      tree_.inodes.push_back({.node = &NodeOf(source), .layer = source.layer});
    }
    ++tree_.inodes[link].nlink;
    return link;
  }

  void MergeDirectory(size_t index) {
    const Directory directory = directories_[index];
    candidates_.clear();
    for (size_t i = 0; i < directory.source_count; ++i) {
      const Source source = sources_[directory.first_source + i];
      const std::span<const uint32_t> children = indexes_[source.layer].Of(source.entry);
      GrowFor(&candidates_, children.size());
      for (const uint32_t child : children) {
        TrimSpilledAround(rows_++);
        const std::string_view name = LayerOf(source).entries[child].name;
        candidates_.push_back({NamePrefix(name), {source.layer, child}});
      }
    }
    std::sort(candidates_.begin(), candidates_.end(),
              [this](const Candidate& a, const Candidate& b) {
                TrimSpilledAt(rows_++);
                return Before(a, b);
              });
    const size_t first_entry = tree_.entries.size();
    for (size_t i = 0, end = 0; i < candidates_.size(); i = end) {
      TrimSpilledAround(rows_++);
      const std::string_view name = EntryOf(candidates_[i].source).name;
      same_name_.clear();
      for (end = i; end < candidates_.size() && candidates_[end].prefix == candidates_[i].prefix &&
                    EntryOf(candidates_[end].source).name == name;
           ++end) {
        same_name_.push_back(candidates_[end].source);
      }
      AddEntry(directory.inode, name);
    }
    TreeInode& inode = tree_.inodes[directory.inode];
    inode.first_entry = static_cast<uint32_t>(first_entry);
    inode.entry_count = static_cast<uint32_t>(tree_.entries.size() - first_entry);
  }

  void AddEntry(uint32_t directory, std::string_view name) {
    const Source top = same_name_.front();
    if (IsWhiteout(LayerOf(top), EntryOf(top))) return;
    if (IsDirectory(NodeOf(top).type)) {
      ++tree_.inodes[directory].nlink;
      tree_.entries.push_back({name, AddDirectory(directory, same_name_)});
    } else {
      tree_.entries.push_back({name, AddOther(top)});
    }
  }

  const std::vector<const Layer*> layers_;
  std::vector<ChildIndex> indexes_;
  std::vector<TableVector<uint32_t>> links_;  // by layer and node: its inode, if it has one yet
  TableVector<Directory> directories_;
  TableVector<Source> sources_;
  TableVector<Candidate> candidates_;  // of the directory in hand
  std::vector<Source> same_name_;      // of the entry in hand
  ImageTree tree_;
  size_t rows_ = 0;  // looked at: what trims go by
  // Of MergeInode: directories_ by inode.
  absl::flat_hash_map<uint32_t, size_t> unmerged_;
  size_t numbered_ = 0;  // of them
};

ImageTree MergeLayers(const std::vector<const Layer*>& layers) { return Merger(layers).Run(); }

LazyTree::LazyTree(const std::vector<const Layer*>& layers)
    : merger_(std::make_unique<Merger>(layers)) {}

LazyTree::~LazyTree() = default;

const TreeInode& LazyTree::inode(uint32_t index) const { return merger_->tree().inodes[index]; }

std::span<const TreeEntry> LazyTree::Children(uint32_t directory) {
  merger_->MergeInode(directory);
  return merger_->tree().Children(inode(directory));
}

}  // namespace slacker::erofs
