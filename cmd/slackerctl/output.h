// What people and programs read of slackerctl.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "backend/store/store.h"

namespace slacker::ctl {

// Where output goes. `interactive`: `err` is a terminal, on which lines can be overwritten.
// `terminal`: `out` is one, so that people read it; else programs do.
struct Console {
  std::ostream& out;
  std::ostream& err;
  bool interactive = false;
  bool terminal = false;
};

// "0 B", "1023 B", "1.5 KiB", "12 MiB": at most four digits.
std::string HumanSize(uint64_t bytes);
// "1 layer", "2 layers".
std::string Counted(uint64_t count, std::string_view what);
// UTC, "2026-01-02T03:04:05Z".
std::string FormatTime(int64_t unix_seconds);
// Messages, with '?' for control characters: text from outside must not steer a terminal.
std::string Printable(std::string_view text);
// "sha256:" and twelve digits, for tables.
std::string ShortDigest(const Digest& digest);

// Names in images and stores are bytes. What could steer a terminal or break a line is written as
// `ls -b` does: \n, \t, \\, or \ooo (octal) for every byte of what is neither printable nor UTF-8.
std::string Escape(std::string_view bytes);

// One value for people, and exactly for programs. Both are escaped when they are printed.
struct Cell {
  std::string text;
  std::string exact;
};
Cell TextCell(std::string_view text);
Cell CountCell(uint64_t count);
Cell SizeCell(uint64_t bytes);
Cell DigestCell(const Digest& digest);

// On a terminal rows under a header, in columns as wide as they need to be, separated by two
// spaces. Elsewhere each row is a line, its cells separated by tabs, without header.
void PrintRows(const Console& console, const std::vector<std::string>& header,
               const std::vector<std::vector<Cell>>& rows);
// Lines "name: value"; elsewhere "name", a tab and the value.
void PrintFields(const Console& console, const std::vector<std::pair<std::string, Cell>>& fields);

// Sets json[key]. JSON is text: what is not UTF-8 in `bytes` becomes U+FFFD there, and then
// json[key + "_hex"] has the bytes themselves in hex.
void SetBytes(nlohmann::json* json, const std::string& key, std::string_view bytes);

nlohmann::json ImageJson(const ImageEntry& image);
// Indented, whatever bytes are in it, and a newline.
void PrintJson(std::ostream& out, const nlohmann::json& json);

// A JSON array that is written as its elements come, one a line. What has begun is always whole
// JSON: a failure in its middle is its last element, {"error": MESSAGE}.
class JsonList {
 public:
  explicit JsonList(std::ostream* out) : out_(*out) {}
  void Add(const nlohmann::json& element);
  // An error before the first element leaves nothing written, as with every verb.
  void End(const absl::Status& status);

 private:
  std::ostream& out_;
  bool empty_ = true;
};

// "slackerctl: MESSAGE", and its hint (cmd/common/hint.h).
void PrintError(std::ostream& err, const absl::Status& status);

}  // namespace slacker::ctl
