#include "backend/layer/layer_tree.h"

#include <algorithm>
#include <span>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/layer/layer_path.h"
#include "backend/record/layer_rows.h"

namespace slacker {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";
// Of a cleaned path: longer ones exist in no file system that containerd could unpack to.
constexpr size_t kMaxPathBytes = 4095;
constexpr int kMaxLinksFollowed = 255;
// What mknod(2) keeps of a device number.
constexpr int64_t kMajorMask = 0xfff;
constexpr int64_t kMinorMask = 0xfffff;

// What the kernel does with an attribute: keep it (true), refuse it as unsupported, which
// containerd passes over (false), or fail.
absl::StatusOr<bool> IsKept(NodeType type, const Xattr& xattr, uint32_t max_bytes) {
  const auto& [name, value] = xattr;
  if (name.starts_with("trusted.")) return false;
  if (name.empty() || name.size() > kMaxEntryNameBytes || name == "user." || name == "security.") {
    return InvalidArgument("an extended attribute has no valid name");
  }
  if (value.size() > max_bytes) return InvalidArgument("extended attribute too large: " + name);
  const bool directory = type == NodeType::kDirectory;
  if (name.starts_with("security.")) return true;
  if (name.starts_with("user.")) return directory || type == NodeType::kRegular;
  if (type == NodeType::kSymlink) return false;
  if (name == "system.posix_acl_default" && !directory) {
    return InvalidArgument("a default ACL on something that is no directory");
  }
  return name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

Node MakeNode(NodeType type) {
  Node node;
  node.type = type;
  return node;
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

LayerTree::LayerTree(const TarLimits& limits) : limits_(limits), names_(/*root_node=*/0) {
  const absl::Status added = nodes_.Add(MakeNode(NodeType::kImplicitDirectory));
  SLACKER_CHECK(added.ok(), "there is room for one");
}

absl::Status LayerTree::Apply(const TarHeader& header, uint32_t file) {
  if (header.name.size() > limits_.max_path_bytes) return InvalidArgument("path too long");
  if (header.name.find('\0') != std::string::npos) return InvalidArgument("a NUL in a name");
  const std::string path = CleanPath(header.name);
  if (path.empty() || path == "/") return absl::OkStatus();
  if (path.size() > kMaxPathBytes) return InvalidArgument("path too long");
  const auto [parent_path, base] = SplitPath(path);
  ASSIGN_OR_RETURN(const uint32_t parent, ResolveParent(parent_path));
  if (base.starts_with(kWhiteoutPrefix)) return ApplyWhiteout(parent, base);

  if (const uint32_t old = names_.Find(parent, base); old != kNone) {
    if (!IsDirectory(old) || header.type != kTarDirectory) Unlink(parent, base);
  }
  if (header.type == kTarGlobal) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint32_t name, Create(parent, base, header, file));
  if (const uint32_t number = names_.NodeOf(name); number != kNone) {
    Node node = nodes_.Get(number);
    RETURN_IF_ERROR(SetMetadata(&node, header));
    RETURN_IF_ERROR(nodes_.Set(number, node));
  }
  if (header.type != kTarDirectory) return absl::OkStatus();
  RETURN_IF_ERROR(Count(path.size()));
  KeepDirectoryTime(path, header);
  return absl::OkStatus();
}

absl::Status LayerTree::Finish(LayerEncoder* layer) {
  RETURN_IF_ERROR(SetDirectoryTimes());
  NameTable::Children children = names_.Gather();
  const auto by_text = [this](uint32_t a, uint32_t b) {
    return names_.TextOf(a) < names_.TextOf(b);
  };
  struct Pending {
    uint32_t parent, name;
  };
  TableVector<uint32_t> node_numbers(nodes_.size(), kNone);
  std::vector<Pending> pending = {{0, 0}};
  uint32_t next_node = 0;
  for (uint32_t entry = 0; !pending.empty(); ++entry) {
    const Pending next = pending.back();
    pending.pop_back();
    uint32_t number = kNone;
    if (const uint32_t node = names_.NodeOf(next.name); node != kNone) {
      number = node_numbers[node];
      if (number == kNone) {
        number = node_numbers[node] = next_node++;
        layer->AddNode(nodes_.Get(node));
      }
    }
    layer->AddEntry(next.parent, number, names_.TextOf(next.name));
    const std::span<uint32_t> names = children.Of(next.name);
    if (!std::is_sorted(names.begin(), names.end(), by_text)) {
      std::sort(names.begin(), names.end(), by_text);
    }
    for (size_t i = names.size(); i-- > 0;) pending.push_back({entry, names[i]});
  }
  nodes_ = {};
  return absl::OkStatus();
}

bool LayerTree::IsDirectory(uint32_t name) const {
  const uint32_t node = names_.NodeOf(name);
  if (node == kNone) return false;
  const NodeType type = nodes_.TypeOf(node);
  return type == NodeType::kDirectory || type == NodeType::kImplicitDirectory;
}

bool LayerTree::IsSymlink(uint32_t name) const {
  const uint32_t node = names_.NodeOf(name);
  return node != kNone && nodes_.TypeOf(node) == NodeType::kSymlink;
}

absl::StatusOr<std::vector<LayerTree::Step>> LayerTree::Resolve(std::string_view path) {
  std::vector<Step> steps;
  std::string rest(path);
  bool rooted = path.starts_with("/");
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
    if (part.size() > kMaxEntryNameBytes) return InvalidArgument("a name of more than 255 bytes");
    // A short tar could have each of its entries walk 255 links through thousands of directories.
    if (++lookups_ > limits_.max_lookups) return InvalidArgument("paths too long to resolve");
    const uint32_t at = steps.empty() ? 0 : steps.back().name;
    if (at != kNone && !IsDirectory(at)) return InvalidArgument("a parent is no directory");
    const uint32_t child = at == kNone ? kNone : names_.Find(at, part);
    if (child == kNone || !IsSymlink(child)) {
      steps.push_back({child, std::string(part)});
      rooted = true;
      continue;
    }
    // Joining cleans a target as text, before links in it are followed; what ends the path and is
    // joined to nothing stays as it is.
    if (++links > kMaxLinksFollowed) return InvalidArgument("too many symbolic links");
    std::string target(nodes_.Get(names_.NodeOf(child)).target);
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
    ASSIGN_OR_RETURN(at, Add(at, step.component, MakeNode(NodeType::kImplicitDirectory)));
  }
  if (!IsDirectory(at)) return InvalidArgument("a parent is no directory");
  last_parent_path_ = path;
  last_parent_ = at;
  return at;
}

absl::StatusOr<uint32_t> LayerTree::AddName(uint32_t directory, std::string_view component,
                                            uint32_t node) {
  if (component.size() > kMaxEntryNameBytes)
    return InvalidArgument("a name of more than 255 bytes");
  if (names_.size() >= limits_.max_entries) return InvalidArgument("too many entries");
  RETURN_IF_ERROR(Count(component.size()));
  return names_.Add(directory, component, node);
}

absl::StatusOr<uint32_t> LayerTree::Add(uint32_t directory, std::string_view component,
                                        const Node& node) {
  ASSIGN_OR_RETURN(const uint32_t name, AddName(directory, component, nodes_.size()));
  RETURN_IF_ERROR(nodes_.Add(node));
  return name;
}

void LayerTree::Unlink(uint32_t directory, std::string_view component) {
  names_.Unlink(directory, component);
  last_parent_path_.clear();
  last_parent_ = 0;
}

absl::Status LayerTree::ApplyWhiteout(uint32_t parent, std::string_view base) {
  if (base == kOpaqueName) {
    Node node = nodes_.Get(names_.NodeOf(parent));
    node.opaque = true;
    return nodes_.Set(names_.NodeOf(parent), node);
  }
  const std::string_view hidden = base.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return InvalidArgument("a whiteout of no name");
  }
  if (names_.Find(parent, hidden) != kNone) {
    return InvalidArgument("a whiteout of what the same layer has");
  }
  return AddName(parent, hidden, kNone).status();
}

