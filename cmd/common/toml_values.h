// What files of settings have in common: strict TOML, whose errors name file, line and key. Only
// for programs' own code: other people's exceptions end here.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker {

// The whole of a file of at most 1 MiB. INVALID_ARGUMENT for a larger one.
absl::StatusOr<std::string> ReadSettings(const std::string& path);

// INVALID_ARGUMENT "file:line: …" for what is not TOML. `text` may be anything.
absl::StatusOr<toml::table> ParseSettings(std::string_view text, const std::string& file);

// "file:line", as errors begin.
std::string Place(const std::string& file, const toml::source_region& where);

// The value of a node that has exactly this type, nothing converted. INVALID_ARGUMENT without the
// place, as in "must be a string".
absl::StatusOr<std::string> TextOf(const toml::node& node);
// A text that can be a part of repositories' and directories' names: small letters, digits, dashes.
absl::StatusOr<std::string> PlainNameOf(const toml::node& node);
absl::StatusOr<std::vector<std::string>> TextsOf(const toml::node& node);
absl::StatusOr<int64_t> NumberOf(const toml::node& node, int64_t min, int64_t max);
absl::StatusOr<int64_t> SecondsOf(const toml::node& node, int64_t min, int64_t max);  // of "5m"
absl::StatusOr<bool> FlagOf(const toml::node& node);

}  // namespace slacker
