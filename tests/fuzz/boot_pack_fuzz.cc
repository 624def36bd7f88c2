// Boot packs: the table, as it is and with the checksum that it needs, and every window it tells of.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/codec.h"
#include "backend/base/digest.h"
#include "backend/store/boot_pack.h"

namespace {

constexpr size_t kChecksum = 32;

void Try(std::string_view bytes, const slacker::TableVector<slacker::Chunk>& chunks) {
  slacker::Decoder in(bytes);
  (void)in.Raw(slacker::kBootHeadBytes);
  const auto table = slacker::DecodeBootTable(bytes, in.Hash());
  if (!table.ok()) return;
  const std::vector<const slacker::TableVector<slacker::Chunk>*> tables(table->records.size(),
                                                                        &chunks);
  for (const auto& window : table->windows) {
    if (window.offset > bytes.size()) return;
    const std::string_view stored = bytes.substr(window.offset, window.stored_bytes);
    (void)slacker::UnpackBootWindow(window, stored, tables);
    if (window.pages.has_value()) (void)slacker::UnpackBootPages(window, stored);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  slacker::TableVector<slacker::Chunk> chunks(8);
  for (uint32_t i = 0; i < chunks.size(); ++i) chunks[i].size_bytes = 16 << i;
  Try(input, chunks);
  if (size < slacker::kBootHeadBytes) return 0;
  const auto needed = slacker::BootTableBytes(input);
  if (!needed.ok() || size < *needed) return 0;
  slacker::Decoder head(std::string_view(input).substr(slacker::kBootHeadBytes - 4));
  const size_t body = slacker::kBootHeadBytes + size_t{head.U32()};
  std::string sound = input.substr(0, body);
  slacker::Encoder(&sound).Hash(slacker::Sha256::Of(sound));
  Try(sound + input.substr(body + kChecksum), chunks);
  const std::vector<slacker::PublicKey> keys = {slacker::PublicKey()};
  (void)slacker::CheckBootSignature(input, keys);
  return 0;
}
