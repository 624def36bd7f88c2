// The tables of a layer record, as the fields and sections of a paged object: the inner half of
// backend/record/layer_codec.h. Bytes: docs/formats.md, "Layer records". Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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

// Reads the first section of a tar part; the second are the literals as they are. DATA_LOSS unless
// the pieces fit the layer and the literals' length. REQUIRES: as above.
absl::StatusOr<std::vector<TarPiece>> DecodeTarPieces(PagedContent& content, const Layer& layer);

}  // namespace slacker
