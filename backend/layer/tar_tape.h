// The raw bytes of a tar stream on their way through a reader: hashed, and kept until it is known
// what gives them back (a TarPiece). What is kept at a time is what the reader has read ahead.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/layer/tar_reader.h"
#include "backend/record/layer_encoder.h"

namespace slacker {

// Positions are offsets in the stream. Every byte goes, in order, into a literal, a run of zeros or
// a file's content; the pieces do not depend on how `source` cuts the stream. Thread-compatible.
class TarTape {
 public:
  // Gives `layer` its tar part. `max_literal_bytes` bounds the literals (INVALID_ARGUMENT),
  // kMaxTarPieces the pieces.
  TarTape(ByteSource* source, uint64_t max_literal_bytes, LayerEncoder* layer)
      : source_(source), max_literal_bytes_(max_literal_bytes), layer_(layer) {}

  // The next bytes of the stream, at most 256 KiB; empty at its end. Valid until the next call.
  absl::StatusOr<std::string_view> Pull();
  // How much has been pulled.
  uint64_t end() const { return end_; }

  // Bytes [from, to) of the stream: pulled, and not yet put into pieces. Valid until the next call
  // that is not const.
  std::string_view View(uint64_t from, uint64_t to) const;
  // Where the pieces end so far.
  uint64_t start() const { return start_; }

  // Everything before `to` that is in no piece yet becomes literals and zeros.
  absl::Status PutLiteral(uint64_t to);
  // The bytes at `from` (and what stands before them: PutLiteral) are the content of file `file`
  // from `offset` if they are equal to `run`; otherwise they stay as they are.
  absl::Status PutFileRun(uint64_t from, std::string_view run, uint32_t file, uint64_t offset);
  // Reads the stream to its end, and answers its digest.
  absl::StatusOr<Digest> Finish();

 private:
  absl::Status AddLiteral(std::string_view bytes);
  absl::Status FlushZeros();
  absl::Status AddPiece(const TarPiece& piece);
  void FlushPiece();
  void Drop(uint64_t to);

  ByteSource* const source_;
  const uint64_t max_literal_bytes_;
  LayerEncoder* const layer_;
  Sha256 hash_;
  std::string_view ahead_;  // given by the source, not yet pulled
  std::string kept_;        // stream bytes [start_ - dropped_, end_)
  size_t dropped_ = 0;      // at the front of kept_, not erased yet
  uint64_t start_ = 0;
  uint64_t end_ = 0;
  uint64_t zeros_ = 0;  // at the end of the literal, not put anywhere yet
  TarPiece last_;       // may still grow; empty: there is none
};

}  // namespace slacker
