#include "backend/layer/tar_header.h"

#include <algorithm>

#include "backend/base/status.h"
#include "backend/layer/tar_fields.h"

namespace slacker {
namespace {

constexpr size_t kMaxSpecialBytes = 1 << 20;  // content of one extended header or long name
constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";

enum class Dialect { kV7, kUstar, kStar, kGnu };

absl::Status Malformed(std::string_view what) {
  return InvalidArgument(std::string("malformed tar header: ") + std::string(what));
}

bool IsZeroBlock(std::string_view block) {
  return block.find_first_not_of('\0') == std::string_view::npos;
}

// Both ways of summing that writers have used are accepted.
bool ChecksumMatches(std::string_view block) {
  TarNumbers numbers;
  const int64_t stated = numbers.Octal(block.substr(148, 8));
  int64_t as_unsigned = 0;
  int64_t as_signed = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    as_unsigned += static_cast<uint8_t>(c);
    as_signed += static_cast<int8_t>(c);
  }
  return numbers.ok() && (stated == as_unsigned || stated == as_signed);
}

Dialect DialectOf(std::string_view block) {
  const std::string_view magic = block.substr(257, 6);
  if (magic == std::string_view("ustar\0", 6)) {
    return block.substr(508, 4) == std::string_view("tar\0", 4) ? Dialect::kStar : Dialect::kUstar;
  }
  return block.substr(257, 8) == std::string_view("ustar  \0", 8) ? Dialect::kGnu : Dialect::kV7;
}

// What stands before the name; Go once wrote prefixes into GNU headers, where times belong.
std::string_view PrefixOf(std::string_view block, Dialect dialect, TarNumbers* numbers) {
  if (dialect == Dialect::kUstar) return TarString(block.substr(345, 155));
  if (dialect == Dialect::kStar) {
    (void)numbers->Numeric(block.substr(476, 12));  // a malformed time is an error
    (void)numbers->Numeric(block.substr(488, 12));
    return TarString(block.substr(345, 131));
  }
  if (dialect == Dialect::kV7) return {};
  TarNumbers times;
  if (block[345] != '\0') (void)times.Numeric(block.substr(345, 12));
  if (block[357] != '\0') (void)times.Numeric(block.substr(357, 12));
  if (times.ok()) return {};
  const std::string_view prefix = TarString(block.substr(345, 155));
  const bool ascii = std::all_of(prefix.begin(), prefix.end(),
                                 [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  return ascii ? prefix : std::string_view();
}

// The fields of the header block alone. `size` is the size field.
absl::Status ParseBlock(std::string_view block, TarHeader* header, int64_t* size) {
  if (!ChecksumMatches(block)) return Malformed("wrong checksum");
  TarNumbers numbers;
  header->type = block[156];
  header->name = TarString(block.substr(0, 100));
  header->link_name = TarString(block.substr(157, 100));
  header->mode = numbers.Numeric(block.substr(100, 8));
  header->uid = numbers.Numeric(block.substr(108, 8));
  header->gid = numbers.Numeric(block.substr(116, 8));
  *size = numbers.Numeric(block.substr(124, 12));
  header->mtime_seconds = numbers.Numeric(block.substr(136, 12));
  header->mtime_nanos = 0;
  BoundTarTime(&header->mtime_seconds, &header->mtime_nanos);
  const Dialect dialect = DialectOf(block);
  if (dialect != Dialect::kV7) {
    header->dev_major = numbers.Numeric(block.substr(329, 8));
    header->dev_minor = numbers.Numeric(block.substr(337, 8));
    const std::string_view prefix = PrefixOf(block, dialect, &numbers);
    if (!prefix.empty()) header->name = std::string(prefix) + "/" + header->name;
  }
  if (!numbers.ok()) return Malformed("a number");
  return absl::OkStatus();
}

bool HasNoPayload(char type) { return type >= kTarLink && type <= kTarFifo; }

// What extended records say instead of the header block; empty values leave it as it is.
absl::Status MergeRecords(const PaxRecords& pax, TarHeader* header, int64_t* size) {
  TarNumbers numbers;
  int64_t ignored_seconds = 0;
  uint32_t ignored_nanos = 0;
  for (const auto& [key, value] : pax.records) {
    if (key.substr(0, kXattrPrefix.size()) == kXattrPrefix) {
      header->xattrs.emplace_back(key.substr(kXattrPrefix.size()), value);
    }
    if (value.empty()) continue;
    if (key == "path") {
      header->name = value;
    } else if (key == "linkpath") {
      header->link_name = value;
    } else if (key == "uid") {
      header->uid = numbers.Decimal(value);
    } else if (key == "gid") {
      header->gid = numbers.Decimal(value);
    } else if (key == "size") {
      *size = numbers.Decimal(value);
    } else if (key == "mtime") {
      numbers.Time(value, &header->mtime_seconds, &header->mtime_nanos);
    } else if (key == "atime" || key == "ctime") {
      numbers.Time(value, &ignored_seconds, &ignored_nanos);
    }
  }
  if (!numbers.ok()) return Malformed("a number in an extended header");
  return absl::OkStatus();
}

// The map of the formats 0.0 and 0.1 must have as many pairs of numbers as it says.
bool IsSparseMapValid(const PaxRecords& pax) {
  TarNumbers numbers;
  auto found = static_cast<int64_t>(pax.sparse_numbers);
  if (found == 0) {
    std::string_view map = pax.Get("GNU.sparse.map");
    while (!map.empty()) {
      const size_t comma = map.find(',');
      (void)numbers.Decimal(map.substr(0, comma));
      ++found;
      if (comma == map.size() - 1) return false;  // nothing after it
      map.remove_prefix(comma == std::string_view::npos ? map.size() : comma + 1);
    }
  }
  const int64_t stated = numbers.Decimal(pax.Get("GNU.sparse.numblocks"));
  return numbers.ok() && pax.sparse_numbers_valid && found % 2 == 0 && stated == found / 2;
}

// GNU's sparse formats 0.0, 0.1 and 1.0 state the name and the size in records of their own.
absl::Status MergeSparse(const PaxRecords& pax, TarHeader* header) {
  const std::string_view major = pax.Get("GNU.sparse.major");
  const std::string_view minor = pax.Get("GNU.sparse.minor");
  const bool has_map = pax.sparse_numbers > 0 || !pax.Get("GNU.sparse.map").empty();
  const bool version_0 = major == "0" && (minor == "0" || minor == "1");
  const bool version_1 = major == "1" && minor == "0";
  const bool unversioned = major.empty() && minor.empty() && has_map;
  if (!version_0 && !version_1 && !unversioned) return absl::OkStatus();
  if (HasNoPayload(header->type)) return Malformed("a sparse entry that is no file");
  if (!version_1 && !IsSparseMapValid(pax)) return Malformed("the map of a sparse file");
  if (const std::string_view name = pax.Get("GNU.sparse.name"); !name.empty()) header->name = name;
  std::string_view size = pax.Get("GNU.sparse.size");
  if (size.empty()) size = pax.Get("GNU.sparse.realsize");
  if (!size.empty()) {
    TarNumbers numbers;
    const int64_t value = numbers.Decimal(size);
    if (!numbers.ok() || value < 0) return Malformed("the size of a sparse file");
    header->size_bytes = static_cast<uint64_t>(value);
  }
  header->sparse = true;
  header->has_map = version_1;
  return absl::OkStatus();
}

// Reads one header after another; what extends the next entry is kept until it comes.
class Walker {
 public:
  explicit Walker(std::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<TarHeaderStep> Next() {
    while (true) {
      TarHeaderStep step;
      step.consumed = pos_;
      if (pos_ == bytes_.size()) return step;
      if (bytes_.size() - pos_ < kTarBlock) return Malformed("truncated");
      const std::string_view block = bytes_.substr(pos_, kTarBlock);
      if (IsZeroBlock(block)) return step;
      int64_t size = 0;
      RETURN_IF_ERROR(ParseBlock(block, &step.header, &size));
      if (size < 0 && !HasNoPayload(step.header.type)) return Malformed("a negative size");
      pos_ += kTarBlock;
      const char type = step.header.type;
      if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
        RETURN_IF_ERROR(TakeSpecial(type, static_cast<uint64_t>(size)));
        if (type != kTarGlobal) continue;
        RETURN_IF_ERROR(MergeRecords(pax_, &step.header, &size));
        step.kind = TarHeaderStep::Kind::kGlobal;
      } else {
        RETURN_IF_ERROR(Complete(&step.header, size));
        step.kind = TarHeaderStep::Kind::kEntry;
      }
      step.consumed = pos_;
      return step;
    }
  }

 private:
  absl::Status TakeSpecial(char type, uint64_t size) {
    if (size > kMaxSpecialBytes) return Malformed("an extended header of more than 1 MiB");
    if (TarPadded(size) > bytes_.size() - pos_) return Malformed("truncated");
    const std::string_view content = bytes_.substr(pos_, size);
    pos_ += TarPadded(size);
    if (type == 'L') long_name_ = TarString(content);
    if (type == 'K') long_link_ = TarString(content);
    if (type == 'L' || type == 'K') return absl::OkStatus();
    pax_ = PaxRecords();
    return ParsePaxRecords(content, &pax_);
  }

  absl::Status Complete(TarHeader* header, int64_t size) const {
    RETURN_IF_ERROR(MergeRecords(pax_, header, &size));
    if (!long_name_.empty()) header->name = long_name_;
    if (!long_link_.empty()) header->link_name = long_link_;
    if (header->type == '\0') {
      const bool slash = !header->name.empty() && header->name.back() == '/';
      header->type = slash ? kTarDirectory : kTarRegular;
    }
    if (!HasNoPayload(header->type)) {
      if (size < 0) return Malformed("a negative size");
      header->stored_bytes = header->size_bytes = static_cast<uint64_t>(size);
    }
    return MergeSparse(pax_, header);
  }

  const std::string_view bytes_;
  size_t pos_ = 0;
  PaxRecords pax_;
  std::string_view long_name_, long_link_;
};

}  // namespace

absl::StatusOr<TarHeaderStep> NextTarHeader(std::string_view bytes) { return Walker(bytes).Next(); }

}  // namespace slacker
