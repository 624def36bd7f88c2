#include "backend/layer/layer_tree.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxTargetBytes = 4095;
// Of a cleaned path: longer ones exist in no file system that containerd could unpack to.
constexpr size_t kMaxPathBytes = 4095;
constexpr int kMaxLinksFollowed = 255;
// What mknod(2) keeps of a device number.
constexpr int64_t kMajorMask = 0xfff;
constexpr int64_t kMinorMask = 0xfffff;

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// The next component from `*pos` on; empty at the end.
std::string_view NextComponent(std::string_view path, size_t* pos) {
  const size_t begin = std::min(path.find_first_not_of('/', *pos), path.size());
  const size_t end = std::min(path.find('/', begin), path.size());
  *pos = end;
  return path.substr(begin, end - begin);
}

// Without ".", "..", empty components and a slash at the end; ".." stays at the root. Begins with a
// slash if `path` does, or leads above its beginning.
std::string CleanPath(std::string_view path) {
  std::string clean;
  bool rooted = StartsWith(path, "/");
  size_t pos = 0;
  for (auto part = NextComponent(path, &pos); !part.empty(); part = NextComponent(path, &pos)) {
    if (part == ".") continue;
    if (part == "..") {
      rooted = rooted || clean.empty();
      const size_t slash = clean.rfind('/');
      clean.resize(slash == std::string::npos ? 0 : slash);
      continue;
    }
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return rooted ? "/" + clean : clean;
}

// Parent path (with the slash) and last component.
std::pair<std::string_view, std::string_view> Split(std::string_view path) {
  const size_t parent = path.rfind('/') + 1;
  return {path.substr(0, parent), path.substr(parent)};
}

// What the kernel does with an attribute: keep it (true), refuse it as unsupported, which
// containerd passes over (false), or fail.
absl::StatusOr<bool> IsKept(NodeType type, const Xattr& xattr, uint32_t max_bytes) {
  const auto& [name, value] = xattr;
  if (StartsWith(name, "trusted.")) return false;
  if (name.empty() || name.size() > kMaxNameBytes || name == "user." || name == "security.") {
    return InvalidArgument("an extended attribute has no valid name");
  }
  if (value.size() > max_bytes) return InvalidArgument("extended attribute too large: " + name);
  const bool directory = type == NodeType::kDirectory;
  if (StartsWith(name, "security.")) return true;
  if (StartsWith(name, "user.")) return directory || type == NodeType::kRegular;
  if (type == NodeType::kSymlink) return false;
  if (name == "system.posix_acl_default" && !directory) {
    return InvalidArgument("a default ACL on something that is no directory");
  }
  return name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

void SetXattr(std::vector<Xattr>* xattrs, const Xattr& xattr) {
  const auto place =
      std::lower_bound(xattrs->begin(), xattrs->end(), xattr.first,
                       [](const Xattr& a, const std::string& name) { return a.first < name; });
  if (place != xattrs->end() && place->first == xattr.first) {
    place->second = xattr.second;
  } else {
    xattrs->insert(place, xattr);
  }
}

}  // namespace

size_t LayerTree::ChildHash::operator()(const Child& child) const {
  return absl::HashOf(child.parent, absl::string_view(child.text.data(), child.text.size()));
}

bool LayerTree::ChildEqual::operator()(uint32_t name, const Child& child) const {
  return tree->names_[name].parent == child.parent &&
         tree->TextOf(tree->names_[name]) == child.text;
}

LayerTree::LayerTree(const TarLimits& limits)
    : limits_(limits), children_(0, ChildHash{this}, ChildEqual{this}) {
  nodes_.emplace_back().type = NodeType::kImplicitDirectory;
  names_.emplace_back().node = 0;
}

absl::Status LayerTree::Apply(const TarHeader& header, uint32_t file) {
  if (header.name.size() > limits_.max_path_bytes) return InvalidArgument("path too long");
  if (header.name.find('\0') != std::string::npos) return InvalidArgument("a NUL in a name");
  const std::string path = CleanPath(header.name);
  if (path.empty() || path == "/") return absl::OkStatus();
  if (path.size() > kMaxPathBytes) return InvalidArgument("path too long");
  const auto [parent_path, base] = Split(path);
  ASSIGN_OR_RETURN(const uint32_t parent, ResolveParent(parent_path));
  if (StartsWith(base, kWhiteoutPrefix)) return ApplyWhiteout(parent, base);

  if (const uint32_t old = Find(parent, base); old != kNone) {
    if (!IsDirectory(old) || header.type != kTarDirectory) Unlink(parent, base);
  }
  if (header.type == kTarGlobal) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint32_t name, Create(parent, base, header, file));
  if (names_[name].node != kNone) {
    RETURN_IF_ERROR(SetMetadata(&nodes_[names_[name].node], header));
  }
  if (header.type == kTarDirectory) {
    RETURN_IF_ERROR(Count(path.size()));
    directory_times_.push_back({path, header.mtime_seconds, header.mtime_nanos});
  }
  return absl::OkStatus();
}

