#include "cmd/slackerctl/verbs/inode_text.h"

#include <cstdio>
#include <utility>

#include "cmd/slackerctl/output.h"

namespace slacker::ctl {
namespace {

bool IsDevice(const Node& node) {
  return node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice;
}

}  // namespace

std::string TypeText(const Node& node) {
  switch (node.type) {
    case NodeType::kDirectory:
    case NodeType::kImplicitDirectory:
      return "directory";
    case NodeType::kRegular:
      return "regular";
    case NodeType::kSymlink:
      return "symlink";
    case NodeType::kCharDevice:
      return "character device";
    case NodeType::kBlockDevice:
      return "block device";
    case NodeType::kFifo:
      return "fifo";
    case NodeType::kSocket:
      return "socket";
  }
  return "?";
}

std::string ModeText(const Node& node) {
  static constexpr char kTypes[] = "?dd-lcbps";
  std::string text(1, kTypes[static_cast<size_t>(node.type)]);
  static constexpr char kBits[] = "rwxrwxrwx";
  for (int i = 0; i < 9; ++i) text += (node.mode >> (8 - i) & 1) != 0 ? kBits[i] : '-';
  const auto mark = [&](size_t at, int bit, char with_x, char without_x) {
    if ((node.mode & bit) != 0) text[at] = text[at] == 'x' ? with_x : without_x;
  };
  mark(3, 04000, 's', 'S');
  mark(6, 02000, 's', 'S');
  mark(9, 01000, 't', 'T');
  return text;
}

std::string OctalMode(const Node& node) {
  char text[8];
  (void)std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(node.mode));
  return text;
}

nlohmann::json InodeJson(const ImageView& view, const erofs::TreeInode& inode) {
  const Node& node = *inode.node;
  nlohmann::json json = {{"type", TypeText(node)},
                         {"mode", OctalMode(node)},
                         {"uid", node.uid},
                         {"gid", node.gid},
                         {"size", view.SizeOf(inode)},
                         {"mtime", node.mtime_seconds},
                         {"mtime_nanos", node.mtime_nanos},
                         {"links", inode.nlink}};
  if (node.type == NodeType::kSymlink) SetBytes(&json, "target", node.target);
  if (IsDevice(node)) {
    json["major"] = node.rdev_major;
    json["minor"] = node.rdev_minor;
  }
  for (const auto& [name, value] : node.xattrs) {
    nlohmann::json xattr;
    SetBytes(&xattr, "name", name);
    SetBytes(&xattr, "value", value);
    json["xattrs"].push_back(std::move(xattr));
  }
  return json;
}

}  // namespace slacker::ctl
