// What the dynamic linker wants to know of an ELF file: read from images, so from bytes that nobody
// vouches for. 32 and 64 bits, both byte orders.
//
// Limits, beyond which a file counts as malformed: 256 program headers, 64 KiB of dynamic section,
// 1 MiB of its strings, 512 needed libraries, 4096 bytes in a string. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace slacker {

struct ElfInfo {
  bool is_64_bit = false;
  uint16_t machine = 0;
  std::string interpreter;  // PT_INTERP; "" = none
  std::vector<std::string> needed;
  std::string rpath, runpath;  // as they stand there: separated by colons
  // What of the file is mapped: (offset, bytes) of each PT_LOAD.
  std::vector<std::pair<uint64_t, uint64_t>> loaded;

  // Whether a process of the one can load the other.
  bool IsCompatible(const ElfInfo& other) const {
    return is_64_bit == other.is_64_bit && machine == other.machine;
  }
};

// [offset, offset + size) of a file; fewer bytes where it ends before.
using ReadFunction = std::function<absl::StatusOr<std::string>(uint64_t offset, uint64_t size)>;

// INVALID_ARGUMENT when it is no ELF file, or a malformed one; errors of `read` as they are.
absl::StatusOr<ElfInfo> ReadElf(const ReadFunction& read);

}  // namespace slacker
