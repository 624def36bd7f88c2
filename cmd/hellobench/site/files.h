// Files and directories of a site. Errors are those of ErrnoError.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker::hellobench {

absl::Status MakeDirectories(const std::string& path);
// With the directories that are missing.
absl::Status WriteText(const std::string& path, std::string_view text);
absl::StatusOr<std::string> ReadText(const std::string& path);
// With everything below; nothing there is fine.
absl::Status RemoveTree(const std::string& path);
// Whether somebody listens there.
bool Accepts(const std::string& unix_socket);
bool Accepts(const std::string& address, int port);

}  // namespace slacker::hellobench
