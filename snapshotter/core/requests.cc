#include "snapshotter/core/requests.h"

#include "absl/strings/escaping.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr size_t kMaxQuotedBytes = 256;
constexpr std::string_view kLabelsPath = "labels";
constexpr std::string_view kLabelPrefix = "labels.";

}  // namespace

absl::Status CheckKey(std::string_view key, std::string_view what) {
  if (key.empty()) return InvalidArgument("the " + std::string(what) + " is empty");
  if (key.size() > kMaxKeyBytes) {
    return InvalidArgument("the " + std::string(what) + " is longer than " +
                           std::to_string(kMaxKeyBytes) + " bytes");
  }
  return absl::OkStatus();
}

absl::Status CheckParent(std::string_view parent) {
  return parent.empty() ? absl::OkStatus() : CheckKey(parent, "parent");
}

absl::StatusOr<Labels> CheckLabels(const Labels& labels) {
  Labels kept;
  size_t bytes = 0;
  for (const auto& [key, value] : labels) {
    if (value.empty()) continue;
    bytes += key.size() + value.size();
    kept.emplace(key, value);
  }
  if (kept.size() > kMaxLabels) {
    return InvalidArgument("more than " + std::to_string(kMaxLabels) + " labels");
  }
  if (bytes > kMaxLabelsBytes) {
    return InvalidArgument("the labels are longer than " + std::to_string(kMaxLabelsBytes) +
                           " bytes");
  }
  return kept;
}

absl::StatusOr<Labels> ApplyMask(const Labels& current, const Labels& wanted,
                                 const UpdateMask& mask) {
  if (mask.paths.empty()) return CheckLabels(wanted);
  if (mask.paths.size() > kMaxMaskPaths) {
    return InvalidArgument("more than " + std::to_string(kMaxMaskPaths) + " paths in the mask");
  }
  Labels labels = current;
  for (const std::string& path : mask.paths) {
    if (path == kLabelsPath) {
      labels = wanted;
    } else if (path.starts_with(kLabelPrefix)) {
      const std::string key = path.substr(kLabelPrefix.size());
      const auto found = wanted.find(key);
      labels[key] = found == wanted.end() ? "" : found->second;
    } else {
      return InvalidArgument("cannot update " + Quoted(path) + ": only labels can be changed");
    }
  }
  return CheckLabels(labels);
}

std::string Quoted(std::string_view key) {
  const bool cut = key.size() > kMaxQuotedBytes;
  const std::string_view shown = cut ? key.substr(0, kMaxQuotedBytes) : key;
  return "\"" + absl::CHexEscape({shown.data(), shown.size()}) + (cut ? "…\"" : "\"");
}

}  // namespace slacker
