#include "cmd/slackerctl/output.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/status.h"
#include "backend/source/platform.h"

namespace slacker::ctl {
namespace {

constexpr size_t kShortDigestBytes = 7 + 12;

// Bytes of UTF-8 that begin a character; columns are counted in characters.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string_view Advice(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return "is the store (--store) mounted, and can the registry be reached? Try again later";
    case absl::StatusCode::kPermissionDenied:
      return "check the permissions of the store, and the registry's credentials (docker login)";
    case absl::StatusCode::kResourceExhausted:
      return "free some space, or check the limits that the message names";
    case absl::StatusCode::kNotFound:
      return "\"slackerctl images\" lists what is published";
    case absl::StatusCode::kDataLoss:
      return "what was read is not what it should be: \"slackerctl verify\" checks the store, "
             "publishing again fetches an image anew";
    default:
      return "";
  }
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

void PrintTable(std::ostream& out, const std::vector<std::string>& header,
                const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> lines = {header};
  lines.insert(lines.end(), rows.begin(), rows.end());
  std::vector<size_t> widths(header.size());
  for (std::vector<std::string>& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      line[i] = Printable(line[i]);
      widths[i] = std::max(widths[i], Width(line[i]));
    }
  }
  for (const std::vector<std::string>& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      out << line[i];
      if (i + 1 < line.size()) out << std::string(widths[i] - Width(line[i]) + 2, ' ');
    }
    out << '\n';
  }
}

nlohmann::json ImageJson(const ImageEntry& image) {
  return {{"name", image.name},
          {"platform", FormatPlatform(image.platform)},
          {"chain_id", image.chain_id.ToString()},
          {"manifest_digest", image.manifest_digest},
          {"compressed_bytes", image.compressed_bytes},
          {"unpacked_bytes", image.unpacked_bytes},
          {"published", FormatTime(image.published_unix_seconds)}};
}

void PrintJson(std::ostream& out, const nlohmann::json& json) {
  out << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

void PrintError(std::ostream& err, const absl::Status& status) {
  err << "slackerctl: " << Printable(Message(status)) << '\n';
  if (const std::string_view advice = Advice(status); !advice.empty()) {
    err << "  hint: " << advice << ".\n";
  }
}

}  // namespace slacker::ctl
