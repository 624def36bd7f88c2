#include "backend/startup/elf_reader.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr size_t kMaxProgramHeaders = 256;
constexpr uint64_t kMaxDynamicBytes = 64 << 10;
constexpr uint64_t kMaxStringsBytes = 1 << 20;
constexpr size_t kMaxNeeded = 512;
constexpr size_t kMaxStringBytes = 4096;

constexpr uint64_t kLoad = 1, kDynamic = 2, kInterpreter = 3;  // p_type
constexpr uint64_t kNull = 0, kNeeded = 1, kStrings = 5, kStringsSize = 10, kRpath = 15,
                   kRunpath = 29;  // d_tag

absl::Status Malformed(const char* what) {
  return InvalidArgument(std::string("ELF file: ") + what);
}

// Numbers at given offsets of a structure; what lies beyond its end reads as zero, and is seen by
// nobody: structures are read whole first.
class Fields {
 public:
  Fields(std::string_view bytes, bool is_64_bit, bool is_little)
      : bytes_(bytes), is_64_bit_(is_64_bit), is_little_(is_little) {}

  uint64_t Number(size_t offset, size_t size) const {
    uint64_t value = 0;
    for (size_t i = 0; i < size && offset + size <= bytes_.size(); ++i) {
      const size_t at = offset + (is_little_ ? size - 1 - i : i);
      value = value << 8 | static_cast<uint8_t>(bytes_[at]);
    }
    return value;
  }
  uint64_t Half(size_t offset) const { return Number(offset, 2); }
  uint64_t Word(size_t offset) const { return Number(offset, 4); }
  // Of the class's natural size.
  uint64_t Long(size_t offset_32, size_t offset_64) const {
    return is_64_bit_ ? Number(offset_64, 8) : Number(offset_32, 4);
  }

 private:
  const std::string_view bytes_;
  const bool is_64_bit_;
  const bool is_little_;
};

struct Segment {
  uint64_t type, offset, address, bytes;
};

class Reader {
 public:
  explicit Reader(const ReadFunction& read) : read_(read) {}

  absl::StatusOr<ElfInfo> Run() {
    RETURN_IF_ERROR(ReadSegments());
    for (const Segment& segment : segments_) {
      if (segment.type == kLoad && segment.bytes > 0) {
        info_.loaded.emplace_back(segment.offset, segment.bytes);
      }
      if (segment.type == kInterpreter) RETURN_IF_ERROR(ReadInterpreter(segment));
      if (segment.type == kDynamic) RETURN_IF_ERROR(ReadDynamic(segment));
    }
    return std::move(info_);
  }

 private:
  Fields FieldsOf(std::string_view bytes) const { return {bytes, info_.is_64_bit, is_little_}; }

  // Exactly so many bytes.
  absl::StatusOr<std::string> ReadAll(uint64_t offset, uint64_t size) {
    ASSIGN_OR_RETURN(std::string bytes, read_(offset, size));
    if (bytes.size() != size) return Malformed("ends too early");
    return bytes;
  }

  absl::Status ReadSegments() {
    constexpr size_t kHeader32 = 52, kHeader64 = 64;
    ASSIGN_OR_RETURN(const std::string header, read_(0, kHeader64));
    if (header.size() < kHeader32 || header.substr(0, 4) !=
                                         "\x7f"
                                         "ELF") {
      return Malformed("not one");
    }
    const char elf_class = header[4];
    const char order = header[5];
    if ((elf_class != 1 && elf_class != 2) || (order != 1 && order != 2)) {
      return Malformed("unknown class or byte order");
    }
    info_.is_64_bit = elf_class == 2;
    is_little_ = order == 1;
    if (info_.is_64_bit && header.size() < kHeader64) return Malformed("ends too early");
    const Fields fields = FieldsOf(header);
    info_.machine = static_cast<uint16_t>(fields.Half(18));
    const uint64_t at = fields.Long(28, 32);
    const uint64_t entry_bytes = fields.Half(info_.is_64_bit ? 54 : 42);
    const uint64_t count = fields.Half(info_.is_64_bit ? 56 : 44);
    if (count > kMaxProgramHeaders) return Malformed("too many program headers");
    if (count == 0) return absl::OkStatus();
    if (entry_bytes != (info_.is_64_bit ? 56u : 32u)) return Malformed("bad program headers");
    ASSIGN_OR_RETURN(const std::string table, ReadAll(at, entry_bytes * count));
    for (uint64_t i = 0; i < count; ++i) {
      const Fields row = FieldsOf(std::string_view(table).substr(i * entry_bytes, entry_bytes));
      segments_.push_back({row.Word(0), row.Long(4, 8), row.Long(8, 16), row.Long(16, 32)});
    }
    return absl::OkStatus();
  }

