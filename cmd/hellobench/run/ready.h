// Waiting until a container is ready.
#pragma once

#include <chrono>

#include "absl/status/statusor.h"
#include "cmd/hellobench/catalogue/task.h"
#include "cmd/hellobench/cri/cri_client.h"
#include "cmd/hellobench/run/run.h"

namespace slacker::hellobench {

// Waits for what the task waits for, `started` being when the call that started the container of
// `result` came back, and returns when it was there: of an end the moment that containerd noted, and
// not before `started`. Fills in output, first_output_ms, exited and exit_code. Errors as of RunOnce. Of the end of a container that does not get there it is told
// at once.
absl::StatusOr<std::chrono::steady_clock::time_point> AwaitReady(
    CriClient& client, const Task& task, const RunOptions& options,
    std::chrono::steady_clock::time_point started, RunResult* result);

}  // namespace slacker::hellobench
