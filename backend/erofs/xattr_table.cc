#include "backend/erofs/xattr_table.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/base/status.h"
#include "backend/erofs/erofs_format.h"

namespace slacker::erofs {
namespace {

constexpr size_t kMaxShared = 255;  // XattrHeader::shared_count
constexpr size_t kLongBytes = 1024;

struct Prefix {
  std::string_view text;
  uint8_t code;
  bool whole;  // the prefix is the name
};
constexpr std::array<Prefix, 5> kPrefixes = {{
    {"user.", 1, false},
    {"system.posix_acl_access", 2, true},
    {"system.posix_acl_default", 3, true},
    {"trusted.", 4, false},
    {"security.", 6, false},
}};

struct StoredName {
  uint8_t prefix = 0;  // 0: not storable
  std::string_view rest;
};

StoredName SplitName(std::string_view name) {
  for (const Prefix& prefix : kPrefixes) {
    if (!name.starts_with(prefix.text)) continue;
    const std::string_view rest = name.substr(prefix.text.size());
    if (rest.empty() == prefix.whole) return {prefix.code, rest};
  }
  return {};
}

size_t EntryBytes(const Xattr& xattr) {
  const size_t bytes =
      sizeof(XattrEntry) + SplitName(xattr.first).rest.size() + xattr.second.size();
  return (bytes + 3) & ~size_t{3};
}

void WriteEntry(const Xattr& xattr, char* out) {
  const auto [prefix, rest] = SplitName(xattr.first);
  const XattrEntry entry{.name_size = static_cast<uint8_t>(rest.size()),
                         .prefix = prefix,
                         .value_size = static_cast<uint16_t>(xattr.second.size())};
  std::memcpy(out, &entry, sizeof entry);
  std::copy(rest.begin(), rest.end(), out + sizeof entry);
  std::copy(xattr.second.begin(), xattr.second.end(), out + sizeof entry + rest.size());
}

}  // namespace

absl::StatusOr<XattrTable> XattrTable::Build(const ImageTree& tree) {
  XattrTable table;
  for (const TreeInode& inode : tree.inodes) RETURN_IF_ERROR(table.Count(*inode.node));
  if (table.uses_.empty()) return table;
  // In the order of the inodes, so that equal trees give equal images.
  for (const TreeInode& inode : tree.inodes) {
    for (const Xattr& xattr : inode.node->xattrs) {
      const auto use = table.uses_.find({xattr.first, xattr.second});
      if (use == table.uses_.end() || use->second.shared_id != kInline) continue;
      const size_t bytes = EntryBytes(xattr);
      if (use->second.count < 2 && bytes < kLongBytes) continue;
      const size_t offset = table.shared_area_.size();
      use->second.shared_id = static_cast<uint32_t>(offset / 4);
      table.shared_area_.resize(offset + bytes);
      WriteEntry(xattr, table.shared_area_.data() + offset);
    }
  }
  for (const TreeInode& inode : tree.inodes) {
    const size_t bytes = table.BodyBytes(*inode.node);
    if (bytes > kMaxXattrBodyBytes) {
      return ResourceExhausted("xattrs of one inode are longer than EROFS can store");
    }
  }
  return table;
}

absl::Status XattrTable::Count(const Node& node) {
  for (const Xattr& xattr : node.xattrs) {
    const StoredName name = SplitName(xattr.first);
    if (name.prefix == 0) continue;
    if (name.rest.size() > 255 || xattr.second.size() > kMaxXattrValueBytes) {
      return ResourceExhausted("the xattr " + xattr.first.substr(0, 255) +
                               " is longer than EROFS can store");
    }
    ++uses_[{xattr.first, xattr.second}].count;
  }
  return absl::OkStatus();
}

uint32_t XattrTable::SharedId(const Xattr& xattr) const {
  return uses_.find({xattr.first, xattr.second})->second.shared_id;
}

uint32_t XattrTable::BodyBytes(const Node& node) const {
  size_t bytes = 0;
  size_t shared = 0;
  for (const Xattr& xattr : node.xattrs) {
    if (SplitName(xattr.first).prefix == 0) continue;
    if (shared < kMaxShared && SharedId(xattr) != kInline) {
      ++shared;
      bytes += sizeof(uint32_t);
    } else {
      bytes += EntryBytes(xattr);
    }
  }
  return bytes == 0 ? 0 : static_cast<uint32_t>(sizeof(XattrHeader) + bytes);
}

void XattrTable::WriteBody(const Node& node, char* out) const {
  XattrHeader header;
  char* const ids = out + sizeof header;
  std::vector<const Xattr*> inline_xattrs;
  for (const Xattr& xattr : node.xattrs) {
    if (SplitName(xattr.first).prefix == 0) continue;
    const uint32_t id = SharedId(xattr);
    if (header.shared_count < kMaxShared && id != kInline) {
      std::memcpy(ids + header.shared_count * sizeof id, &id, sizeof id);
      ++header.shared_count;
    } else {
      inline_xattrs.push_back(&xattr);
    }
  }
  std::memcpy(out, &header, sizeof header);
  char* entry = ids + header.shared_count * sizeof(uint32_t);
  for (const Xattr* xattr : inline_xattrs) {
    WriteEntry(*xattr, entry);
    entry += EntryBytes(*xattr);
  }
}

}  // namespace slacker::erofs
