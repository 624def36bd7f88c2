// The gRPC server: the Snapshots service, health and reflection on one unix socket. No TCP.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/service/running_calls.h"
#include "snapshotter/service/snapshots_service.h"

namespace slacker {

// Thread-compatible.
class Server {
 public:
  // Serves `snapshotter` on the unix socket `path`, mode 0600, from then on; missing parent
  // directories are made (0711). A socket that a dead server left is replaced. FAILED_PRECONDITION
  // when another server lives there, or something that is not a socket; a lock on "<path>.lock",
  // held until the server is destroyed, keeps two servers apart. REQUIRES: no other thread makes
  // files meanwhile (the umask is changed for a moment). `snapshotter` must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Listen(const std::string& path,
                                                        Snapshotter* snapshotter);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes no more calls (UNAVAILABLE), waits for those that run, cancels them after `grace`. Idle
  // connections are closed without waiting for their clients.
  void Shutdown(std::chrono::milliseconds grace);

 private:
  Server(std::string path, UniqueFd lock, Snapshotter* snapshotter);

  const std::string path_;
  UniqueFd lock_;
  SnapshotsService service_;
  RunningCalls running_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace slacker
