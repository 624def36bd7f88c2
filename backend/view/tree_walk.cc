#include "backend/view/tree_walk.h"

#include <algorithm>
#include <vector>

#include "backend/base/status.h"

namespace slacker {
namespace {

// The path in hand, one component after the other.
class Path {
 public:
  absl::Status Push(std::string_view name) {
    if (text_.size() + name.size() + 1 > kMaxPathBytes) {
      return ResourceExhausted("the image has a path of more than " +
                               std::to_string(kMaxPathBytes) + " bytes");
    }
    if (!text_.empty()) text_ += '/';
    text_ += name;
    return absl::OkStatus();
  }
  void CutTo(size_t size) { text_.resize(size); }
  size_t size() const { return text_.size(); }
  std::string_view text() const { return text_; }

 private:
  std::string text_;
};

// Whether two files have the same content, as far as can be told without reading it.
enum class Verdict { kSame, kDifferent, kUnknown };

Verdict CompareContent(const ImageView::FileRef& a, const ImageView::FileRef& b) {
  if (a.file == nullptr || b.file == nullptr) {
    return a.file == nullptr && b.file == nullptr ? Verdict::kSame : Verdict::kDifferent;
  }
  const uint64_t size = a.file->size_bytes;
  if (size != b.file->size_bytes) return Verdict::kDifferent;
  // A file of one chunk has the same one whatever the size of chunks.
  const bool one_chunk = size <= std::min(a.layer->chunk_size, b.layer->chunk_size);
  if (a.layer->chunk_size != b.layer->chunk_size && !one_chunk) return Verdict::kUnknown;
  const auto first_a = a.layer->chunks.begin() + a.file->first_chunk;
  const auto first_b = b.layer->chunks.begin() + b.file->first_chunk;
  const bool same = std::equal(
      first_a, first_a + a.file->chunk_count, first_b, first_b + b.file->chunk_count,
      [](const Chunk& x, const Chunk& y) { return x.index == y.index && x.digest == y.digest; });
  return same ? Verdict::kSame : Verdict::kDifferent;
}

// An implicit directory is a directory like any other in a merged tree.
NodeType TypeOf(const Node& node) {
  return node.type == NodeType::kImplicitDirectory ? NodeType::kDirectory : node.type;
}

class Comparison {
 public:
  Comparison(const ImageView& before, const ImageView& after, const ChangeVisitor& visit)
      : before_(before), after_(after), visit_(visit) {}

  absl::Status Run(uint32_t before, uint32_t after) {
    RETURN_IF_ERROR(Enter(before, after));
    while (!frames_.empty()) {
      path_.CutTo(frames_.back().path_bytes);
      uint32_t left = kNone;
      uint32_t right = kNone;
      std::string_view name;
      if (!NextPair(&frames_.back(), &name, &left, &right)) {
        frames_.pop_back();
        continue;
      }
      RETURN_IF_ERROR(path_.Push(name));
      RETURN_IF_ERROR(Enter(left, right));
    }
    return absl::OkStatus();
  }

 private:
  // A directory of either side, or of both, and how far we are in it.
  struct Frame {
    uint32_t before = kNone, after = kNone;
    size_t next_before = 0, next_after = 0;
    size_t path_bytes = 0;
  };

  std::span<const erofs::TreeEntry> ChildrenOf(const ImageView& view, uint32_t inode) const {
    if (inode == kNone) return {};
    return view.tree().Children(view.inode(inode));
  }

  // The next name of either side; a side that does not have it is kNone.
  bool NextPair(Frame* frame, std::string_view* name, uint32_t* left, uint32_t* right) const {
    const auto before = ChildrenOf(before_, frame->before);
    const auto after = ChildrenOf(after_, frame->after);
    const bool has_before = frame->next_before < before.size();
    const bool has_after = frame->next_after < after.size();
    if (!has_before && !has_after) return false;
    int order = has_before ? -1 : 1;
    if (has_before && has_after) {
      order = before[frame->next_before].name.compare(after[frame->next_after].name);
    }
    if (order <= 0) {
      *name = before[frame->next_before].name;
      *left = before[frame->next_before++].inode;
    }
    if (order >= 0) {
      *name = after[frame->next_after].name;
      *right = after[frame->next_after++].inode;
    }
    return true;
  }

  // Tells how the two differ, and goes into what is a directory.
  absl::Status Enter(uint32_t before, uint32_t after) {
    TreeChange change;
    change.path = path_.text();
    change.before = before;
    change.after = after;
    if (before == kNone || after == kNone) {
      change.kind = before == kNone ? TreeChange::Kind::kAdded : TreeChange::Kind::kRemoved;
      RETURN_IF_ERROR(visit_(change));
    } else if (Compare(before_.inode(before), after_.inode(after), &change)) {
      RETURN_IF_ERROR(visit_(change));
    }
    Frame frame;
    if (before != kNone && before_.inode(before).is_directory) frame.before = before;
    if (after != kNone && after_.inode(after).is_directory) frame.after = after;
    if (frame.before == kNone && frame.after == kNone) return absl::OkStatus();
    frame.path_bytes = path_.size();
    frames_.push_back(frame);
    return absl::OkStatus();
  }

  bool Compare(const erofs::TreeInode& a, const erofs::TreeInode& b, TreeChange* change) const {
    const Node& x = *a.node;
    const Node& y = *b.node;
    if (TypeOf(x) != TypeOf(y)) {
      change->type = true;
      return true;
    }
    change->mode = x.mode != y.mode;
    change->owner = x.uid != y.uid || x.gid != y.gid;
    change->xattrs = x.xattrs != y.xattrs;
    change->target = x.target != y.target;
    change->device = x.rdev_major != y.rdev_major || x.rdev_minor != y.rdev_minor;
    if (x.type == NodeType::kRegular) {
      const ImageView::FileRef left = before_.FileOf(a);
      const ImageView::FileRef right = after_.FileOf(b);
      change->size = before_.SizeOf(a) != after_.SizeOf(b);
      const Verdict verdict = CompareContent(left, right);
      change->content = verdict == Verdict::kDifferent;
      change->content_unknown = verdict == Verdict::kUnknown;
    }
    return change->mode || change->owner || change->xattrs || change->target || change->device ||
           change->size || change->content || change->content_unknown;
  }

  const ImageView& before_;
  const ImageView& after_;
  const ChangeVisitor& visit_;
  Path path_;
  std::vector<Frame> frames_;
};

}  // namespace

absl::Status WalkTree(const erofs::ImageTree& tree, uint32_t top, const TreeVisitor& visit) {
  struct Frame {
    uint32_t inode = 0;
    size_t next = 0;
    size_t path_bytes = 0;
  };
  Path path;
  std::vector<Frame> frames = {{top, 0, 0}};
  while (!frames.empty()) {
    Frame& frame = frames.back();
    path.CutTo(frame.path_bytes);
    const auto children = tree.Children(tree.inodes[frame.inode]);
    if (frame.next == children.size()) {
      frames.pop_back();
      continue;
    }
    const erofs::TreeEntry& entry = children[frame.next++];
    RETURN_IF_ERROR(path.Push(entry.name));
    RETURN_IF_ERROR(visit(path.text(), entry.inode));
    if (tree.inodes[entry.inode].is_directory) frames.push_back({entry.inode, 0, path.size()});
  }
  return absl::OkStatus();
}

absl::Status CompareTrees(const ImageView& before_view, uint32_t before,
                          const ImageView& after_view, uint32_t after, const ChangeVisitor& visit) {
  return Comparison(before_view, after_view, visit).Run(before, after);
}

}  // namespace slacker
