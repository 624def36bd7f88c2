// Threads that are started while the process works. std::thread throws where the node has no
// threads left (EAGAIN: a cgroup's pids.max, the kernel's limits, no memory for a stack), and an
// exception that nobody expects ends the process.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "backend/base/status.h"

namespace slacker {

// RESOURCE_EXHAUSTED: there is no thread to be had; `run` is not called.
template <typename Function>
absl::StatusOr<std::thread> StartThread(Function run) {
  try {
    return std::thread(std::move(run));
  } catch (const std::system_error& error) {
    return ResourceExhausted(std::string("start a thread: ") + error.what());
  }
}

}  // namespace slacker
