// Checks of what comes in from containerd, and texts of what goes back. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

inline constexpr size_t kMaxKeyBytes = 8 * 1024;
inline constexpr size_t kMaxLabels = 1024;
inline constexpr size_t kMaxLabelsBytes = 256 * 1024;  // keys and values together
inline constexpr size_t kMaxMaskPaths = 1024;

// INVALID_ARGUMENT when `key` is empty or over the limit; `what` says what it is ("key", "name").
absl::Status CheckKey(std::string_view key, std::string_view what);
// The parent may be "".
absl::Status CheckParent(std::string_view parent);

// The labels to be stored: those without a value are left out. INVALID_ARGUMENT over the limits.
absl::StatusOr<Labels> CheckLabels(const Labels& labels);

// `current` changed as `mask` says by `wanted`. INVALID_ARGUMENT for a path that is not about
// labels, and over the limits.
absl::StatusOr<Labels> ApplyMask(const Labels& current, const Labels& wanted,
                                 const UpdateMask& mask);

// For messages: in quotes, bytes that are not printable ASCII escaped, shortened if it is long.
std::string Quoted(std::string_view key);

}  // namespace slacker
