// The tables of a layer record, as the fields and sections of a paged object: the inner half of
// backend/record/layer_codec.h. Bytes: docs/formats.md, "Layer records". Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "backend/record/layer.h"
#include "backend/record/layer_codec.h"
#include "backend/record/layer_encoder.h"
#include "backend/record/paged_object.h"

namespace slacker {

inline constexpr uint32_t kRecordFieldsBytes = 100;
inline constexpr uint32_t kTarFieldsBytes = 4;
inline constexpr size_t kTarLiteralsSection = 1;

// The fields; the sections are those of the tables, in the order in which LayerTables has them.
std::string EncodeRecordFields(const LayerTables& tables, const Digest& tar_part);
std::string EncodeTarFields(const LayerTables& tables);

// Reads all sections. DATA_LOSS unless they make up a valid layer. Memory grows with what has been
// read. REQUIRES: as many fields and sections as the format has; nothing else is assumed of them.
absl::Status DecodeRecordTables(PagedContent& content, DecodedRecord* decoded);

// Reads the first section of a tar part, and leaves it as it is: its rows, a few of which take a
// byte; the second are the literals. DATA_LOSS unless the pieces fit the layer and the literals'
// length. REQUIRES: as above.
absl::StatusOr<PagedBytes> ReadTarPieces(PagedContent& content, const Layer& layer);

// The rows of tar pieces, decoded one by one. `rows` outlives it. Thread-compatible.
class TarPieceRows {
 public:
  explicit TarPieceRows(const PagedBytes& rows) : reader_(rows), left_(rows.size()) {}
  // Nothing where they end, or one is damaged: done() tells.
  std::optional<TarPiece> Next();
  bool done() const { return left_ == 0 && used_ == rows_.size(); }

 private:
  PagedBytesReader reader_;
  uint64_t left_;  // not in rows_ yet
  std::string rows_;
  size_t used_ = 0;
};

}  // namespace slacker
