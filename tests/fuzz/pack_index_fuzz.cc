// Indexes: the input as it is; with the checksums that it needs; and as what an index is made of.
#include <cstdint>
#include <string>
#include <vector>

#include "backend/base/codec.h"
#include "backend/base/digest.h"
#include "backend/store/pack_index.h"

namespace {

// The directory that `input` would be, with its checksum.
std::string Directory(const std::string& input, const slacker::Digest& id) {
  slacker::Sha256 hash;
  hash.Update(slacker::AsText(id.bytes));
  hash.Update(input);
  std::string bytes = input;
  slacker::Encoder out(&bytes);
  out.Hash(hash.Finish());
  out.U32(static_cast<uint32_t>(bytes.size()));
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const slacker::Digest id = slacker::Sha256::Of("id");
  (void)slacker::DecodePackIndex(input, id);
  (void)slacker::DecodePackIndex(Directory(input, id), id);
  const std::string directory = Directory(input, id);
  for (uint64_t rows = 0; rows < 4; ++rows) {
    const uint64_t length = directory.size() + 8 + rows * 52 + 16;
    const auto decoded = slacker::DecodeIndexDirectory(directory, id, length);
    if (decoded.ok()) (void)slacker::DecodeIndexBucket(input, *decoded, 0);
  }
  return 0;
}
