// A store in a directory: of a local disk, or of any mounted file system that several machines
// share. The object a/b/c is the file ROOT/a/b/c.
//
// Writing. An object under construction is a file ".tmp-<32 hex digits>" in the directory where it
// will appear; it is written, synced, given its name with link(2), which fails if the name is taken
// (rename(2) for Replace), then the directory is synced. Directories are synced into their parents
// before anything is made in them. Whoever dies leaves at most a ".tmp-" file behind: never listed
// or read; once it has not been modified for a day, the next publisher removes it (Open with
// kCreate).
//
// Nothing is assumed of the directory's content: symbolic links and special files are not followed
// or opened as objects.
//
// Errors: those of backend.h. A missing ROOT is UNAVAILABLE in every method (its file system may
// not be mounted), never made anew by a write.
//
// Thread-safe. Reads run on kReadThreads threads of its own.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/loopback/files.h"

namespace slacker {

class LoopbackBackend final : public Backend {
 public:
  static constexpr int kReadThreads = 16;

  using Missing = MissingStore;
  // `root` is an absolute path (INVALID_ARGUMENT otherwise). RESOURCE_EXHAUSTED: there are no threads for it.
  static absl::StatusOr<std::unique_ptr<LoopbackBackend>> Open(std::string root, Missing missing);

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size, ReadCallback done) override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override;
  std::string Url() const override { return "loopback:" + root_; }
  // Looks at the file system that ROOT is on, or would be if it were made now.
  bool IsNetwork() const override { return loopback::IsOnNetwork(root_); }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override;
  absl::Status Replace(std::string_view name, std::string_view content) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override;
  absl::Status Remove(std::string_view name) override;
  absl::Status Move(std::string_view from, std::string_view to) override;

 private:
  LoopbackBackend(std::string root, std::unique_ptr<ThreadPool> reads);
  std::string PathOf(std::string_view name) const;
  absl::StatusOr<std::string> ReadNow(const std::string& name, uint64_t offset,
                                      uint64_t size) const;
  // Makes the directories of an object, durably.
  absl::Status MakeDirectories(std::string_view name);
  // NOT_FOUND, or UNAVAILABLE when the root itself is missing.
  absl::Status Missed(std::string_view name) const;

  const std::string root_;
  Mutex mutex_;
  std::set<std::string, std::less<>> durable_directories_ ABSL_GUARDED_BY(mutex_);
  const std::unique_ptr<ThreadPool> reads_;  // last: its destructor waits for the reads under way
};

}  // namespace slacker
