// Writes tars with full control over every header field, damaged and unusual ones included.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/layer/tar_reader.h"

namespace slacker::testing {

// One header block. Numbers are written in octal, or in base 256 where they do not fit.
struct TarBlock {
  std::string name;
  char type = '0';
  std::string link_name;
  int64_t mode = 0644;
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t size = 0;
  int64_t mtime = 1'600'000'000;
  int64_t dev_major = 0;
  int64_t dev_minor = 0;
  std::string magic = std::string(
      "ustar\0"
      "00",
      8);
  std::string prefix;
  // Bytes put over the block before the checksum is computed: offset and text.
  std::vector<std::pair<size_t, std::string>> raw;

  std::string Encode() const;
};

TarBlock MakeBlock(std::string name, char type = '0');
TarBlock MakeDevice(std::string name, char type, int64_t major, int64_t minor);
// Bytes without a pattern, the same every time.
std::string Noise(size_t size);

inline const std::string kGnuMagic("ustar  \0", 8);
inline const std::string kV7Magic(8, '\0');

using PaxList = std::vector<std::pair<std::string, std::string>>;

// The records of an extended header.
std::string PaxContent(const PaxList& records);

// Thread-compatible.
class TarBuilder {
 public:
  // The header, then the content, padded. Sets the size field unless `keep_size`.
  TarBuilder& Add(TarBlock block, std::string_view content = {}, bool keep_size = false);
  TarBuilder& File(std::string name, std::string_view content, int64_t mode = 0644);
  TarBuilder& Directory(std::string name, int64_t mode = 0755);
  TarBuilder& Symlink(std::string name, std::string target);
  TarBuilder& Link(std::string name, std::string target);
  TarBuilder& Pax(const PaxList& records, char type = 'x');
  // A GNU long name ('L') or link name ('K').
  TarBuilder& GnuLong(char type, std::string_view text);
  TarBuilder& Raw(std::string_view bytes);
  // The bytes so far and the end of the archive: two blocks of zeros.
  std::string End() const { return bytes_ + std::string(1024, '\0'); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Gives `bytes` in pieces of `step` bytes; then, if it is not OK, `end`.
class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string_view bytes, size_t step = 1 << 20,
                        absl::Status end = absl::OkStatus())
      : bytes_(bytes), step_(step), end_(std::move(end)) {}
  absl::StatusOr<std::string_view> Next() override {
    if (bytes_.empty() && !end_.ok()) return end_;
    const std::string_view next = bytes_.substr(0, step_);
    bytes_.remove_prefix(next.size());
    return next;
  }

 private:
  std::string_view bytes_;
  const size_t step_;
  const absl::Status end_;
};

}  // namespace slacker::testing
