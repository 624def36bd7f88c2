#include "backend/erofs/xattr_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "backend/base/status.h"
#include "backend/erofs/erofs_format.h"
#include "backend/record/layer_rows.h"

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

}  // namespace

size_t XattrTable::EntryBytes(XattrView xattr) {
  const size_t bytes =
      sizeof(XattrEntry) + SplitName(xattr.first).rest.size() + xattr.second.size();
  return (bytes + 3) & ~size_t{3};
}

void XattrTable::WriteEntry(XattrView xattr, char* out) {
  const auto [prefix, rest] = SplitName(xattr.first);
  const XattrEntry entry{.name_size = static_cast<uint8_t>(rest.size()),
                         .prefix = prefix,
                         .value_size = static_cast<uint16_t>(xattr.second.size())};
  std::memcpy(out, &entry, sizeof entry);
  std::copy(rest.begin(), rest.end(), out + sizeof entry);
  std::copy(xattr.second.begin(), xattr.second.end(), out + sizeof entry + rest.size());
}

size_t XattrTable::PlaceHash::operator()(const XattrList::Iterator& place) const {
  const auto [name, value] = *place;
  TrimSpilledAt(*place);  // here, since a table that grows hashes all of its rows again
  return absl::HashOf(absl::string_view(name.data(), name.size()),
                      absl::string_view(value.data(), value.size()));
}

absl::StatusOr<XattrTable> XattrTable::Build(const ImageTree& tree) {
  XattrTable table;
  size_t row = 0;
  for (const TreeInode& inode : tree.inodes) {
    TrimSpilledAround(row++);
    RETURN_IF_ERROR(table.Count(*inode.node));
  }
  if (table.uses_.empty()) return table;
  // In the order of the inodes, so that equal trees give equal images.
  for (const TreeInode& inode : tree.inodes) {
    TrimSpilledAround(row++);
    table.Share(*inode.node);
  }
  for (const TreeInode& inode : tree.inodes) {
    TrimSpilledAround(row++);
    if (table.BodyBytes(*inode.node) > kMaxXattrBodyBytes) {
      return ResourceExhausted("xattrs of one inode are longer than EROFS can store");
    }
  }
  return table;
}

absl::Status XattrTable::Count(const Node& node) {
  for (auto place = node.xattrs.begin(); place != node.xattrs.end(); ++place) {
    const auto [full_name, value] = *place;
    const StoredName name = SplitName(full_name);
    if (name.prefix == 0) continue;
    if (name.rest.size() > 255 || value.size() > kMaxXattrValueBytes) {
      return ResourceExhausted("the xattr " + std::string(full_name.substr(0, 255)) +
                               " is longer than EROFS can store");
    }
    ++uses_[place].count;
  }
  return absl::OkStatus();
}

void XattrTable::Share(const Node& node) {
  for (auto place = node.xattrs.begin(); place != node.xattrs.end(); ++place) {
    const auto use = uses_.find(place);
    if (use == uses_.end() || use->second.shared_id != kInline) continue;
    const size_t bytes = EntryBytes(*place);
    if (use->second.count < 2 && bytes < kLongBytes) continue;
    use->second.shared_id = static_cast<uint32_t>(shared_bytes_ / 4);
    shared_bytes_ += bytes;
    GrowFor(&shared_, 1);
    shared_.push_back(place);
  }
}

uint32_t XattrTable::SharedId(const XattrList::Iterator& place) const {
  return uses_.find(place)->second.shared_id;
}

uint32_t XattrTable::BodyBytes(const Node& node) const {
  size_t bytes = 0;
  size_t shared = 0;
  for (auto place = node.xattrs.begin(); place != node.xattrs.end(); ++place) {
    if (SplitName((*place).first).prefix == 0) continue;
    if (shared < kMaxShared && SharedId(place) != kInline) {
      ++shared;
      bytes += sizeof(uint32_t);
    } else {
      bytes += EntryBytes(*place);
    }
  }
  return bytes == 0 ? 0 : static_cast<uint32_t>(sizeof(XattrHeader) + bytes);
}

void XattrTable::WriteBody(const Node& node, char* out) const {
  XattrHeader header;
  char* const ids = out + sizeof header;
  std::vector<XattrView> inline_xattrs;
  for (auto place = node.xattrs.begin(); place != node.xattrs.end(); ++place) {
    if (SplitName((*place).first).prefix == 0) continue;
    const uint32_t id = SharedId(place);
    if (header.shared_count < kMaxShared && id != kInline) {
      std::memcpy(ids + header.shared_count * sizeof id, &id, sizeof id);
      ++header.shared_count;
    } else {
      inline_xattrs.push_back(*place);
    }
  }
  std::memcpy(out, &header, sizeof header);
  char* entry = ids + header.shared_count * sizeof(uint32_t);
  for (const XattrView& xattr : inline_xattrs) {
    WriteEntry(xattr, entry);
    entry += EntryBytes(xattr);
  }
}

}  // namespace slacker::erofs
