// The layer record: a layer as bytes. Bytes: docs/formats.md, "Layer records".
//
// A layer is two paged objects (backend/record/paged_object.h): the *record* (nodes, entries,
// files, chunk digests), which nodes need, and the *tar part* (pieces and literals), which they do
// not; the record names the digest of its tar part. Equal layers have equal digests on any machine.
//
// Limits: 512 MiB of uncompressed record, 4 GiB of tar part, 16,777,216 each of nodes, entries,
// files, chunks, xattrs of all nodes together, and pieces of the tar. All functions are thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/record/layer.h"
#include "backend/record/layer_encoder.h"
#include "backend/record/paged_object.h"

namespace slacker {

inline constexpr uint64_t kMaxRecordBytes = uint64_t{512} << 20;
inline constexpr uint64_t kMaxTarPartBytes = uint64_t{4} << 30;

struct EncodedLayer {
  EncodedPagedObject record;  // object records/<record.digest>: the layer's name in the store
  EncodedPagedObject tar;     // object tars/<record.digest>
};

// The tables must outlive what is returned. RESOURCE_EXHAUSTED when a limit is exceeded.
absl::StatusOr<EncodedLayer> EncodeLayer(const LayerTables& tables);

struct DecodedRecord {
  Layer layer;      // valid (ValidateLayer); without its tar part
  Digest tar_part;  // what TarPartReader must be given
};

// Reads a record page by page: memory grows with what has been checked. DATA_LOSS unless it is
// exactly the record of this name, and valid; or what `bytes` answers.
absl::StatusOr<DecodedRecord> DecodeRecord(std::unique_ptr<ObjectBytes> bytes,
                                           const Digest& record);

// Whether these are the bytes of an object of that digest: all of it is read, nothing is decoded.
// DATA_LOSS if they are not.
absl::Status CheckRecord(std::unique_ptr<ObjectBytes> bytes, const Digest& record);
absl::Status CheckTarPart(std::unique_ptr<ObjectBytes> bytes, const Digest& tar_part);

// The tar part of a layer, read once, from beginning to end. Its literals, which may be gigabytes,
// are never in memory together, its pieces as the compressed pages that they come in.
// Thread-compatible.
class TarPartReader {
 public:
  ~TarPartReader();
  TarPartReader(TarPartReader&&) noexcept;
  TarPartReader& operator=(TarPartReader&&) noexcept;

  // Reads the pieces. DATA_LOSS unless it is the tar part of this digest and fits the layer, of which
  // only the files are looked at.
  static absl::StatusOr<TarPartReader> Open(std::unique_ptr<ObjectBytes> bytes,
                                            const Digest& tar_part, const Layer& layer);

  // The next piece; nothing at the end.
  std::optional<TarPiece> NextPiece();
  // The next literals: at least one byte and at most `max`; empty at the end. Valid until the next
  // call. DATA_LOSS: they are damaged.
  absl::StatusOr<std::string_view> NextLiteral(uint64_t max);
  // Reads what is left. DATA_LOSS unless all of it is sound and nothing follows.
  absl::Status Finish();

 private:
  struct Pieces;
  TarPartReader(std::unique_ptr<PagedObjectReader> content, std::unique_ptr<Pieces> pieces);

  std::unique_ptr<PagedObjectReader> content_;
  std::unique_ptr<Pieces> pieces_;
  uint64_t literals_left_;  // not in page_ yet
  std::string page_;
  size_t used_ = 0;  // of page_
};

}  // namespace slacker
