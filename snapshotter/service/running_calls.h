// How many calls of the Snapshots service are on their way: from their arrival until the kernel has
// their answer. gRPC's own graceful shutdown waits for more: for every idle client to acknowledge
// it, which one that polls its connection during calls only (C++) does not do.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <chrono>
#include <memory>

#include "backend/base/mutex.h"

namespace slacker {

// Thread-safe.
class RunningCalls {
 public:
  // What makes a gRPC server report its calls here; streams of other services (health, reflection)
  // have no end and do not count. This object must outlive the server.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> NewReporter();

  // Waits until no call runs, at most this long.
  void WaitForNone(std::chrono::milliseconds timeout);

 private:
  friend class RunningCall;
  void Begin();
  void End();

  Mutex mutex_;
  CondVar none_;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace slacker
