// Extended attributes of an image: which are stored with their inode and which in the shared area.
//
// A pair of name and value that several inodes have, or that is long, is stored once in the shared
// area; the others stand behind their inode. Values are kept as getxattr(2) gives them, POSIX ACLs
// too (Linux, fs/erofs/xattr.h). Names outside user., trusted., security. and the two ACL names
// have no form in EROFS, nor can they be set on Linux file systems that containerd unpacks to: they
// are left out.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "backend/base/spill.h"
#include "backend/erofs/image_tree.h"
#include "backend/record/xattr_list.h"

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

  // The shared area: the entries of these, one after the other.
  const TableVector<XattrList::Iterator>& shared() const { return shared_; }
  uint64_t shared_bytes() const { return shared_bytes_; }

  // A multiple of 4.
  static size_t EntryBytes(XattrView xattr);
  // `out` has EntryBytes(xattr) bytes, all zero.
  static void WriteEntry(XattrView xattr, char* out);

 private:
  static constexpr uint32_t kInline = 0xFFFFFFFF;
  struct Use {
    uint32_t count = 0;
    uint32_t shared_id = kInline;
  };
  // By name and value: of equal ones the place of the first. Abseil's hash is seeded: hostile values
  // cannot make it slow.
  struct PlaceHash {
    size_t operator()(const XattrList::Iterator& place) const;
  };
  struct PlaceEqual {
    bool operator()(const XattrList::Iterator& a, const XattrList::Iterator& b) const {
      return *a == *b;
    }
  };
  using Uses = absl::flat_hash_map<XattrList::Iterator, Use, PlaceHash, PlaceEqual,
                                   SpillAllocator<std::pair<const XattrList::Iterator, Use>>>;

  absl::Status Count(const Node& node);
  void Share(const Node& node);
  uint32_t SharedId(const XattrList::Iterator& place) const;

  Uses uses_;
  TableVector<XattrList::Iterator> shared_;
  uint64_t shared_bytes_ = 0;
};

}  // namespace slacker::erofs
