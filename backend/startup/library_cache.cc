#include "backend/startup/library_cache.h"

#include <algorithm>

#include "backend/base/codec.h"

namespace slacker {
namespace {

// glibc, sysdeps/generic/dl-cache.h: the newer format, which may stand behind a table of the older
// one.
constexpr std::string_view kOldMagic = "ld.so-1.7.0";
constexpr std::string_view kNewMagic = "glibc-ld.so.cache1.1";
constexpr size_t kOldHeaderBytes = 16, kOldRowBytes = 12;
constexpr size_t kNewHeaderBytes = 48, kNewRowBytes = 24;
constexpr size_t kAlignment = 8;
constexpr size_t kMaxNameBytes = 4096;

// What begins at `offset` and ends with a NUL; empty where there is no such thing.
std::string_view StringAt(std::string_view bytes, uint64_t offset) {
  if (offset >= bytes.size()) return {};
  const std::string_view rest = bytes.substr(offset, kMaxNameBytes);
  const size_t end = rest.find('\0');
  return end == std::string_view::npos ? std::string_view() : rest.substr(0, end);
}

std::string_view NewPart(std::string_view bytes) {
  if (!bytes.starts_with(kOldMagic)) return bytes;
  Decoder in(bytes.substr(std::min(bytes.size(), kOldHeaderBytes - 4)));
  const uint64_t rows = in.U32();
  const uint64_t end = kOldHeaderBytes + rows * kOldRowBytes;
  const uint64_t begin = (end + kAlignment - 1) / kAlignment * kAlignment;
  return begin < bytes.size() ? bytes.substr(begin) : std::string_view();
}

}  // namespace

absl::flat_hash_map<std::string, std::vector<std::string>> ReadLibraryCache(
    std::string_view bytes) {
  absl::flat_hash_map<std::string, std::vector<std::string>> libraries;
  const std::string_view cache = NewPart(bytes);
  if (!cache.starts_with(kNewMagic) || cache.size() < kNewHeaderBytes) return libraries;
  Decoder head(cache.substr(kNewMagic.size()));
  const uint64_t rows = head.U32();
  Decoder in(cache.substr(kNewHeaderBytes));
  for (uint64_t i = 0; i < rows && in.remaining() >= kNewRowBytes; ++i) {
    (void)in.U32();  // kind of library
    const uint32_t name = in.U32();
    const uint32_t path = in.U32();
    (void)in.U32();  // least version of the kernel
    const uint64_t hardware = in.U64();
    if (hardware != 0) continue;  // better ones for some processors: not known which it will be
    const std::string_view key = StringAt(cache, name);
    const std::string_view value = StringAt(cache, path);
    if (!key.empty() && !value.empty()) libraries[std::string(key)].emplace_back(value);
  }
  return libraries;
}

}  // namespace slacker