absl::Status LayerTree::Finish(Layer* layer) {
  RETURN_IF_ERROR(SetDirectoryTimes());
  children_ = decltype(children_)(0, ChildHash{this}, ChildEqual{this});
  // The names of directory d are children[first[d], first[d + 1]).
  std::vector<uint32_t> first(names_.size() + 1);
  for (const Name& name : names_) {
    if (name.parent != kNone) ++first[name.parent + 1];
  }
  for (size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
  std::vector<uint32_t> children(first.back());
  {
    std::vector<uint32_t> next(first.begin(), first.end() - 1);
    for (uint32_t i = 0; i < names_.size(); ++i) {
      if (names_[i].parent != kNone) children[next[names_[i].parent]++] = i;
    }
  }
  const auto by_text = [this](uint32_t a, uint32_t b) {
    return TextOf(names_[a]) < TextOf(names_[b]);
  };
  struct Pending {
    uint32_t parent, name;
  };
  std::vector<uint32_t> node_numbers(nodes_.size(), kNone);
  std::vector<Pending> pending = {{0, 0}};
  layer->nodes.reserve(nodes_.size());
  layer->entries.reserve(children.size() + 1);
  while (!pending.empty()) {
    const Pending next = pending.back();
    pending.pop_back();
    const Name& name = names_[next.name];
    const uint32_t entry = static_cast<uint32_t>(layer->entries.size());
    uint32_t number = kNone;
    if (name.node != kNone) {
      number = node_numbers[name.node];
      if (number == kNone) {
        number = node_numbers[name.node] = static_cast<uint32_t>(layer->nodes.size());
        layer->nodes.push_back(std::move(nodes_[name.node]));
      }
    }
    layer->entries.push_back({next.parent, number, std::string(TextOf(name))});
    const auto begin = children.begin() + first[next.name];
    auto end = children.begin() + first[next.name + 1];
    if (!std::is_sorted(begin, end, by_text)) std::sort(begin, end, by_text);
    while (end != begin) pending.push_back({entry, *--end});
  }
  names_ = {};
  nodes_ = {};
  texts_ = {};
  return absl::OkStatus();
}

bool LayerTree::IsDirectory(uint32_t name) const {
  const uint32_t node = names_[name].node;
  return node != kNone && (nodes_[node].type == NodeType::kDirectory ||
                           nodes_[node].type == NodeType::kImplicitDirectory);
}

bool LayerTree::IsSymlink(uint32_t name) const {
  const uint32_t node = names_[name].node;
  return node != kNone && nodes_[node].type == NodeType::kSymlink;
}

uint32_t LayerTree::Find(uint32_t directory, std::string_view component) const {
  const auto found = children_.find(Child{directory, component});
  return found == children_.end() ? kNone : *found;
}

absl::StatusOr<std::vector<LayerTree::Step>> LayerTree::Resolve(std::string_view path) {
  std::vector<Step> steps;
  std::string rest(path);
  bool rooted = StartsWith(path, "/");
  size_t pos = 0;
  int links = 0;
  while (true) {
    const std::string_view part = NextComponent(rest, &pos);
    if (part.empty()) return steps;
    if (part == "." || part == "..") {
      if (part == ".." && !steps.empty()) steps.pop_back();
      rooted = true;
      continue;
    }
    if (part.size() > kMaxNameBytes) return InvalidArgument("a name of more than 255 bytes");
    // A short tar could have each of its entries walk 255 links through thousands of directories.
    if (++lookups_ > limits_.max_lookups) return InvalidArgument("paths too long to resolve");
    const uint32_t at = steps.empty() ? 0 : steps.back().name;
    if (at != kNone && !IsDirectory(at)) return InvalidArgument("a parent is no directory");
    const uint32_t child = at == kNone ? kNone : Find(at, part);
    if (child == kNone || !IsSymlink(child)) {
      steps.push_back({child, std::string(part)});
      rooted = true;
      continue;
    }
    // Joining cleans a target as text, before links in it are followed; what ends the path and is
    // joined to nothing stays as it is.
    if (++links > kMaxLinksFollowed) return InvalidArgument("too many symbolic links");
    std::string target = nodes_[names_[child].node].target;
    if (target[0] != '/' && rooted) {
      std::string joined = "/";
      for (const Step& step : steps) joined += step.component + "/";
      target = CleanPath(joined + target);
    }
    const std::string_view after = std::string_view(rest).substr(pos);
    const bool is_last = after.find_first_not_of('/') == std::string_view::npos;
    rest = is_last ? target : "/" + CleanPath(target) + std::string(after);
    if (rest.size() > kMaxPathBytes) return InvalidArgument("path too long");
    rooted = rest[0] == '/';
    steps.clear();
    pos = 0;
  }
}

absl::StatusOr<uint32_t> LayerTree::ResolveParent(std::string_view path) {
  if (path == last_parent_path_) return last_parent_;
  ASSIGN_OR_RETURN(const std::vector<Step> steps, Resolve(path));
  uint32_t at = 0;
  for (const Step& step : steps) {
    if (step.name != kNone) {
      at = step.name;
      continue;
    }
    ASSIGN_OR_RETURN(at, Add(at, step.component, NodeType::kImplicitDirectory));
  }
  if (!IsDirectory(at)) return InvalidArgument("a parent is no directory");
  last_parent_path_ = path;
  last_parent_ = at;
  return at;
}

absl::StatusOr<uint32_t> LayerTree::Add(uint32_t directory, std::string_view component,
                                        NodeType type) {
  if (component.size() > kMaxNameBytes) return InvalidArgument("a name of more than 255 bytes");
  if (names_.size() >= limits_.max_entries) return InvalidArgument("too many entries");
  RETURN_IF_ERROR(Count(component.size()));
  if (texts_.size() > kNone) return InvalidArgument("too much metadata");
  const uint32_t name = static_cast<uint32_t>(names_.size());
  names_.push_back({static_cast<uint32_t>(nodes_.size()), directory,
                    static_cast<uint32_t>(texts_.size()), static_cast<uint8_t>(component.size())});
  texts_ += component;
  nodes_.emplace_back().type = type;
  children_.insert(name);
  return name;
}

void LayerTree::Unlink(uint32_t directory, std::string_view component) {
  const auto found = children_.find(Child{directory, component});
  const uint32_t name = *found;
  children_.erase(found);
  names_[name].parent = kNone;
  last_parent_path_.clear();
  last_parent_ = 0;
}

absl::Status LayerTree::ApplyWhiteout(uint32_t parent, std::string_view base) {
  if (base == kOpaqueName) {
    nodes_[names_[parent].node].opaque = true;
    return absl::OkStatus();
  }
  const std::string_view hidden = base.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return InvalidArgument("a whiteout of no name");
  }
  if (Find(parent, hidden) != kNone) {
    return InvalidArgument("a whiteout of what the same layer has");
  }
  ASSIGN_OR_RETURN(const uint32_t name, Add(parent, hidden, NodeType::kCharDevice));
  names_[name].node = kNone;
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> LayerTree::Create(uint32_t parent, std::string_view base,
                                           const TarHeader& header, uint32_t file) {
  switch (header.type) {
    case kTarDirectory: {
      const uint32_t old = Find(parent, base);
      if (old == kNone) return Add(parent, base, NodeType::kDirectory);
      nodes_[names_[old].node].type = NodeType::kDirectory;
      return old;
    }
    case kTarRegular: {
      ASSIGN_OR_RETURN(const uint32_t name, Add(parent, base, NodeType::kRegular));
      nodes_[names_[name].node].file = file;
      return name;
    }
    case kTarSymlink: {
      const std::string& target = header.link_name;
      if (target.empty() || target.size() > kMaxTargetBytes ||
          target.find('\0') != std::string::npos) {
        return InvalidArgument("a symbolic link has no valid target");
      }
      RETURN_IF_ERROR(Count(target.size()));
      ASSIGN_OR_RETURN(const uint32_t name, Add(parent, base, NodeType::kSymlink));
      Node& node = nodes_[names_[name].node];
      node.target = target;
      node.mode = 0777;
      return name;
    }
    case kTarLink:
      return CreateLink(parent, base, header.link_name);
    case kTarChar:
    case kTarBlockDevice:
      return CreateDevice(parent, base, header);
    case kTarFifo:
      return Add(parent, base, NodeType::kFifo);
    default:
      return InvalidArgument("unsupported entry type " +
                             std::to_string(static_cast<uint8_t>(header.type)));
  }
}

absl::StatusOr<uint32_t> LayerTree::CreateLink(uint32_t parent, std::string_view base,
                                               const std::string& target) {
  if (target.size() > limits_.max_path_bytes) return InvalidArgument("path too long");
  const auto [target_parent, target_base] = Split(target);
  ASSIGN_OR_RETURN(const std::vector<Step> steps, Resolve(target_parent));
  const uint32_t directory = steps.empty() ? 0 : steps.back().name;
  if (directory == kNone || !IsDirectory(directory)) {
    return InvalidArgument("a hard link to something that is not in this layer");
  }
  const uint32_t linked = Find(directory, target_base);
  if (linked == kNone) {
    return InvalidArgument("a hard link to something that is not in this layer");
  }
  if (IsDirectory(linked)) return InvalidArgument("a hard link to a directory");
  ASSIGN_OR_RETURN(const uint32_t name, Add(parent, base, NodeType::kRegular));
  nodes_.pop_back();
  names_[name].node = names_[linked].node;
  return name;
}

absl::StatusOr<uint32_t> LayerTree::CreateDevice(uint32_t parent, std::string_view base,
                                                 const TarHeader& header) {
  const bool character = header.type == kTarChar;
  constexpr int64_t kMax = std::numeric_limits<uint32_t>::max();
  if (header.dev_major < 0 || header.dev_major > kMax || header.dev_minor < 0 ||
      header.dev_minor > kMax) {
    return InvalidArgument("a device number is out of range");
  }
  ASSIGN_OR_RETURN(const uint32_t name,
                   Add(parent, base, character ? NodeType::kCharDevice : NodeType::kBlockDevice));
  Node& node = nodes_[names_[name].node];
  node.rdev_major = static_cast<uint32_t>(header.dev_major & kMajorMask);
  node.rdev_minor = static_cast<uint32_t>(header.dev_minor & kMinorMask);
  if (character && node.rdev_major == 0 && node.rdev_minor == 0) names_[name].node = kNone;
  return name;
}

absl::Status LayerTree::SetMetadata(Node* node, const TarHeader& header) {
  // chown(2) takes 32 bits, and all ones for "leave it".
  const uint32_t uid = static_cast<uint32_t>(header.uid);
  const uint32_t gid = static_cast<uint32_t>(header.gid);
  if (uid != kNone) node->uid = uid;
  if (gid != kNone) node->gid = gid;
  if (node->type != NodeType::kSymlink) node->mode = static_cast<uint16_t>(header.mode & 07777);
  node->mtime_seconds = header.mtime_seconds;
  node->mtime_nanos = header.mtime_nanos;
  if (header.type == kTarLink) {
    std::erase_if(node->xattrs, [](const Xattr& x) { return x.first == "security.capability"; });
  }
  for (const Xattr& xattr : header.xattrs) {
    ASSIGN_OR_RETURN(const bool kept, IsKept(node->type, xattr, limits_.max_xattr_bytes));
    if (!kept) continue;
    RETURN_IF_ERROR(Count(sizeof(Xattr) + xattr.first.size() + xattr.second.size()));
    SetXattr(&node->xattrs, xattr);
    if (node->xattrs.size() > kMaxXattrs) return InvalidArgument("too many extended attributes");
  }
  return absl::OkStatus();
}

absl::Status LayerTree::SetDirectoryTimes() {
  for (const DirectoryTime& time : directory_times_) {
    ASSIGN_OR_RETURN(const std::vector<Step> steps, Resolve(time.path));
    if (!steps.empty() && steps.back().name == kNone) {
      return InvalidArgument("directory " + time.path + " was replaced by something else");
    }
    const uint32_t node = names_[steps.empty() ? 0 : steps.back().name].node;
    if (node == kNone || nodes_[node].type == NodeType::kImplicitDirectory) continue;
    nodes_[node].mtime_seconds = time.seconds;
    nodes_[node].mtime_nanos = time.nanos;
  }
  return absl::OkStatus();
}

absl::Status LayerTree::Count(uint64_t bytes) {
  metadata_bytes_ += bytes;
  if (metadata_bytes_ > limits_.max_metadata_bytes) return InvalidArgument("too much metadata");
  return absl::OkStatus();
}

}  // namespace slacker
