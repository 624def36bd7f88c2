// Writes small ELF files: headers, an interpreter, a dynamic section and its strings, and content
// that is mapped. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace slacker::testing {

struct ElfBuilder {
  bool is_64_bit = true;
  bool is_little = true;
  uint16_t machine = 62;  // x86-64
  std::string interpreter = {};
  std::vector<std::string> needed = {};
  std::string rpath = {}, runpath = {};
  size_t content_bytes = 0;   // mapped, behind all of this
  size_t unmapped_bytes = 0;  // at the end of the file, as debugging information is

  std::string Build() const;
};

}  // namespace slacker::testing
