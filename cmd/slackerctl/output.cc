#include "cmd/slackerctl/output.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "cmd/common/hint.h"

namespace slacker::ctl {
namespace {

constexpr size_t kShortDigestBytes = 7 + 12;

// Bytes of UTF-8 that begin a character; columns are counted in characters.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

constexpr uint32_t kNoCharacter = UINT32_MAX;

struct Character {
  uint32_t code = kNoCharacter;
  size_t bytes = 1;
};

// The first character of `bytes`, which is not empty; a byte that begins none stands alone.
Character NextCharacter(std::string_view bytes) {
  const auto at = [&bytes](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]));
  };
  const uint32_t lead = at(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || bytes.size() < length) return {};
  uint32_t code = lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (at(i) & 0x3f);
  }
  constexpr std::array<uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kSmallest[length] || surrogate || code > 0x10ffff) return {};
  return {code, length};
}

// Not: controls, line and paragraph separators, and what turns the direction of writing.
bool IsPrintable(uint32_t code) {
  if (code == kNoCharacter || code < 0x20 || (code >= 0x7f && code < 0xa0)) return false;
  if (code == 0x61c || code == 0x200e || code == 0x200f || code == 0xfeff) return false;
  return !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069);
}

std::string ToHex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    hex += kDigits[static_cast<uint8_t>(c) >> 4];
    hex += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return hex;
}

}  // namespace

std::string HumanSize(uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  (void)std::snprintf(text, sizeof text, value < 9.95 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text;
}

std::string Counted(uint64_t count, std::string_view what) {
  return std::to_string(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

std::string FormatTime(int64_t unix_seconds) {
  const time_t seconds = unix_seconds;
  tm parts{};
  char text[64] = "-";
  if (gmtime_r(&seconds, &parts) != nullptr) {
    (void)std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  }
  return text;
}

std::string Printable(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(),
      [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, '?');
  return out;
}

std::string ShortDigest(const Digest& digest) {
  return digest.ToString().substr(0, kShortDigestBytes);
}

std::string Escape(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const Character character = NextCharacter(bytes);
    const std::string_view raw = bytes.substr(0, character.bytes);
    bytes.remove_prefix(character.bytes);
    if (raw == "\n") {
      out += "\\n";
    } else if (raw == "\t") {
      out += "\\t";
    } else if (raw == "\\") {
      out += "\\\\";
    } else if (IsPrintable(character.code)) {
      out += raw;
    } else {
      for (const char c : raw) {
        char octal[8];
        (void)std::snprintf(octal, sizeof octal, "\\%03o", static_cast<unsigned char>(c));
        out += octal;
      }
    }
  }
  return out;
}

Cell TextCell(std::string_view text) { return {std::string(text), std::string(text)}; }
Cell CountCell(uint64_t count) { return {std::to_string(count), std::to_string(count)}; }
Cell SizeCell(uint64_t bytes) { return {HumanSize(bytes), std::to_string(bytes)}; }
Cell DigestCell(const Digest& digest) { return {ShortDigest(digest), digest.ToString()}; }

void PrintRows(const Console& console, const std::vector<std::string>& header,
               const std::vector<std::vector<Cell>>& rows) {
  std::vector<std::vector<std::string>> lines;
  if (console.terminal) lines.push_back(header);
  for (const std::vector<Cell>& row : rows) {
    std::vector<std::string>& line = lines.emplace_back();
    for (const Cell& cell : row) line.push_back(Escape(console.terminal ? cell.text : cell.exact));
  }
  std::vector<size_t> widths;
  for (const std::vector<std::string>& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], Width(line[i]));
  }
  for (const std::vector<std::string>& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      console.out << line[i];
      if (i + 1 == line.size()) continue;
      if (console.terminal) {
        console.out << std::string(widths[i] - Width(line[i]) + 2, ' ');
      } else {
        console.out << '\t';
      }
    }
    console.out << '\n';
  }
}

void PrintFields(const Console& console, const std::vector<std::pair<std::string, Cell>>& fields) {
  size_t width = 0;
  for (const auto& [name, value] : fields) width = std::max(width, name.size());
  for (const auto& [name, value] : fields) {
    console.out << name;
    if (console.terminal) {
      console.out << ':' << std::string(width - name.size() + 1, ' ') << Escape(value.text);
    } else {
      console.out << '\t' << Escape(value.exact);
    }
    console.out << '\n';
  }
}

void SetBytes(nlohmann::json* json, const std::string& key, std::string_view bytes) {
  std::string text;
  bool exact = true;
  for (std::string_view left = bytes; !left.empty();) {
    const Character character = NextCharacter(left);
    const bool valid = character.code != kNoCharacter;
    text += valid ? left.substr(0, character.bytes) : "\xef\xbf\xbd";
    exact = exact && valid;
    left.remove_prefix(character.bytes);
  }
  (*json)[key] = std::move(text);
  if (!exact) (*json)[key + "_hex"] = ToHex(bytes);
}

nlohmann::json ImageJson(const ImageEntry& image) {
  nlohmann::json json = {{"platform", FormatPlatform(image.platform)},
                         {"chain_id", image.chain_id.ToString()},
                         {"manifest_digest", image.manifest_digest},
                         {"compressed_bytes", image.compressed_bytes},
                         {"unpacked_bytes", image.unpacked_bytes},
                         {"published", FormatTime(image.published_unix_seconds)}};
  SetBytes(&json, "name", image.name);
  return json;
}

void PrintJson(std::ostream& out, const nlohmann::json& json) {
  out << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void JsonList::Add(const nlohmann::json& element) {
  out_ << (empty_ ? "[\n" : ",\n")
       << element.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  empty_ = false;
}

void JsonList::End(const absl::Status& status) {
  if (!status.ok() && empty_) return;
  if (!status.ok()) Add({{"error", Message(status)}});
  out_ << (empty_ ? "[]\n" : "\n]\n");
}

void PrintError(std::ostream& err, const absl::Status& status) {
  err << "slackerctl: " << Printable(Message(status)) << '\n';
  if (const std::string hint = HintOf(status); !hint.empty()) err << "  hint: " << hint << ".\n";
}

}  // namespace slacker::ctl
