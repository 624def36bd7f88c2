// The unix socket that the server is reached on, and the thread that takes its connections.
//
// gRPC could listen by itself, but it unlinks whatever socket is in its way, and it stops listening
// for ever at the first connection that it has no descriptor for (gRPC 1.51, tcp_server_posix.cc):
// callers then wait without an end. Here such a connection is closed, which its caller sees, and the
// next one is taken.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker {

// Thread-compatible.
class Listener {
 public:
  // Gets each connection: close-on-exec, non-blocking. Called on the listener's thread.
  using Take = std::function<void(UniqueFd connection)>;

  // Whether Open could succeed, as far as a look tells that changes nothing. INVALID_ARGUMENT: `path` is
  // relative, ends with a slash, or is too long; FAILED_PRECONDITION: as Open. For before a start has made
  // anything.
  static absl::Status Check(const std::string& path);
  // Makes the socket `path`, mode 0600, with missing parent directories (0711). Connections wait
  // from then on. A socket that a dead server left is replaced, and so is that of one which is killed and
  // which the kernel still holds, with everything open, perhaps until its reads are taken over.
  // FAILED_PRECONDITION when another server lives there ("… is in use by PID n", where that can be told), or
  // something that is not a socket; a lock on "<path>.lock", held until the listener is destroyed, keeps two
  // servers apart.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const std::string& path);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Call once.
  void Start(Take take);
  // Removes the socket and takes no more connections. Idempotent.
  void Stop();

 private:
  Listener(std::string path, UniqueFd lock);
  void Serve(const Take& take);
  void RefuseOne();

  const std::string path_;
  const UniqueFd lock_;
  UniqueFd socket_;
  UniqueFd stop_;   // an eventfd
  UniqueFd spare_;  // given up for a moment to close a connection that there is no descriptor for
  Mutex mutex_;
  CondVar stopped_;  // where the eventfd cannot be waited for
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace slacker
