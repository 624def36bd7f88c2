#include "backend/record/layer_codec.h"

#include <algorithm>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/record/layer_rows.h"
#include "backend/record/layer_tables.h"

namespace slacker {
namespace {

constexpr uint32_t kVersion = 1;
constexpr PagedFormat kRecordFormat = {"SLKR", kVersion, kRecordFieldsBytes, 4, kMaxRecordBytes};
constexpr PagedFormat kTarFormat = {"SLKT", kVersion, kTarFieldsBytes, 2, kMaxTarPartBytes};

absl::Status CheckLimits(const LayerTotals& totals) {
  if (totals.nodes > kMaxCount || totals.entries > kMaxCount || totals.files > kMaxCount ||
      totals.chunks > kMaxCount || totals.tar_pieces > kMaxTarPieces) {
    return ResourceExhausted("layer with too many entries");
  }
  if (totals.max_xattrs > kMaxXattrs) return ResourceExhausted("file with too many xattrs");
  if (totals.xattrs > kMaxCount) return ResourceExhausted("layer with too many xattrs");
  return absl::OkStatus();
}

absl::Status CheckObject(const PagedFormat& format, std::unique_ptr<ObjectBytes> bytes,
                         const Digest& digest) {
  ASSIGN_OR_RETURN(const auto content, PagedObjectReader::Open(format, digest, std::move(bytes)));
  std::string page;
  for (uint32_t section = 0; section < format.sections; ++section) {
    for (uint64_t left = content->section_bytes(section); left > 0; left -= page.size()) {
      page.clear();
      RETURN_IF_ERROR(content->AppendPage(&page));
    }
  }
  return content->Finish();
}

}  // namespace

absl::StatusOr<EncodedLayer> EncodeLayer(const LayerTables& tables) {
  RETURN_IF_ERROR(CheckLimits(tables.totals));
  EncodedLayer encoded;
  ASSIGN_OR_RETURN(encoded.tar, EncodePagedObject(kTarFormat, EncodeTarFields(tables),
                                                  {&tables.tar_pieces, &tables.tar_literals}));
  ASSIGN_OR_RETURN(
      encoded.record,
      EncodePagedObject(kRecordFormat, EncodeRecordFields(tables, encoded.tar.digest),
                        {&tables.nodes, &tables.entries, &tables.files, &tables.digests}));
  return encoded;
}

absl::StatusOr<DecodedRecord> DecodeRecord(std::unique_ptr<ObjectBytes> bytes,
                                           const Digest& record) {
  const auto decode = [&]() -> absl::StatusOr<DecodedRecord> {
    ASSIGN_OR_RETURN(const auto content,
                     PagedObjectReader::Open(kRecordFormat, record, std::move(bytes)));
    DecodedRecord decoded;
    RETURN_IF_ERROR(DecodeRecordTables(*content, &decoded));
    RETURN_IF_ERROR(content->Finish());
    return decoded;
  };
  absl::StatusOr<DecodedRecord> decoded = decode();
  if (!decoded.ok()) return Annotate(decoded.status(), "record " + record.ToHex());
  return decoded;
}

absl::Status CheckRecord(std::unique_ptr<ObjectBytes> bytes, const Digest& record) {
  return CheckObject(kRecordFormat, std::move(bytes), record);
}

absl::Status CheckTarPart(std::unique_ptr<ObjectBytes> bytes, const Digest& tar_part) {
  return CheckObject(kTarFormat, std::move(bytes), tar_part);
}

// In one place: the rows are read from the bytes.
struct TarPartReader::Pieces {
  explicit Pieces(PagedBytes read) : bytes(std::move(read)), rows(bytes) {}
  const PagedBytes bytes;
  TarPieceRows rows;
};

TarPartReader::TarPartReader(std::unique_ptr<PagedObjectReader> content,
                             std::unique_ptr<Pieces> pieces)
    : content_(std::move(content)),
      pieces_(std::move(pieces)),
      literals_left_(content_->section_bytes(kTarLiteralsSection)) {}

TarPartReader::~TarPartReader() = default;
TarPartReader::TarPartReader(TarPartReader&&) noexcept = default;
TarPartReader& TarPartReader::operator=(TarPartReader&&) noexcept = default;

absl::StatusOr<TarPartReader> TarPartReader::Open(std::unique_ptr<ObjectBytes> bytes,
                                                  const Digest& tar_part, const Layer& layer) {
  ASSIGN_OR_RETURN(auto content, PagedObjectReader::Open(kTarFormat, tar_part, std::move(bytes)));
  ASSIGN_OR_RETURN(PagedBytes pieces, ReadTarPieces(*content, layer));
  return TarPartReader(std::move(content), std::make_unique<Pieces>(std::move(pieces)));
}

std::optional<TarPiece> TarPartReader::NextPiece() {
  const std::optional<TarPiece> piece = pieces_->rows.Next();
  SLACKER_CHECK(piece.has_value() || pieces_->rows.done(), "the rows were read before");
  return piece;
}

absl::StatusOr<std::string_view> TarPartReader::NextLiteral(uint64_t max) {
  if (used_ == page_.size() && literals_left_ > 0) {
    page_.clear();
    used_ = 0;
    RETURN_IF_ERROR(content_->AppendPage(&page_));
    literals_left_ -= page_.size();
  }
  const size_t taken = std::min<uint64_t>(max, page_.size() - used_);
  used_ += taken;
  return std::string_view(page_).substr(used_ - taken, taken);
}

absl::Status TarPartReader::Finish() {
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view bytes, NextLiteral(kPageSize));
    if (bytes.empty()) return content_->Finish();
  }
}

}  // namespace slacker
