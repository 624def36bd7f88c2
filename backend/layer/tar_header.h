// The raw headers of a tar stream, read beside libarchive: what libarchive does not hand out byte
// for byte (names, extended attributes, times) or decodes differently from containerd's reader.
//
// The rules are those of Go's archive/tar, which decides what containerd unpacks: which dialects
// have a prefix, which records override which fields, which numbers are malformed. Formats: POSIX
// pax(1) (ustar and extended headers), the GNU tar manual ("Basic Tar Format", "Sparse Formats").
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/record/layer.h"

namespace slacker {

inline constexpr size_t kTarBlock = 512;

// The type flags that have a meaning here; others are passed on as they are.
enum TarType : char {
  kTarRegular = '0',
  kTarLink = '1',
  kTarSymlink = '2',
  kTarChar = '3',
  kTarBlockDevice = '4',
  kTarDirectory = '5',
  kTarFifo = '6',
  kTarGlobal = 'g',
};

struct TarHeader {
  char type = kTarRegular;  // '\0' has become a file or a directory
  std::string name;         // as it stands in the tar: not cleaned
  std::string link_name;
  int64_t mode = 0;
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t dev_major = 0;
  int64_t dev_minor = 0;
  int64_t mtime_seconds = 0;  // times before 1970 or beyond 2^63 ns are 0, as containerd sets them
  uint32_t mtime_nanos = 0;
  uint64_t size_bytes = 0;    // of the file
  uint64_t stored_bytes = 0;  // in the stream after the header; includes the map of sparse 1.0
  bool sparse = false;        // of GNU's PAX formats
  bool has_map = false;       // sparse 1.0: the payload begins with a map
  std::vector<Xattr> xattrs;  // every SCHILY.xattr record; names unique, sorted
};

struct TarHeaderStep {
  enum class Kind { kEntry, kGlobal, kEnd };
  Kind kind = Kind::kEnd;
  TarHeader header;     // kEntry; of kGlobal only the type and the name
  size_t consumed = 0;  // bytes of `bytes` up to the end of the header
};

// Reads the headers at the start of `bytes` up to that of the next entry, or of a global extended
// header including its content. kEnd: `bytes` begins with a block of zeros or is empty (headers
// that extend an entry which does not follow are consumed before). INVALID_ARGUMENT for what Go's
// reader refuses, and where `bytes` ends within a header. Thread-safe.
absl::StatusOr<TarHeaderStep> NextTarHeader(std::string_view bytes);

// The size with its padding to whole blocks.
inline uint64_t TarPadded(uint64_t size) { return (size + kTarBlock - 1) / kTarBlock * kTarBlock; }

}  // namespace slacker
