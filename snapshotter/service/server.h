// The gRPC server: the Snapshots service, health and reflection on one unix socket. No TCP.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "snapshotter/service/listener.h"
#include "snapshotter/service/running_calls.h"
#include "snapshotter/service/snapshots_service.h"

namespace slacker {

// From now on what gRPC and protobuf have to say is a line of the log like any other; by themselves
// they write text of their own to stderr. Call before there are other threads.
void TakeLogsOfLibraries();

// Thread-compatible.
class Server {
 public:
  // Serves `snapshotter` on the unix socket `path` (listener.h) from then on. `snapshotter` must
  // outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Listen(const std::string& path,
                                                        Snapshotter* snapshotter);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes no more calls (UNAVAILABLE), waits for those that run, cancels them after `grace`. Idle
  // connections are closed without waiting for their clients.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  Server(std::unique_ptr<Listener> listener, Snapshotter* snapshotter);

  const std::unique_ptr<Listener> listener_;  // goes last: it holds the lock
  SnapshotsService service_;
  RunningCalls running_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace slacker
