// Extended attributes of an image: which are stored with their inode and which in the shared area.
//
// A pair of name and value that several inodes have, or that is long, is stored once in the shared
// area; the others stand behind their inode. Values are kept as getxattr(2) gives them, POSIX ACLs
// too (Linux, fs/erofs/xattr.h). Names outside user., trusted., security. and the two ACL names
// have no form in EROFS, nor can they be set on Linux file systems that containerd unpacks to: they
// are left out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/status/statusor.h"
#include "backend/erofs/image_tree.h"

namespace slacker::erofs {

inline constexpr size_t kMaxXattrValueBytes = 65535;
// Header and entries behind one inode: Inode::xattr_units has 16 bits.
inline constexpr size_t kMaxXattrBodyBytes = 12 + (65535 - 1) * 4;

// Points into the layers of the tree that it was built from. Thread-compatible.
class XattrTable {
 public:
  // RESOURCE_EXHAUSTED: a name of more than 255 bytes, a value of more than 65,535, or more than
  // 256 KiB of them at one inode.
  static absl::StatusOr<XattrTable> Build(const ImageTree& tree);

  // The bytes that stand behind the inode: 0 when there are none, else a multiple of 4.
  uint32_t BodyBytes(const Node& node) const;
  // Writes them; `out` has BodyBytes(node) bytes, all zero.
  void WriteBody(const Node& node, char* out) const;

  const std::string& shared_area() const { return shared_area_; }

 private:
  static constexpr uint32_t kInline = 0xFFFFFFFF;
  struct Use {
    uint32_t count = 0;
    uint32_t shared_id = kInline;
  };
  struct PairHash {
    size_t operator()(const std::pair<std::string_view, std::string_view>& xattr) const {
      const std::hash<std::string_view> hash;
      return hash(xattr.first) * 31 + hash(xattr.second);
    }
  };

  absl::Status Count(const Node& node);
  uint32_t SharedId(const Xattr& xattr) const;

  std::unordered_map<std::pair<std::string_view, std::string_view>, Use, PairHash> uses_;
  std::string shared_area_;
};

}  // namespace slacker::erofs
