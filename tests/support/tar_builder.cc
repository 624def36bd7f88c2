#include "tests/support/tar_builder.h"

#include <cstdio>
#include <cstring>

#include "backend/base/check.h"

namespace slacker::testing {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kTime = 1'600'000'000;

// POSIX.1-1988 ustar, field offsets as in tar.h.
void Octal(char* field, size_t digits, uint64_t value) {
  for (size_t i = digits; i > 0; --i, value >>= 3)
    field[i - 1] = static_cast<char>('0' + (value & 7));
}

}  // namespace

void TarBuilder::Header(std::string_view name, char type, uint32_t mode, uint64_t size_bytes,
                        std::string_view link) {
  SLACKER_CHECK(name.size() <= 100 && link.size() <= 100, "names of tests fit into ustar");
  char block[kBlock] = {};
  std::memcpy(block, name.data(), name.size());
  Octal(block + 100, 7, mode);
  Octal(block + 108, 7, 0);
  Octal(block + 116, 7, 0);
  Octal(block + 124, 11, size_bytes);
  Octal(block + 136, 11, kTime);
  std::memset(block + 148, ' ', 8);
  block[156] = type;
  if (!link.empty()) std::memcpy(block + 157, link.data(), link.size());
  std::memcpy(block + 257,
              "ustar\0"
              "00",
              8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  Octal(block + 148, 6, sum);
  block[154] = '\0';
  bytes_.append(block, sizeof block);
}

TarBuilder& TarBuilder::Directory(std::string_view name, uint32_t mode) {
  Header(std::string(name) + "/", '5', mode, 0, "");
  return *this;
}

TarBuilder& TarBuilder::File(std::string_view name, std::string_view content, uint32_t mode) {
  Header(name, '0', mode, content.size(), "");
  bytes_ += content;
  bytes_.append((kBlock - content.size() % kBlock) % kBlock, '\0');
  return *this;
}

TarBuilder& TarBuilder::Symlink(std::string_view name, std::string_view target) {
  Header(name, '2', 0777, 0, target);
  return *this;
}

TarBuilder& TarBuilder::HardLink(std::string_view name, std::string_view target) {
  Header(name, '1', 0644, 0, target);
  return *this;
}

std::string TarBuilder::Build() const { return bytes_ + std::string(2 * kBlock, '\0'); }

}  // namespace slacker::testing
