// A client of containerd's CRI plugin: what a kubelet does to run one container.
//
// Every call is one RPC, blocks until its answer or the client's time limit, and returns the
// server's status: a canonical gRPC code is the same number in absl. An interrupt ends questions, pulls
// and starts (CANCELLED); a call that makes a sandbox or a container goes on, because only its answer
// says what there is to be removed, and so does one that removes. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker::hellobench {

struct SandboxSpec {
  std::string name;           // unique on the node; also its uid
  std::string log_directory;  // absolute; containers' logs go below it
};

struct ContainerSpec {
  std::string name;
  std::string image;                 // what Pull returned, or a reference
  std::vector<std::string> command;  // empty: the image's entrypoint
  std::vector<std::string>
      arguments;  // empty: the image's command, if the entrypoint is the image's
  std::map<std::string, std::string> environment;
  std::map<std::string, std::string> mounts;  // place in the container: directory, writable
  std::string log_name;                       // below the sandbox's log_directory
};

enum class ContainerState { kCreated, kRunning, kExited, kUnknown };

struct ContainerStatus {
  ContainerState state = ContainerState::kUnknown;
  int32_t exit_code = 0;                                // of an exited one
  std::chrono::system_clock::time_point finished_at{};  // the same; the epoch: not told
  std::string message;
};

class CriClient {
 public:
  // `socket` is the path of containerd's unix socket; nothing is sent yet. `interrupted` becomes true at an
  // interrupt; null: there is none.
  CriClient(const std::string& socket, std::chrono::seconds rpc_timeout,
            const std::atomic<bool>* interrupted = nullptr);
  ~CriClient();
  CriClient(const CriClient&) = delete;
  CriClient& operator=(const CriClient&) = delete;

  // Name and version of the runtime, "containerd v2.4.2".
  absl::StatusOr<std::string> Version();

  absl::StatusOr<bool> HasImage(const std::string& reference);
  // Returns the image's ID.
  absl::StatusOr<std::string> Pull(const std::string& reference);
  // Removing what is not there is fine.
  absl::Status RemoveImage(const std::string& reference);

  // A sandbox on the host's network, so that no CNI configuration is needed. Returns its ID.
  absl::StatusOr<std::string> RunSandbox(const SandboxSpec& spec);
  // Stops and removes it and every container in it; one that is not there is fine.
  absl::Status RemoveSandbox(const std::string& sandbox_id);

  // Returns the container's ID. `sandbox` is what the sandbox was made from.
  absl::StatusOr<std::string> CreateContainer(const std::string& sandbox_id,
                                              const SandboxSpec& sandbox,
                                              const ContainerSpec& spec);
  absl::Status StartContainer(const std::string& container_id);
  absl::StatusOr<ContainerStatus> Status(const std::string& container_id);

 private:
  struct Stubs;  // keeps gRPC out of this header
  std::unique_ptr<Stubs> stubs_;
};

}  // namespace slacker::hellobench
