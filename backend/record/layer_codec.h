// The layer record: a layer as bytes. Bytes: docs/formats.md, "Layer records".
//
// A layer is two paged objects (backend/record/paged_object.h): the *record* (nodes, entries,
// files, chunk digests), which nodes need, and the *tar part* (pieces and literals), which they do
// not; the record names the digest of its tar part. Equal layers have equal digests on any machine.
//
// Limits: 512 MiB of uncompressed record, 4 GiB of tar part, 16,777,216 each of nodes, entries,
// files, chunks, xattrs of all nodes together, and pieces of the tar. All functions are thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/record/layer.h"

namespace slacker {

inline constexpr uint64_t kMaxRecordBytes = uint64_t{512} << 20;
inline constexpr uint64_t kMaxTarPartBytes = uint64_t{4} << 30;

struct EncodedLayer {
  Digest record;      // the layer's name in the store
  std::string bytes;  // object records/<record>
  std::string tar;    // object tars/<record>
};

// Errors: what ValidateLayer says; DATA_LOSS also when the tar part is missing; RESOURCE_EXHAUSTED
// when a limit is exceeded.
absl::StatusOr<EncodedLayer> EncodeLayer(const Layer& layer);

struct DecodedRecord {
  Layer layer;      // valid (ValidateLayer); without its tar part
  Digest tar_part;  // what DecodeTarPart must be given
};

// DATA_LOSS unless `bytes` is exactly the record of this name, and valid.
absl::StatusOr<DecodedRecord> DecodeRecord(std::string_view bytes, const Digest& record);

// Adds the tar part to a layer from DecodeRecord. DATA_LOSS unless it is the one the record names
// and fits the layer.
absl::Status DecodeTarPart(std::string_view bytes, const Digest& tar_part, Layer* layer);

}  // namespace slacker