  absl::Status ReadInterpreter(const Segment& segment) {
    if (segment.bytes == 0 || segment.bytes > kMaxStringBytes) return Malformed("bad interpreter");
    ASSIGN_OR_RETURN(std::string path, ReadAll(segment.offset, segment.bytes));
    info_.interpreter = path.substr(0, path.find('\0'));
    return absl::OkStatus();
  }

  absl::Status ReadDynamic(const Segment& segment) {
    if (segment.bytes > kMaxDynamicBytes) return Malformed("dynamic section too large");
    ASSIGN_OR_RETURN(const std::string table, ReadAll(segment.offset, segment.bytes));
    const size_t row_bytes = info_.is_64_bit ? 16 : 8;
    uint64_t strings = 0, strings_bytes = 0;
    std::vector<std::pair<uint64_t, uint64_t>> wanted;  // tag, offset in the strings
    for (size_t at = 0; at + row_bytes <= table.size(); at += row_bytes) {
      const Fields row = FieldsOf(std::string_view(table).substr(at, row_bytes));
      const uint64_t tag = row.Long(0, 0);
      const uint64_t value = row.Long(4, 8);
      if (tag == kNull) break;
      if (tag == kStrings) strings = value;
      if (tag == kStringsSize) strings_bytes = value;
      if (tag == kNeeded || tag == kRpath || tag == kRunpath) wanted.emplace_back(tag, value);
    }
    if (wanted.empty()) return absl::OkStatus();
    const std::optional<uint64_t> offset = OffsetOf(strings);
    if (!offset.has_value()) return Malformed("its strings are nowhere");
    ASSIGN_OR_RETURN(const std::string text,
                     read_(*offset, std::min(strings_bytes, kMaxStringsBytes)));
    return TakeStrings(wanted, text);
  }

  absl::Status TakeStrings(const std::vector<std::pair<uint64_t, uint64_t>>& wanted,
                           std::string_view text) {
    for (const auto& [tag, at] : wanted) {
      if (at >= text.size()) return Malformed("a string is nowhere");
      std::string_view value = text.substr(at);
      const size_t end = value.find('\0');
      if (end == std::string_view::npos || end > kMaxStringBytes) {
        return Malformed("a string without an end");
      }
      value = value.substr(0, end);
      if (tag == kRpath) info_.rpath = value;
      if (tag == kRunpath) info_.runpath = value;
      if (tag != kNeeded || value.empty()) continue;
      if (info_.needed.size() >= kMaxNeeded) return Malformed("too many libraries");
      info_.needed.emplace_back(value);
    }
    return absl::OkStatus();
  }

  // Where in the file an address is mapped from.
  std::optional<uint64_t> OffsetOf(uint64_t address) const {
    for (const Segment& segment : segments_) {
      if (segment.type != kLoad || address < segment.address) continue;
      const uint64_t within = address - segment.address;
      if (within < segment.bytes && segment.offset <= UINT64_MAX - within) {
        return segment.offset + within;
      }
    }
    return std::nullopt;
  }

  const ReadFunction& read_;
  bool is_little_ = true;
  ElfInfo info_;
  std::vector<Segment> segments_;
};

}  // namespace

absl::StatusOr<ElfInfo> ReadElf(const ReadFunction& read) { return Reader(read).Run(); }

}  // namespace slacker
