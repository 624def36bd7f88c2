// Locations: the input as it is, and with the checksum that it needs.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "backend/base/codec.h"
#include "backend/base/digest.h"
#include "backend/store/locations_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  std::string sound = input;
  slacker::Encoder(&sound).Hash(slacker::Sha256::Of(input));
  for (const std::string& bytes : {input, sound}) {
    slacker::Decoder in(bytes);
    (void)in.Raw(8);  // magic and version
    const slacker::Digest name = in.Hash();
    // The number of rows stands behind the name.
    slacker::Decoder rows(std::string_view(bytes).substr(std::min<size_t>(bytes.size(), 40)));
    (void)slacker::DecodeLocations(bytes, name, rows.U32());
  }
  return 0;
}