absl::StatusOr<uint32_t> LayerTree::Create(uint32_t parent, std::string_view base,
                                           const TarHeader& header, uint32_t file) {
  switch (header.type) {
    case kTarDirectory: {
      const uint32_t old = names_.Find(parent, base);
      if (old == kNone) return Add(parent, base, Node{});
      Node node = nodes_.Get(names_.NodeOf(old));
      node.type = NodeType::kDirectory;
      RETURN_IF_ERROR(nodes_.Set(names_.NodeOf(old), node));
      return old;
    }
    case kTarRegular: {
      Node node = MakeNode(NodeType::kRegular);
      node.file = file;
      return Add(parent, base, node);
    }
    case kTarSymlink: {
      const std::string& target = header.link_name;
      if (target.empty() || target.size() > kMaxLinkTargetBytes ||
          target.find('\0') != std::string::npos) {
        return InvalidArgument("a symbolic link has no valid target");
      }
      RETURN_IF_ERROR(Count(target.size()));
      Node node = MakeNode(NodeType::kSymlink);
      node.mode = 0777;
      node.target = target;
      return Add(parent, base, node);
    }
    case kTarLink:
      return CreateLink(parent, base, header.link_name);
    case kTarChar:
    case kTarBlockDevice:
      return CreateDevice(parent, base, header);
    case kTarFifo:
      return Add(parent, base, MakeNode(NodeType::kFifo));
    default:
      return InvalidArgument("unsupported entry type " +
                             std::to_string(static_cast<uint8_t>(header.type)));
  }
}

