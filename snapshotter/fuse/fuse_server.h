// Serves a BlobSource through /dev/fuse, in the raw protocol: a flat read-only directory with one
// file for each blob, named by its decimal ID. Its one customer is the loop driver.
//
// Answers are whole or an error: a READ gets exactly what was asked for (less only at the blob's
// end) or EIO; none when the source answers CANCELLED: the next server is asked again. Every READ
// is handed to the source at once, so as many are under way as the kernel sends. Files are opened
// with FOPEN_DIRECT_IO (nothing is cached twice) and FOPEN_NOFLUSH (closing one asks nothing of
// us).
//
// The connection outlives servers. A server that takes over needs the requests that its predecessor
// read and did not answer; there is no second INIT. It asks the kernel for them (FUSE_NOTIFY_RESEND,
// Linux 6.9), or, where the kernel cannot, every server reads them into slots of a memory that
// outlives it, from which its successor has them (request_slots.h). A request answered twice is
// ignored by the kernel.
//
// The process of a server must hold nothing open on the file system that it serves and must not
// look anything up in it: killed in the middle of that, it would wait for itself for ever.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/fuse/blob_source.h"
#include "snapshotter/fuse/request_slots.h"

namespace slacker {

struct FuseCounters {
  uint64_t requests = 0;       // read from the kernel
  uint64_t reads = 0;          // of these, READ
  uint64_t resent = 0;         // of these, that a predecessor had read
  uint64_t errors = 0;         // READs answered with EIO
  uint64_t max_in_flight = 0;  // most READs under way at one time
};

// Thread-safe.
class FuseServer {
 public:
  // `device`: /dev/fuse, mounted. `source` must outlive the server and every read under way.
  // `slots`: null where the kernel sends requests again. `serving`: an eventfd that is written to once
  // a READ was answered with bytes; may be none.
  FuseServer(UniqueFd device, BlobSource* source,
             std::unique_ptr<fuse::RequestSlots> slots = nullptr, UniqueFd serving = UniqueFd());
  // Stops reading requests. Reads under way are still answered when the source is done with them;
  // what is never answered is left to the next server.
  ~FuseServer();
  FuseServer(const FuseServer&) = delete;
  FuseServer& operator=(const FuseServer&) = delete;

  // Begins to serve with `threads` threads. Call once.
  absl::Status Start(int threads);

  // See below.
  absl::Status RequestResend();

  // Handles what stands in a predecessor's slots: once when taking over, and once more when the
  // predecessor is known to have ended. Errors as RequestSlots::TakeOver. REQUIRES: slots, and
  // Start.
  absl::Status TakeOver(const UniqueFd& memory, fuse::RequestSlots::Predecessor predecessor);
  // Handles what RequestSlots::Gather has copied before Start.
  void HandleGathered(const std::vector<size_t>& slots);
  // Ends a TakeOver that waits for a free slot, and the reading of requests.
  void Stop();

  // False once the connection was aborted or unmounted: the kernel answers its readers with errors.
  bool alive() const;

  FuseCounters counters() const;

 private:
  struct State;
  void Serve();
  void HandleTakenOver(size_t slot);

  // Shared with the callbacks of reads under way, which may come after the server has gone.
  std::shared_ptr<State> state_;
  UniqueFd stop_;
  std::vector<std::thread> threads_;
};

// A new, unconnected /dev/fuse.
absl::StatusOr<UniqueFd> OpenFuseDevice();

// Asks the kernel to send unanswered requests again: once when taking over, and once more when the
// predecessor is known to have ended (a request that it was just reading escapes the first).
// UNAVAILABLE when the kernel cannot (before Linux 6.9).
absl::Status RequestResend(const UniqueFd& device);

// Whether the connection behind a /dev/fuse descriptor still stands; false too when it was never
// mounted.
bool FuseDeviceIsConnected(const UniqueFd& device);

}  // namespace slacker
