#include "backend/layer/node_store.h"

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/layer_rows.h"

namespace slacker {
namespace {

constexpr uint8_t kTypeMask = 0x7f;  // of a row's first byte

}  // namespace

absl::Status NodeStore::Add(const Node& node) {
  Row row;
  RETURN_IF_ERROR(Put(node, &row));
  GrowFor(&rows_, 1);
  rows_.push_back(row);
  return absl::OkStatus();
}

absl::Status NodeStore::Set(uint32_t index, const Node& node) { return Put(node, &rows_[index]); }

absl::Status NodeStore::Put(const Node& node, Row* row) {
  encoded_.clear();
  Encoder out(&encoded_);
  EncodeNode(node, out);
  const bool is_long = row->room == 0 && row->at != 0;
  if (is_long || encoded_.size() > kMaxShortBytes) {
    long_bytes_ += encoded_.size();
    if (is_long) {
      std::string& old = long_rows_[row->at - 1];
      long_bytes_ -= old.size();
      old = encoded_;
    } else {
      long_rows_.push_back(encoded_);
      *row = {static_cast<uint32_t>(long_rows_.size()), 0};
    }
    if (long_bytes_ > kMaxLongBytes) return InvalidArgument("too much metadata");
  } else {
    const auto size = static_cast<uint16_t>(encoded_.size());
    if (row->room < size) {
      if (!arena_.HasRoomFor(size + sizeof(size))) return InvalidArgument("too much metadata");
      *row = {arena_.Allocate(size + sizeof(size)), size};
    }
    char* const to = arena_.At(row->at);
    std::memcpy(to, &size, sizeof(size));
    std::memcpy(to + sizeof(size), encoded_.data(), size);
  }
  return absl::OkStatus();
}

std::string_view NodeStore::BytesOf(const Row& row) const {
  if (row.room == 0) return long_rows_[row.at - 1];
  const char* const at = arena_.At(row.at);
  uint16_t size = 0;
  std::memcpy(&size, at, sizeof(size));
  return {at + sizeof(size), size};
}

Node NodeStore::Get(uint32_t index) const {
  Node node;
  Decoder in(BytesOf(rows_[index]));
  SLACKER_CHECK(DecodeNode(in, &node) && in.done(), "rows are what was encoded");
  return node;
}

NodeType NodeStore::TypeOf(uint32_t index) const {
  return static_cast<NodeType>(BytesOf(rows_[index])[0] & kTypeMask);
}

}  // namespace slacker
