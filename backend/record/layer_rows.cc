#include "backend/record/layer_rows.h"

#include <string_view>
#include <vector>

namespace slacker {
namespace {

constexpr uint8_t kOpaque = 0x80;  // in a node's type byte

}  // namespace

void EncodeNode(const Node& node, Encoder& out) {
  out.U8(static_cast<uint8_t>(static_cast<uint8_t>(node.type) | (node.opaque ? kOpaque : 0)));
  out.Varint(node.mode);
  out.Varint(node.uid);
  out.Varint(node.gid);
  out.Varint(ZigZag(node.mtime_seconds));
  out.Varint(node.mtime_nanos);
  if (node.type == NodeType::kRegular) out.Varint(node.file == kNone ? 0 : uint64_t{node.file} + 1);
  if (node.type == NodeType::kSymlink) out.Bytes(node.target);
  if (node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice) {
    out.Varint(node.rdev_major);
    out.Varint(node.rdev_minor);
  }
  out.Varint(node.xattrs.size());
  for (const auto& [name, value] : node.xattrs) {
    out.Bytes(name);
    out.Bytes(value);
  }
}

bool DecodeNode(Decoder& in, Node* node) {
  const uint8_t type = in.U8();
  node->type = static_cast<NodeType>(type & ~kOpaque);
  node->opaque = (type & kOpaque) != 0;
  node->mode = static_cast<uint16_t>(in.VarintUpTo(07777));
  node->uid = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
  node->gid = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
  node->mtime_seconds = UnZigZag(in.Varint());
  node->mtime_nanos = static_cast<uint32_t>(in.VarintUpTo(999'999'999));
  if (node->type == NodeType::kRegular) {
    // 0 wraps to kNone.
    node->file = static_cast<uint32_t>(in.VarintUpTo(kMaxCount)) - 1;
  }
  if (node->type == NodeType::kSymlink) node->target = in.Bytes();
  if (node->type == NodeType::kCharDevice || node->type == NodeType::kBlockDevice) {
    node->rdev_major = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
    node->rdev_minor = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
  }
  std::vector<XattrView> xattrs;
  for (uint64_t n = in.VarintUpTo(kMaxXattrs); n > 0 && in.ok(); --n) {
    const std::string_view name = in.Bytes();
    xattrs.emplace_back(name, in.Bytes());
  }
  node->xattrs = XattrList::Of(xattrs);
  return in.ok();
}

}  // namespace slacker
