// A store on an NFS server, without a mount: the object a/b/c is the file PATH/a/b/c of the server.
// The layout is loopback's, so that a store can be served both ways.
//
// Reading. A read is one READ for each piece of what the server allows (at most 1 MiB), all at
// once, over kConnections connections; of all reads together at most 16 MiB (read_limit.h). Handles of names are kept for a second (name_tree.h): an
// object that another client replaced may be read in its old content that long, never in a mixture.
// No read depends on state of a client on the server: neither an idle client nor a server that was
// restarted needs a recovery. Version 4 reads with the anonymous state ID.
//
// Writing. An object under construction is a file ".tmp-<32 hex digits>" in the directory where it
// will appear; it is written, committed, then linked to its name (renamed for Replace). Both are
// asked again when the answer was lost: LINK is fine if the name is there, RENAME is if the name is
// this very file. Whoever dies leaves at most a ".tmp-" file; once it has not been modified for a
// day, the next publisher removes it. There are no locks. That a name survives a crash of the
// server is the server's duty (not with knfsd's `async`).
//
// Errors are those of backend.h:
//   UNAVAILABLE   the server cannot be reached, has been silent (10 s for reads, 60 s for writes)
//                 while something was asked of it, wants us to wait (grace period) for longer than
//                 that, or the store's directory is missing. A handle that stays stale.
//   others        as the server says: EACCES, EPERM, EROFS, refused credentials; ENOSPC, EDQUOT; EIO
// A connection that ends is made anew with a back-off and what was asked is asked again; callers
// notice no more than the time that it takes. An operation that ended with UNAVAILABLE may still be
// carried out later, as on any NFS.
//
// The server is trusted neither with contents (see backend.h) nor with this process: a reply that is
// against the protocol is INTERNAL, see libnfs_guard.h.
//
// Thread-safe. Threads: "nfs-store" (the loop), "nfs-resolver" (host names), "nfs-answers"
// (callbacks with large answers; small ones, and that of a lone read of a chunk, run on the loop).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/nfs/call.h"
#include "backend/nfs/session.h"
#include "backend/nfs/target.h"

namespace slacker {

class NfsBackend final : public Backend {
 public:
  // kAllow asks nothing of the server; the others do and wait for it.
  static absl::StatusOr<std::unique_ptr<NfsBackend>> Open(const NfsTarget& target,
                                                          MissingStore missing,
                                                          const nfs::Patience& patience = {});
  // Reads under way end with UNAVAILABLE.
  ~NfsBackend() override;

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size, ReadCallback done) override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override;
  std::string Url() const override { return url_; }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override;
  absl::Status Replace(std::string_view name, std::string_view content) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override;
  absl::Status Remove(std::string_view name) override;
  absl::Status Move(std::string_view from, std::string_view to) override;

 private:
  absl::Status MoveOnce(const std::string& from, const std::string& to, uint64_t* life);
  NfsBackend(std::string url, std::unique_ptr<nfs::Session> session,
             std::unique_ptr<ThreadPool> answers);
  // Hands a result to its caller, on this thread or another one.
  void Answer(absl::StatusOr<std::string> result, const ReadCallback& done);
  void Finished();
  // Whether there is one read only.
  bool IsLone();

  const std::string url_;
  const std::unique_ptr<nfs::Session> session_;
  Mutex mutex_;
  CondVar idle_;
  int reads_ ABSL_GUARDED_BY(mutex_) = 0;  // whose callback has not returned
  const std::unique_ptr<ThreadPool> answers_;
};

}  // namespace slacker
