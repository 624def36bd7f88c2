// Intents and leases: the input as it is, and with the checksum that it needs.
#include <cstdint>
#include <string>

#include "backend/base/codec.h"
#include "backend/base/digest.h"
#include "backend/store/references.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  std::string sound = input;
  slacker::Encoder(&sound).Hash(slacker::Sha256::Of(input));
  for (const std::string& bytes : {input, sound}) {
    const auto references = slacker::DecodeReferences(bytes);
    // What is accepted is the only form of what it says.
    if (references.ok() && slacker::EncodeReferences(*references) != bytes) __builtin_trap();
  }
  return 0;
}
