#include "backend/record/layer_codec.h"

#include <utility>
#include <vector>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/layer_tables.h"
#include "backend/record/paged_object.h"

namespace slacker {
namespace {

constexpr uint32_t kVersion = 1;
constexpr PagedFormat kRecordFormat = {"SLKR", kVersion, kRecordFieldsBytes, 4, kMaxRecordBytes};
constexpr PagedFormat kTarFormat = {"SLKT", kVersion, kTarFieldsBytes, 2, kMaxTarPartBytes};

absl::Status CheckLimits(const Layer& layer) {
  if (layer.nodes.size() > kMaxCount || layer.entries.size() > kMaxCount ||
      layer.files.size() > kMaxCount || layer.chunks.size() > kMaxCount ||
      layer.tar_pieces.size() > kMaxTarPieces) {
    return ResourceExhausted("layer with too many entries");
  }
  uint64_t xattrs = 0;
  for (const Node& node : layer.nodes) {
    if (node.xattrs.size() > kMaxXattrs) return ResourceExhausted("file with too many xattrs");
    xattrs += node.xattrs.size();
  }
  if (xattrs > kMaxCount) return ResourceExhausted("layer with too many xattrs");
  return absl::OkStatus();
}

absl::StatusOr<EncodedPagedObject> EncodeTarPart(const Layer& layer) {
  std::string fields;
  Encoder(&fields).U32(static_cast<uint32_t>(layer.tar_pieces.size()));
  const PagedBytes pieces = EncodeTarPieces(layer);
  return EncodePagedObject(kTarFormat, fields, {&pieces, &layer.tar_literals});
}

}  // namespace

absl::StatusOr<EncodedLayer> EncodeLayer(const Layer& layer) {
  RETURN_IF_ERROR(ValidateLayer(layer));
  if (layer.tar_pieces.empty() && layer.tar_size_bytes != 0) {
    return DataLoss("layer without its tar part");
  }
  RETURN_IF_ERROR(CheckLimits(layer));
  ASSIGN_OR_RETURN(EncodedPagedObject tar, EncodeTarPart(layer));
  const PagedObject tables = EncodeRecordTables(layer, tar.digest);
  std::vector<const PagedBytes*> sections;
  for (const PagedBytes& section : tables.sections) sections.push_back(&section);
  ASSIGN_OR_RETURN(EncodedPagedObject record,
                   EncodePagedObject(kRecordFormat, tables.fields, sections));
  return EncodedLayer{record.digest, std::move(record.stored), std::move(tar.stored)};
}

absl::StatusOr<DecodedRecord> DecodeRecord(std::string_view bytes, const Digest& record) {
  const std::string context = "record " + record.ToHex();
  auto object = DecodePagedObject(kRecordFormat, bytes, record);
  if (!object.ok()) return Annotate(object.status(), context);
  DecodedRecord decoded;
  RETURN_IF_ERROR(Annotate(DecodeRecordTables(*object, &decoded), context));
  return decoded;
}

absl::Status DecodeTarPart(std::string_view bytes, const Digest& tar_part, Layer* layer) {
  ASSIGN_OR_RETURN(PagedObject object, DecodePagedObject(kTarFormat, bytes, tar_part));
  return DecodeTarTables(std::move(object), layer);
}

}  // namespace slacker
