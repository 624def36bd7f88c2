// The names of a layer while its tar is read: a tree of directories, looked up by parent and text.
// Numbers stay what they are; 0 is the root.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "backend/base/spill.h"
#include "backend/record/arena.h"
#include "backend/record/layer.h"

namespace slacker {

// Memory: some 20 bytes and its text for a name. Thread-compatible.
class NameTable {
 public:
  // All names by their directories, those of one in the order in which they were added.
  class Children {
   public:
    std::span<uint32_t> Of(uint32_t directory) {
      return std::span(names_).subspan(first_[directory],
                                       first_[directory + 1] - first_[directory]);
    }

   private:
    friend class NameTable;
    TableVector<uint32_t> first_;  // by directory: its names are names_[first_[d], first_[d + 1])
    TableVector<uint32_t> names_;
  };

  // With the root, which has this node.
  explicit NameTable(uint32_t root_node);
  NameTable(const NameTable&) = delete;
  NameTable& operator=(const NameTable&) = delete;

  // Unlinked ones, too.
  uint32_t size() const { return static_cast<uint32_t>(names_.size()); }
  // kNone = a whiteout.
  uint32_t NodeOf(uint32_t name) const { return names_[name].node; }
  std::string_view TextOf(uint32_t name) const {
    const char* const at = texts_.At(names_[name].text);
    return {at + 1, static_cast<uint8_t>(*at)};
  }
  // kNone where there is none.
  uint32_t Find(uint32_t directory, std::string_view text) const;

  // INVALID_ARGUMENT: more than 4 GiB of texts. REQUIRES: at most 255 bytes; the directory has no
  // such name.
  absl::StatusOr<uint32_t> Add(uint32_t directory, std::string_view text, uint32_t node);
  // REQUIRES: the directory has it.
  void Unlink(uint32_t directory, std::string_view text);

  // 8 bytes for each name. Names cannot be looked up any more.
  Children Gather();

 private:
  struct Name {
    uint32_t node = kNone;
    uint32_t parent = kNone;  // the directory's name; kNone once it is unlinked, and for the root
    uint32_t text = 0;        // in texts_: its length, then its bytes
  };
  struct Child {
    uint32_t parent;
    std::string_view text;
  };
  // By parent and text. Abseil's hash is seeded: hostile names cannot make it slow.
  struct ChildHash {
    using is_transparent = void;
    const NameTable* table;
    size_t operator()(const Child& child) const;
    // A set that grows asks this of all names, in any order.
    size_t operator()(uint32_t name) const {
      TrimSpilledAround(name);
      return (*this)(Child{table->names_[name].parent, table->TextOf(name)});
    }
  };
  struct ChildEqual {
    using is_transparent = void;
    const NameTable* table;
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(uint32_t name, const Child& child) const {
      return table->names_[name].parent == child.parent && table->TextOf(name) == child.text;
    }
  };

  TableVector<Name> names_;
  Arena texts_;
  absl::flat_hash_set<uint32_t, ChildHash, ChildEqual, SpillAllocator<uint32_t>> children_;
};

}  // namespace slacker
