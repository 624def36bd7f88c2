// Tokens of the filter language. Private to snapshotter/filter. Thread-compatible.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker {

enum class TokenKind { kEnd, kQuoted, kValue, kField, kSeparator, kOperator, kIllegal };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  size_t position = 0;    // in bytes
  std::string_view text;  // points into the input; with its quotes
};

// Splits a filter into tokens. Whether a run of characters is a field or a value depends on what
// came before it: a value follows an operator.
class FilterScanner {
 public:
  explicit FilterScanner(std::string_view input) : input_(input) {}

  Token Next();
  // The next character, blanks included, without consuming it; 0 at the end, -1 when it is illegal.
  int PeekCharacter() const;
  size_t position() const { return position_; }
  // Why the last token is illegal.
  const std::string& error() const { return error_; }

 private:
  struct Character {
    int code = 0;  // Unicode; 0 at the end, -1 when it is illegal
    size_t bytes = 0;
  };
  Character Decode(size_t at) const;
  Token Make(TokenKind kind, size_t begin) const;
  Token Illegal(size_t begin, std::string_view why);
  Token Quoted(size_t begin, int quote);

  const std::string_view input_;
  size_t position_ = 0;
  bool value_next_ = false;
  std::string error_;
};

// The content of a quoted token, by Go's rules for strings; `quote` characters other than '"' are
// treated like it. INVALID_ARGUMENT when it breaks them.
absl::StatusOr<std::string> UnquoteFilterToken(std::string_view token);

}  // namespace slacker
