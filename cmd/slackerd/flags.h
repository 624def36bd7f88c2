// slackerd's command line.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "cmd/slackerd/config.h"

namespace CLI {
class App;
}  // namespace CLI

namespace slacker {

// The command line, and what was read from it.
struct Flags {
  std::string address, config, root, store, log_level;
  std::unique_ptr<CLI::App> app;

  Flags();
  ~Flags();
};

// The configuration from defaults, file and flags, in this order. Empty when the flags asked for
// text only (--help, --version), which has been printed. INVALID_ARGUMENT with a message for the
// user otherwise.
absl::StatusOr<std::optional<Config>> ReadFlags(int argc, const char* const* argv);

}  // namespace slacker
