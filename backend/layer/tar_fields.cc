#include "backend/layer/tar_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / 1'000'000'000;
constexpr int64_t kMaxNanos = std::numeric_limits<int64_t>::max() % 1'000'000'000;

bool IsPadding(char c) { return c == ' ' || c == '\0'; }

// A signed decimal number that fills `text`.
bool ParseDecimal(std::string_view text, int64_t* value) {
  if (!text.empty() && text[0] == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '-') return false;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

// Keys hold no NUL; the values that are strings of a ustar header hold none either.
bool IsValidRecord(std::string_view key, std::string_view value) {
  if (key.empty()) return false;
  if (key == "path" || key == "linkpath" || key == "uname" || key == "gname") {
    return value.find('\0') == std::string_view::npos;
  }
  return key.find('\0') == std::string_view::npos;
}

}  // namespace

std::string_view TarString(std::string_view field) { return field.substr(0, field.find('\0')); }

int64_t TarNumbers::Octal(std::string_view field) {
  while (!field.empty() && IsPadding(field.front())) field.remove_prefix(1);
  while (!field.empty() && IsPadding(field.back())) field.remove_suffix(1);
  if (field.empty()) return 0;
  field = TarString(field);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (error != std::errc() || end != field.data() + field.size()) return Fail();
  return static_cast<int64_t>(value);
}

int64_t TarNumbers::Numeric(std::string_view field) {
  if (field.empty() || (static_cast<uint8_t>(field[0]) & 0x80) == 0) return Octal(field);
  const uint8_t invert = (static_cast<uint8_t>(field[0]) & 0x40) != 0 ? 0xff : 0;
  uint64_t value = 0;
  for (size_t i = 0; i < field.size(); ++i) {
    uint8_t byte = static_cast<uint8_t>(field[i]) ^ invert;
    if (i == 0) byte &= 0x7f;
    if (value >> 56 != 0) return Fail();
    value = value << 8 | byte;
  }
  if (value >> 63 != 0) return Fail();
  return static_cast<int64_t>(invert != 0 ? ~value : value);
}

int64_t TarNumbers::Decimal(std::string_view text) {
  int64_t value = 0;
  return ParseDecimal(text, &value) ? value : Fail();
}

void TarNumbers::Time(std::string_view text, int64_t* seconds, uint32_t* nanos) {
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  *seconds = Decimal(whole);
  *nanos = 0;
  const std::string_view fraction =
      dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
  uint32_t unit = 100'000'000;
  for (const char digit : fraction) {
    if (digit < '0' || digit > '9') {
      Fail();
      return;
    }
    *nanos += static_cast<uint32_t>(digit - '0') * unit;
    unit /= 10;
  }
  // A fraction counts away from 0, so that everything with a minus sign lies before 1970.
  if (whole.substr(0, 1) == "-") *seconds = *nanos = 0;
  BoundTarTime(seconds, nanos);
}

void BoundTarTime(int64_t* seconds, uint32_t* nanos) {
  if (*seconds < 0 || *seconds > kMaxSeconds || (*seconds == kMaxSeconds && *nanos > kMaxNanos)) {
    *seconds = 0;
    *nanos = 0;
  }
}

std::string_view PaxRecords::Get(std::string_view key) const {
  const auto found = records.find(key);
  return found == records.end() ? std::string_view() : found->second;
}

absl::Status ParsePaxRecords(std::string_view content, PaxRecords* out) {
  const absl::Status malformed = InvalidArgument("malformed extended header");
  bool expect_offset = true;
  while (!content.empty()) {
    const size_t space = content.find(' ');
    int64_t length = 0;
    if (space == std::string_view::npos || !ParseDecimal(content.substr(0, space), &length) ||
        length < 5 || static_cast<uint64_t>(length) > content.size() ||
        static_cast<size_t>(length) <= space + 1) {
      return malformed;
    }
    const std::string_view record =
        content.substr(space + 1, static_cast<size_t>(length) - space - 1);
    content.remove_prefix(static_cast<size_t>(length));
    const size_t equals = record.find('=');
    if (record.back() != '\n' || equals == std::string_view::npos) return malformed;
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1, record.size() - equals - 2);
    if (!IsValidRecord(key, value)) return malformed;
    if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") {
      if (expect_offset != (key == "GNU.sparse.offset")) return malformed;
      if (value.find(',') != std::string_view::npos) return malformed;
      expect_offset = !expect_offset;
      out->has_sparse_pairs = true;
    } else {
      out->records[key] = value;
    }
  }
  return absl::OkStatus();
}

}  // namespace slacker
