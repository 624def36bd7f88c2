// fork and exec, into the namespaces of another process.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace slacker::hellobench {

struct Spawned {
  std::string path;                // of the program
  std::vector<std::string> words;  // argv
  std::vector<std::string> environment;
  pid_t namespaces_of = 0;  // 0: our own
  int output = -1;          // standard output
  int errors = -1;          // standard error
};

// A child of ours, leader of a session of its own, with nothing of ours open. Errors: of the
// namespaces, of fork, of exec.
absl::StatusOr<pid_t> Spawn(const Spawned& spawned);

}  // namespace slacker::hellobench
