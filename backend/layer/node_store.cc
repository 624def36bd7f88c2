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
  rows_.push_back(row);
  return absl::OkStatus();
}

absl::Status NodeStore::Set(uint32_t index, const Node& node) { return Put(node, &rows_[index]); }

absl::Status NodeStore::Put(const Node& node, Row* row) {
  encoded_.clear();
  Encoder out(&encoded_);
  EncodeNode(node, out);
  const bool is_long = row->room == 0 && row->at != 0;
  if (is_long) {
    long_rows_[row->at - 1] = encoded_;
  } else if (encoded_.size() > kMaxShortBytes) {
    long_rows_.push_back(encoded_);
    *row = {static_cast<uint32_t>(long_rows_.size()), 0};
  } else {
    if (row->room < encoded_.size()) {
      if (!arena_.HasRoomFor(encoded_.size() + 1)) return InvalidArgument("too much metadata");
      *row = {arena_.Allocate(encoded_.size() + 1), static_cast<uint8_t>(encoded_.size())};
    }
    char* const to = arena_.At(row->at);
    *to = static_cast<char>(encoded_.size());
    std::memcpy(to + 1, encoded_.data(), encoded_.size());
  }
  return absl::OkStatus();
}

std::string_view NodeStore::BytesOf(const Row& row) const {
  if (row.room == 0) return long_rows_[row.at - 1];
  const char* const at = arena_.At(row.at);
  return {at + 1, static_cast<uint8_t>(*at)};
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
