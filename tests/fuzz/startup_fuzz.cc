// What is read of an image to guess its start: an ELF file, and a cache of libraries.
#include <algorithm>
#include <cstdint>
#include <string>

#include "backend/startup/elf_reader.h"
#include "backend/startup/library_cache.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  (void)slacker::ReadElf([&input](uint64_t offset, uint64_t bytes) -> absl::StatusOr<std::string> {
    return offset < input.size() ? input.substr(offset, bytes) : std::string();
  });
  (void)slacker::ReadLibraryCache(input);
  return 0;
}
