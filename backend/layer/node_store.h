// The nodes of a layer while its tar is read, as rows of the record that will be made of them: a
// small file takes some 22 bytes instead of sizeof(Node).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "backend/base/spill.h"
#include "backend/record/arena.h"
#include "backend/record/layer.h"

namespace slacker {

// Nodes are numbered from 0. Thread-compatible.
class NodeStore {
 public:
  // INVALID_ARGUMENT: more than 4 GiB of nodes, or kMaxLongBytes of those whose attributes take more
  // than 64 KiB each.
  absl::Status Add(const Node& node);
  absl::Status Set(uint32_t index, const Node& node);
  // The last one.
  void RemoveLast() { rows_.pop_back(); }

  // Its target points into the store: valid until that node is changed.
  Node Get(uint32_t index) const;
  NodeType TypeOf(uint32_t index) const;
  uint32_t size() const { return static_cast<uint32_t>(rows_.size()); }

 private:
  static constexpr size_t kMaxLongBytes = size_t{32} << 20;
  // Rows up to this size are in the arena, with their length before them; what a row outgrows is
  // lost until the end. Longer ones (of xattrs) are strings of their own.
  static constexpr size_t kMaxShortBytes = Arena::kBlockBytes - sizeof(uint16_t);
  struct Row {
    uint32_t at = 0;    // in arena_; of a long row: its index in long_rows_ + 1
    uint32_t room = 0;  // in arena_; 0 = a long row
  };

  absl::Status Put(const Node& node, Row* row);
  std::string_view BytesOf(const Row& row) const;

  TableVector<Row> rows_;
  Arena arena_;
  std::deque<std::string> long_rows_;
  size_t long_bytes_ = 0;
  std::string encoded_;  // reused
};

}  // namespace slacker
