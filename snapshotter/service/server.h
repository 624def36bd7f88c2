// The gRPC server: the Snapshots service, the Node service of slackerctl, health and reflection on one
// unix socket. No TCP.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "snapshotter/service/listener.h"
#include "snapshotter/service/node_service.h"
#include "snapshotter/service/running_calls.h"
#include "snapshotter/service/snapshots_service.h"

namespace slacker {

// From now on what gRPC and protobuf have to say is a line of the log like any other; by themselves
// they write text of their own to stderr. Call before there are other threads.
void TakeLogsOfLibraries();

// Thread-compatible.
class Server {
 public:
  // Serves both on the unix socket from then on. They must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Listen(SocketClaim claim, Snapshotter* snapshotter,
                                                        NodeControl* control);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes no more calls (UNAVAILABLE), waits for those that run, cancels them after `grace`. Idle
  // connections are closed without waiting for their clients.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  Server(std::unique_ptr<Listener> listener, Snapshotter* snapshotter, NodeControl* control);

  const std::unique_ptr<Listener> listener_;  // goes last: it holds the lock
  SnapshotsService service_;
  NodeService node_service_;
  RunningCalls running_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace slacker
