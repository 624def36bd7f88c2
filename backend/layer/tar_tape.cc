#include "backend/layer/tar_tape.h"

#include <algorithm>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr size_t kMaxPull = 256 * 1024;
// A shorter run of zeros costs less as part of a literal, which is stored compressed.
constexpr uint64_t kMinZeroRun = 1024;

}  // namespace

absl::StatusOr<std::string_view> TarTape::Pull() {
  if (ahead_.empty()) {
    ASSIGN_OR_RETURN(ahead_, source_->Next());
  }
  const std::string_view bytes = ahead_.substr(0, kMaxPull);
  ahead_.remove_prefix(bytes.size());
  hash_.Update(bytes);
  kept_.append(bytes);
  end_ += bytes.size();
  return bytes;
}

std::string_view TarTape::View(uint64_t from, uint64_t to) const {
  SLACKER_CHECK(start_ <= from && from <= to && to <= end_, "only kept bytes are asked for");
  return std::string_view(kept_).substr(dropped_ + (from - start_), to - from);
}

absl::Status TarTape::PutLiteral(uint64_t to) {
  RETURN_IF_ERROR(AddLiteral(View(start_, to)));
  Drop(to);
  return absl::OkStatus();
}

absl::Status TarTape::PutFileRun(uint64_t from, std::string_view run, uint32_t file,
                                 uint64_t offset) {
  if (from < start_ || end_ < from || end_ - from < run.size() ||
      View(from, from + run.size()) != run) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(PutLiteral(from));
  RETURN_IF_ERROR(FlushZeros());
  RETURN_IF_ERROR(AddPiece({TarPiece::Kind::kFile, file, offset, run.size()}));
  Drop(from + run.size());
  return absl::OkStatus();
}

absl::StatusOr<Digest> TarTape::Finish() {
  while (true) {
    RETURN_IF_ERROR(PutLiteral(end_));
    ASSIGN_OR_RETURN(const std::string_view bytes, Pull());
    if (bytes.empty()) break;
  }
  RETURN_IF_ERROR(FlushZeros());
  FlushPiece();
  return hash_.Finish();
}

absl::Status TarTape::AddLiteral(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t zeros = std::min(bytes.find_first_not_of('\0'), bytes.size());
    zeros_ += zeros;
    bytes.remove_prefix(zeros);
    if (bytes.empty()) break;
    RETURN_IF_ERROR(FlushZeros());
    const size_t length = std::min(bytes.find('\0'), bytes.size());
    if (length > max_literal_bytes_ - std::min(max_literal_bytes_, layer_->tar_literal_bytes())) {
      return InvalidArgument("tar: more than " + std::to_string(max_literal_bytes_) +
                             " bytes that are no file content");
    }
    layer_->AddTarLiteral(bytes.substr(0, length));
    RETURN_IF_ERROR(AddPiece({TarPiece::Kind::kLiteral, kNone, 0, length}));
    bytes.remove_prefix(length);
  }
  return absl::OkStatus();
}

absl::Status TarTape::FlushZeros() {
  const uint64_t zeros = std::exchange(zeros_, 0);
  if (zeros >= kMinZeroRun) return AddPiece({TarPiece::Kind::kZeros, kNone, 0, zeros});
  layer_->AddTarLiteral(std::string(zeros, '\0'));
  return AddPiece({TarPiece::Kind::kLiteral, kNone, 0, zeros});
}

absl::Status TarTape::AddPiece(const TarPiece& piece) {
  if (piece.length == 0) return absl::OkStatus();
  const bool follows = last_.length != 0 && last_.kind == piece.kind &&
                       (last_.kind != TarPiece::Kind::kFile ||
                        (last_.file == piece.file && last_.offset + last_.length == piece.offset));
  if (follows) {
    last_.length += piece.length;
    return absl::OkStatus();
  }
  FlushPiece();
  if (layer_->totals().tar_pieces >= kMaxTarPieces) {
    return InvalidArgument("tar: more than " + std::to_string(kMaxTarPieces) +
                           " runs of content, zeros and other bytes");
  }
  last_ = piece;
  return absl::OkStatus();
}

void TarTape::FlushPiece() {
  if (last_.length != 0) layer_->AddTarPiece(last_);
}

void TarTape::Drop(uint64_t to) {
  dropped_ += to - start_;
  start_ = to;
  if (dropped_ == kept_.size()) {
    kept_.clear();
    dropped_ = 0;
  } else if (dropped_ >= kMaxPull) {
    kept_.erase(0, dropped_);
    dropped_ = 0;
  }
}

}  // namespace slacker
