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
#include <utility>

#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker {

// The right to make one socket: nobody serves there, and nobody but us is going to.
class SocketClaim {
 public:
  // Makes missing parent directories (0711), and takes the lock "<path>.lock", which is held until the
  // claim, or the listener that it was given to, is destroyed. A socket that a dead server left is
  // removed. FAILED_PRECONDITION when another server lives there, or something that is not a socket;
  // then, as for INVALID_ARGUMENT (relative, ends with a slash, too long), there is no lock left.
  static absl::StatusOr<SocketClaim> Take(const std::string& path);

  const std::string& path() const { return path_; }

 private:
  SocketClaim(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  UniqueFd lock_;
};

// Thread-compatible.
class Listener {
 public:
  // Gets each connection: close-on-exec, non-blocking. Called on the listener's thread.
  using Take = std::function<void(UniqueFd connection)>;

  // Makes the socket, mode 0600. Connections wait from then on.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(SocketClaim claim);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Call once.
  void Start(Take take);
  // Removes the socket and takes no more connections. Idempotent.
  void Stop();

 private:
  explicit Listener(SocketClaim claim);
  void Serve(const Take& take);
  void RefuseOne();

  const SocketClaim claim_;
  UniqueFd socket_;
  UniqueFd stop_;   // an eventfd
  UniqueFd spare_;  // given up for a moment to close a connection that there is no descriptor for
  std::thread thread_;
};

}  // namespace slacker