absl::StatusOr<uint32_t> LayerTree::CreateLink(uint32_t parent, std::string_view base,
                                               const std::string& target) {
  if (target.size() > limits_.max_path_bytes) return InvalidArgument("path too long");
  const auto [target_parent, target_base] = SplitPath(target);
  ASSIGN_OR_RETURN(const std::vector<Step> steps, Resolve(target_parent));
  const uint32_t directory = steps.empty() ? 0 : steps.back().name;
  if (directory == kNone || !IsDirectory(directory)) {
    return InvalidArgument("a hard link to something that is not in this layer");
  }
  const uint32_t linked = names_.Find(directory, target_base);
  if (linked == kNone) {
    return InvalidArgument("a hard link to something that is not in this layer");
  }
  if (IsDirectory(linked)) return InvalidArgument("a hard link to a directory");
  return AddName(parent, base, names_.NodeOf(linked));
}

absl::StatusOr<uint32_t> LayerTree::CreateDevice(uint32_t parent, std::string_view base,
                                                 const TarHeader& header) {
  const bool character = header.type == kTarChar;
  constexpr int64_t kMax = std::numeric_limits<uint32_t>::max();
  if (header.dev_major < 0 || header.dev_major > kMax || header.dev_minor < 0 ||
      header.dev_minor > kMax) {
    return InvalidArgument("a device number is out of range");
  }
  Node node = MakeNode(character ? NodeType::kCharDevice : NodeType::kBlockDevice);
  node.rdev_major = static_cast<uint32_t>(header.dev_major & kMajorMask);
  node.rdev_minor = static_cast<uint32_t>(header.dev_minor & kMinorMask);
  const bool whiteout = character && node.rdev_major == 0 && node.rdev_minor == 0;
  return whiteout ? AddName(parent, base, kNone) : Add(parent, base, node);
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
  if (header.xattrs.empty() && (header.type != kTarLink || node->xattrs.empty())) {
    return absl::OkStatus();
  }
  std::vector<Xattr> xattrs(node->xattrs.begin(), node->xattrs.end());
  if (header.type == kTarLink) {
    std::erase_if(xattrs, [](const Xattr& x) { return x.first == "security.capability"; });
  }
  for (const Xattr& xattr : header.xattrs) {
    ASSIGN_OR_RETURN(const bool kept, IsKept(node->type, xattr, limits_.max_xattr_bytes));
    if (!kept) continue;
    RETURN_IF_ERROR(Count(sizeof(Xattr) + xattr.first.size() + xattr.second.size()));
    SetXattr(&xattrs, xattr);
    if (xattrs.size() > kMaxXattrs) return InvalidArgument("too many extended attributes");
  }
  node->xattrs = XattrList::Of(xattrs);
  return absl::OkStatus();
}

void LayerTree::KeepDirectoryTime(std::string_view path, const TarHeader& header) {
  Encoder& out = directory_times_.BeginRow();
  out.U32(static_cast<uint32_t>(path.size()));
  out.I64(header.mtime_seconds);
  out.U32(header.mtime_nanos);
  out.Raw(path);
}

absl::Status LayerTree::SetDirectoryTimes() {
  const PagedBytes rows = directory_times_.Take();
  PagedBytesReader reader(rows);
  const auto next = [&reader](size_t size) {
    std::string bytes;
    while (bytes.size() < size) bytes += reader.Next(size - bytes.size());
    return bytes;
  };
  constexpr size_t kFixedBytes = 4 + 8 + 4;
  for (uint64_t at = 0; at < rows.size();) {
    const std::string fixed = next(kFixedBytes);
    Decoder in(fixed);
    const size_t path_bytes = in.U32();
    const int64_t seconds = in.I64();
    RETURN_IF_ERROR(SetDirectoryTime(next(path_bytes), seconds, in.U32()));
    at += kFixedBytes + path_bytes;
  }
  return absl::OkStatus();
}

absl::Status LayerTree::SetDirectoryTime(const std::string& path, int64_t seconds, uint32_t nanos) {
  ASSIGN_OR_RETURN(const std::vector<Step> steps, Resolve(path));
  if (!steps.empty() && steps.back().name == kNone) {
    return InvalidArgument("directory " + path + " was replaced by something else");
  }
  const uint32_t number = names_.NodeOf(steps.empty() ? 0 : steps.back().name);
  if (number == kNone) return absl::OkStatus();
  Node node = nodes_.Get(number);
  if (node.type == NodeType::kImplicitDirectory) return absl::OkStatus();
  node.mtime_seconds = seconds;
  node.mtime_nanos = nanos;
  return nodes_.Set(number, node);
}

absl::Status LayerTree::Count(uint64_t bytes) {
  metadata_bytes_ += bytes;
  if (metadata_bytes_ > limits_.max_metadata_bytes) return InvalidArgument("too much metadata");
  return absl::OkStatus();
}

}  // namespace slacker
