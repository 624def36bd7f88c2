// Layer records. Digests would stop nearly every mutation, so the input is what lies behind them:
// the record's fields, then its four sections and the two of its tar part, each after its length.
#include <cstdint>
#include <string>
#include <string_view>

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/record/layer_codec.h"
#include "backend/record/layer_tables.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // As an object, under the name that its header asks for.
  slacker::Decoder whole(input);
  const std::string_view header = whole.Raw(whole.U32());
  (void)slacker::DecodeRecord(input, slacker::Sha256::Of(header));

  slacker::Decoder in(input);
  slacker::PagedObject record;
  slacker::PagedObject tar;
  record.fields = in.Raw(slacker::kRecordFieldsBytes);
  for (int i = 0; i < 4; ++i) record.sections.emplace_back(in.Bytes());
  tar.fields = in.Raw(slacker::kTarFieldsBytes);
  for (int i = 0; i < 2; ++i) tar.sections.emplace_back(in.Bytes());
  if (!in.ok()) return 0;
  slacker::DecodedRecord decoded;
  if (!slacker::DecodeRecordTables(record, &decoded).ok()) return 0;
  if (!slacker::DecodeTarTables(tar, &decoded.layer).ok()) return 0;
  const auto encoded = slacker::EncodeLayer(decoded.layer);
  SLACKER_CHECK(encoded.ok(), "a layer that was decoded is valid");
  SLACKER_CHECK(slacker::DecodeRecord(encoded->bytes, encoded->record).ok(), "it round-trips");
  return 0;
}
