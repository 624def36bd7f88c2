// The tables of a layer record, as the fields and sections of a paged object: the inner half of
// backend/record/layer_codec.h. Bytes: docs/formats.md, "Layer records". Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "backend/record/layer.h"
#include "backend/record/layer_codec.h"
#include "backend/record/paged_object.h"

namespace slacker {

inline constexpr uint32_t kMaxCount = uint32_t{1} << 24;  // rows of a table
inline constexpr uint32_t kRecordFieldsBytes = 100;
inline constexpr uint32_t kTarFieldsBytes = 4;

// Sections: nodes, entries, files, chunk digests. REQUIRES: the layer is valid.
PagedObject EncodeRecordTables(const Layer& layer, const Digest& tar_part);
// DATA_LOSS unless they make up a valid layer. REQUIRES: as many fields and sections as the format
// has; nothing else is assumed of them.
absl::Status DecodeRecordTables(const PagedObject& object, DecodedRecord* decoded);

// Section 0 of a tar part; section 1 are the literals as they are.
PagedBytes EncodeTarPieces(const Layer& layer);
// DATA_LOSS unless they fit the layer. REQUIRES: as above.
absl::Status DecodeTarTables(PagedObject object, Layer* layer);

}  // namespace slacker
