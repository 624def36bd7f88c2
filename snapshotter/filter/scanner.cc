#include "snapshotter/filter/scanner.h"

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int kEnd = 0;
constexpr int kIllegalCharacter = -1;

bool IsField(int c) {
  return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool IsOperator(int c) { return c == '=' || c == '!' || c == '~'; }
bool IsSeparator(int c) { return c == ',' || c == '.'; }
bool IsQuote(int c) { return c == '"' || c == '/' || c == '|'; }

// Unicode's White_Space, as Go's unicode.IsSpace has it.
bool IsSpace(int c) {
  return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// Graphic in Go's sense, up to unassigned characters, which are let through: a table of them would
// age with Unicode and refuse nothing of use.
bool IsValue(int c) {
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD;
  const bool format = (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) ||
                      (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF;
  return c > 0 && c != ',' && !IsSpace(c) && !control && !format;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void AppendUtf8(uint32_t code, std::string* out) {
  if (code >= 0xD800 && code <= 0xDFFF) code = 0xFFFD;  // what Go encodes surrogates as
  const auto push = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xC0 | code >> 6);
    push(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    push(0xE0 | code >> 12);
    push(0x80 | (code >> 6 & 0x3F));
    push(0x80 | (code & 0x3F));
  } else {
    push(0xF0 | code >> 18);
    push(0x80 | (code >> 12 & 0x3F));
    push(0x80 | (code >> 6 & 0x3F));
    push(0x80 | (code & 0x3F));
  }
}

constexpr std::string_view kEscapes = "abfnrtv\\";
constexpr std::string_view kEscaped = "\a\b\f\n\r\t\v\\";

// Reads `digits` digits of `base` from `*in`; -1 when they are not there.
int64_t TakeDigits(std::string_view* in, size_t digits, int base) {
  if (in->size() < digits) return -1;
  int64_t value = 0;
  for (size_t i = 0; i < digits; ++i) {
    const int digit = HexDigit((*in)[i]);
    if (digit < 0 || digit >= base) return -1;
    value = value * base + digit;
  }
  in->remove_prefix(digits);
  return value;
}

// `*in` begins behind a backslash.
bool AppendEscape(std::string_view* in, char quote, std::string* out) {
  if (in->empty()) return false;
  const char c = in->front();
  if (c >= '0' && c <= '7') {
    const int64_t value = TakeDigits(in, 3, 8);
    if (value < 0 || value > 0xFF) return false;
    out->push_back(static_cast<char>(value));
    return true;
  }
  in->remove_prefix(1);
  if (const size_t known = kEscapes.find(c); known != std::string_view::npos) {
    out->push_back(kEscaped[known]);
    return true;
  }
  if (c == quote) {
    out->push_back(c);
    return true;
  }
  if (c == 'x') {
    const int64_t value = TakeDigits(in, 2, 16);
    if (value >= 0) out->push_back(static_cast<char>(value));
    return value >= 0;
  }
  if (c != 'u' && c != 'U') return false;
  const int64_t value = TakeDigits(in, c == 'u' ? 4 : 8, 16);
  if (value < 0 || value > 0x10FFFF) return false;
  AppendUtf8(static_cast<uint32_t>(value), out);
  return true;
}

}  // namespace

FilterScanner::Character FilterScanner::Decode(size_t at) const {
  if (at >= input_.size()) return {kEnd, 0};
  const auto byte = [this, at](size_t i) -> uint32_t {
    return at + i < input_.size() ? static_cast<uint8_t>(input_[at + i]) : 0;
  };
  const uint32_t lead = byte(0);
  if (lead == 0) return {kIllegalCharacter, 1};
  if (lead < 0x80) return {static_cast<int>(lead), 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return {kIllegalCharacter, 1};
  uint32_t code = lead & (0x7FU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {kIllegalCharacter, 1};
    code = code << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  // U+FFFD is what Go's decoder reports errors as, so containerd cannot tell it from one.
  if (overlong || surrogate || code > 0x10FFFF || code == 0xFFFD) return {kIllegalCharacter, 1};
  return {static_cast<int>(code), bytes};
}

int FilterScanner::PeekCharacter() const { return Decode(position_).code; }

Token FilterScanner::Make(TokenKind kind, size_t begin) const {
  return {.kind = kind, .position = begin, .text = input_.substr(begin, position_ - begin)};
}

Token FilterScanner::Illegal(size_t begin, std::string_view why) {
  error_ = why;
  return Make(TokenKind::kIllegal, begin);
}

Token FilterScanner::Quoted(size_t begin, int quote) {
  position_ = begin + 1;
  while (true) {
    const Character c = Decode(position_);
    if (c.code == kEnd || c.code == '\n') return Illegal(begin, "quoted text is not terminated");
    if (c.code == kIllegalCharacter) return Illegal(begin, "quoted text is not UTF-8");
    position_ += c.bytes;
    if (c.code == quote) return Make(TokenKind::kQuoted, begin);
    if (c.code == '\\') position_ += Decode(position_).bytes;  // checked by UnquoteFilterToken
  }
}

Token FilterScanner::Next() {
  while (IsSpace(Decode(position_).code)) position_ += Decode(position_).bytes;
  const size_t begin = position_;
  const Character c = Decode(begin);
  if (c.code == kEnd) return Make(TokenKind::kEnd, begin);
  if (c.code == kIllegalCharacter) return Illegal(begin, "not UTF-8, or a NUL");
  if (IsQuote(c.code)) {
    value_next_ = false;
    return Quoted(begin, c.code);
  }
  const auto take_while = [this](bool (*accepts)(int)) {
    for (Character next = Decode(position_); next.code > 0 && accepts(next.code);
         next = Decode(position_)) {
      position_ += next.bytes;
    }
  };
  position_ += c.bytes;
  if (IsSeparator(c.code)) {
    value_next_ = false;
    return Make(TokenKind::kSeparator, begin);
  }
  if (IsOperator(c.code)) {
    take_while(IsOperator);
    value_next_ = true;
    return Make(TokenKind::kOperator, begin);
  }
  if (value_next_) {
    if (!IsValue(c.code)) return Illegal(begin, "a character that a value cannot begin with");
    take_while(IsValue);
    value_next_ = false;
    return Make(TokenKind::kValue, begin);
  }
  if (!IsField(c.code)) return Illegal(begin, "a character that cannot stand here");
  take_while(IsField);
  return Make(TokenKind::kField, begin);
}

absl::StatusOr<std::string> UnquoteFilterToken(std::string_view token) {
  if (token.size() < 2 || token.front() != token.back())
    return InvalidArgument("unbalanced quotes");
  const char quote = token.front();
  std::string_view in = token.substr(1, token.size() - 2);
  std::string out;
  while (!in.empty()) {
    const char c = in.front();
    in.remove_prefix(1);
    if (c == quote || c == '\n') return InvalidArgument("a bare quote or line feed");
    if (c != '\\') {
      out.push_back(c);
    } else if (!AppendEscape(&in, quote, &out)) {
      return InvalidArgument("a malformed escape sequence");
    }
  }
  return out;
}

}  // namespace slacker
