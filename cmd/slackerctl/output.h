// What people and programs read of slackerctl.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "backend/store/store.h"

namespace slacker::ctl {

// Where output goes. `interactive`: `err` is a terminal, on which lines can be overwritten.
struct Console {
  std::ostream& out;
  std::ostream& err;
  bool interactive = false;
};

// "0 B", "1023 B", "1.5 KiB", "12 MiB": at most four digits.
std::string HumanSize(uint64_t bytes);
// UTC, "2026-01-02T03:04:05Z".
std::string FormatTime(int64_t unix_seconds);
// With '?' for control characters: text from outside must not steer a terminal.
std::string Printable(std::string_view text);
// "sha256:" and twelve digits, for tables.
std::string ShortDigest(const Digest& digest);

// Rows under a header, in columns as wide as they need to be, separated by two spaces.
void PrintTable(std::ostream& out, const std::vector<std::string>& header,
                const std::vector<std::vector<std::string>>& rows);

nlohmann::json ImageJson(const ImageEntry& image);
// Indented, whatever bytes are in it, and a newline.
void PrintJson(std::ostream& out, const nlohmann::json& json);

// "slackerctl: MESSAGE", and what can be done about it where we know something.
void PrintError(std::ostream& err, const absl::Status& status);

}  // namespace slacker::ctl
