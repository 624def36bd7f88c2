// Waiting until a container is ready.
#pragma once

#include <chrono>

#include "absl/status/status.h"
#include "cmd/hellobench/catalogue/task.h"
#include "cmd/hellobench/cri/cri_client.h"
#include "cmd/hellobench/run/run.h"

namespace slacker::hellobench {

// Waits for what the task waits for, from the start of the container of `result` on; fills in output,
// first_output_ms, exited and exit_code. Errors as of RunOnce. Of the end of a container that does not
// get there it is told at once.
absl::Status AwaitReady(CriClient& client, const Task& task, const RunOptions& options,
                        std::chrono::steady_clock::time_point start, RunResult* result);

}  // namespace slacker::hellobench
