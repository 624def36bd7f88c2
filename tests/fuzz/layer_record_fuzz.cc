// Layer records. Digests would stop nearly every mutation, so the input is what lies behind them:
// the record's fields, then its four sections and the two of its tar part, each after its length.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/record/layer_codec.h"
#include "backend/record/layer_tables.h"
#include "tests/support/encode_layer.h"

namespace {

// Fields and sections without digests.
class PlainContent final : public slacker::PagedContent {
 public:
  PlainContent(std::string_view fields, std::vector<std::string_view> sections)
      : fields_(fields), sections_(std::move(sections)), left_(sections_) {}
  std::string_view fields() const override { return fields_; }
  uint64_t section_bytes(size_t section) const override { return sections_[section].size(); }
  absl::Status AppendPage(std::string* out) override {
    out->append(Next());
    return absl::OkStatus();
  }
  absl::Status KeepPage(slacker::PagedBytes* out) override {
    out->Append(Next());
    return absl::OkStatus();
  }

 private:
  // Of a size that has rows lie across pages.
  std::string_view Next() {
    while (left_[section_].empty()) ++section_;
    const std::string_view page = left_[section_].substr(0, 16);
    left_[section_].remove_prefix(page.size());
    return page;
  }

  const std::string_view fields_;
  const std::vector<std::string_view> sections_;
  std::vector<std::string_view> left_;
  size_t section_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // As an object, under the name that its header asks for.
  slacker::Decoder whole(input);
  const std::string_view header = whole.Raw(whole.U32());
  (void)slacker::DecodeRecord(std::make_unique<slacker::MemoryBytes>(input),
                              slacker::Sha256::Of(header));

  slacker::Decoder in(input);
  const auto sections = [&in](size_t count) {
    std::vector<std::string_view> read;
    while (read.size() < count) read.push_back(in.Bytes());
    return read;
  };
  const std::string_view record_fields = in.Raw(slacker::kRecordFieldsBytes);
  PlainContent record(record_fields, sections(4));
  const std::string_view tar_fields = in.Raw(slacker::kTarFieldsBytes);
  const std::vector<std::string_view> tar_sections = sections(2);
  PlainContent tar(tar_fields, tar_sections);
  if (!in.ok()) return 0;
  slacker::DecodedRecord decoded;
  if (!slacker::DecodeRecordTables(record, &decoded).ok()) return 0;
  const auto pieces = slacker::ReadTarPieces(tar, decoded.layer);
  if (!pieces.ok()) return 0;
  slacker::TarPieceRows rows(*pieces);
  while (const auto piece = rows.Next()) decoded.layer.tar_pieces.push_back(*piece);
  SLACKER_CHECK(rows.done(), "rows that were read decode");
  decoded.layer.tar_literals = slacker::PagedBytes(tar_sections[1]);
  const auto encoded = slacker::testing::EncodeLayer(decoded.layer);
  SLACKER_CHECK(encoded.ok(), "a layer that was decoded is valid");
  SLACKER_CHECK(
      slacker::DecodeRecord(std::make_unique<slacker::MemoryBytes>(encoded->bytes), encoded->record)
          .ok(),
      "it round-trips");
  return 0;
}
