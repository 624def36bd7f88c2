// The configuration of a node's containerd.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker::hellobench {

struct ContainerdConfig {
  std::string version;    // "1" or "2"
  std::string directory;  // all of its state lies below it
  std::string socket;
  std::string hosts;  // directory of hosts.toml files
  std::string pause;  // reference of the sandboxes' image
  std::string snapshotter;
  std::string proxy_socket;  // of the snapshotter's daemon; "": it is containerd's own
  std::string proxy_root;
  std::string differ;   // "": containerd's default
  std::string further;  // TOML, behind everything
};

// TOML.
std::string ToText(const ContainerdConfig& config);

// "1" or "2", of what `containerd --version` prints. INVALID_ARGUMENT for any other.
absl::StatusOr<std::string> MajorVersion(std::string_view printed);

}  // namespace slacker::hellobench
