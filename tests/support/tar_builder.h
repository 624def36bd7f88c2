// Small tars for tests (ustar). Names and contents are taken as they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace slacker::testing {

class TarBuilder {
 public:
  TarBuilder& Directory(std::string_view name, uint32_t mode = 0755);
  TarBuilder& File(std::string_view name, std::string_view content, uint32_t mode = 0644);
  TarBuilder& Symlink(std::string_view name, std::string_view target);
  TarBuilder& HardLink(std::string_view name, std::string_view target);
  // The tar with its end-of-archive blocks.
  std::string Build() const;

 private:
  void Header(std::string_view name, char type, uint32_t mode, uint64_t size_bytes,
              std::string_view link);
  std::string bytes_;
};

}  // namespace slacker::testing
