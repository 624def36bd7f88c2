// What a container of an image runs, from the image's configuration. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace slacker {

struct StartCommand {
  std::vector<std::string> entrypoint = {}, command = {};
  std::vector<std::string> environment = {};  // NAME=value
  std::string working_directory = {};
};

// What is missing, or of a wrong type, is empty. INVALID_ARGUMENT when it is not a JSON object at
// all.
absl::StatusOr<StartCommand> ParseStartCommand(std::string_view config_json);

}  // namespace slacker
