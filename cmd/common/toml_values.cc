#include "cmd/common/toml_values.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/status.h"
#include "backend/base/toml_nesting.h"
#include "backend/base/unique_fd.h"
#include "cmd/common/duration.h"

namespace slacker {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

absl::Status CheckRange(int64_t value, int64_t min, int64_t max, std::string_view unit) {
  if (value >= min && value <= max) return absl::OkStatus();
  return InvalidArgument("must be from " + std::to_string(min) + std::string(unit) + " to " +
                         std::to_string(max) + std::string(unit));
}

}  // namespace

absl::StatusOr<std::string> ReadSettings(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  std::string text(kMaxFileBytes + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + path);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size > kMaxFileBytes) return InvalidArgument(path + ": larger than 1 MiB");
  text.resize(size);
  return text;
}

absl::StatusOr<toml::table> ParseSettings(std::string_view text, const std::string& file) {
  if (const absl::Status nesting = CheckTomlNesting(text); !nesting.ok()) {
    return Annotate(nesting, file);
  }
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    return InvalidArgument(Place(file, error.source()) + ": " + std::string(error.description()));
  }
}

std::string Place(const std::string& file, const toml::source_region& where) {
  return file + ":" + std::to_string(where.begin.line);
}

absl::StatusOr<std::string> TextOf(const toml::node& node) {
  auto value = node.value_exact<std::string>();
  if (!value.has_value()) return InvalidArgument("must be a string");
  return *std::move(value);
}

absl::StatusOr<std::string> PlainNameOf(const toml::node& node) {
  absl::StatusOr<std::string> name = TextOf(node);
  RETURN_IF_ERROR(name.status());
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (!name->empty() && !name->starts_with('-') && std::all_of(name->begin(), name->end(), plain)) {
    return name;
  }
  return InvalidArgument("must be small letters, digits and dashes");
}

absl::StatusOr<std::vector<std::string>> TextsOf(const toml::node& node) {
  const toml::array* array = node.as_array();
  if (array == nullptr) return InvalidArgument("must be a list of strings");
  std::vector<std::string> values;
  for (const toml::node& element : *array) {
    auto value = element.value_exact<std::string>();
    if (!value.has_value()) return InvalidArgument("must be a list of strings");
    values.push_back(*std::move(value));
  }
  return values;
}

absl::StatusOr<int64_t> NumberOf(const toml::node& node, int64_t min, int64_t max) {
  const auto value = node.value_exact<int64_t>();
  if (!value.has_value()) return InvalidArgument("must be an integer");
  RETURN_IF_ERROR(CheckRange(*value, min, max, ""));
  return *value;
}

absl::StatusOr<int64_t> SecondsOf(const toml::node& node, int64_t min, int64_t max) {
  const auto text = node.value_exact<std::string>();
  if (!text.has_value()) return InvalidArgument("must be a string, as in \"5m\"");
  ASSIGN_OR_RETURN(const int64_t value, ParseDuration(*text));
  RETURN_IF_ERROR(CheckRange(value, min, max, "s"));
  return value;
}

absl::StatusOr<bool> FlagOf(const toml::node& node) {
  const auto value = node.value_exact<bool>();
  if (!value.has_value()) return InvalidArgument("must be true or false");
  return *value;
}

}  // namespace slacker
