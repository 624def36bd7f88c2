// Where a store lives: a flat name space of objects, each a byte string.
//
// Model. An object has a name ("packs/3f…") and content. Objects appear whole or not at all, and
// never change, except those that Replace writes (a reader sees the old content or the new one,
// never a mixture). There are no locks: any number of publishers and nodes use one store at once,
// and a client that dies leaves nothing that others must wait for.
//
// Names are one or more components of [A-Za-z0-9._-] joined by '/', none empty, "." or "..", none
// beginning with ".tmp-", at most 255 bytes in all (ValidateObjectName); every method answers
// INVALID_ARGUMENT for others.
//
// Errors, the same for every method and backend:
//   NOT_FOUND           no such object
//   UNAVAILABLE         the store does not answer; trying again may help
//   PERMISSION_DENIED   the store refuses this client, or is read-only
//   RESOURCE_EXHAUSTED  the store is full
//   DATA_LOSS           the store reports a media error
//   INTERNAL            anything else
// Bytes are not verified here: whoever reads an object knows its digest or checks its signature.
//
// Threading: all methods are thread-safe. Callbacks run on threads of the backend, must not block
// for long, and may call ReadAsync. The destructor waits until every callback has run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker {

// What opening a store does when its directory is not there.
enum class MissingStore {
  kCreate,  // makes it, with its parents; for writers: sweeps what dead ones left
  kAllow,   // opens all the same: it may come later
  kFail,    // UNAVAILABLE
};

struct ObjectInfo {
  uint64_t size_bytes = 0;
  // For people and for maintenance; 0 where a backend does not know.
  int64_t modified_unix_seconds = 0;
};

// What a node needs of a store.
class ReadBackend {
 public:
  using ReadCallback = std::function<void(absl::StatusOr<std::string>)>;

  virtual ~ReadBackend() = default;

  // Reads [offset, offset + size) of an object and hands it to `done`, exactly once, on another
  // thread. The string has `size` bytes, fewer only where the object ends before (empty at or
  // beyond its end). `size` is at most 64 MiB (INVALID_ARGUMENT above). Returns at once; hundreds
  // of reads may be under way.
  virtual void ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                         ReadCallback done) = 0;

  virtual absl::StatusOr<ObjectInfo> Stat(std::string_view name) = 0;

  // The URL that this backend was opened with, for messages.
  virtual std::string Url() const = 0;

  // Whether others than this machine's root may be able to write the store, as far as can be told
  // now: its content is to be believed only with a signature then.
  virtual bool IsNetwork() const { return true; }

  // How many places hold the same objects, each of which can be asked by itself: for those who find
  // that what they read is not what it should be. The first read of an object is ReadAsync's.
  virtual int Copies() const { return 1; }
  // As ReadAsync, of copy 0 … Copies() - 1.
  virtual void ReadCopyAsync(int copy, std::string_view name, uint64_t offset, uint64_t size,
                             ReadCallback done);

  // ReadAsync and wait. Must not be called from a callback.
  absl::StatusOr<std::string> Read(std::string_view name, uint64_t offset, uint64_t size);
  // The whole object. RESOURCE_EXHAUSTED when it is larger than `limit` bytes: no allocation by a
  // foreign length.
  absl::StatusOr<std::string> ReadWhole(std::string_view name, uint64_t limit);
};

// A new object while it is written. Move-only by way of unique_ptr; thread-compatible. Destroying
// it without Commit leaves nothing visible.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;
  virtual absl::Status Append(std::string_view data) = 0;
  // Makes the object appear, durably: when this returns OK, a crash of client or server does not
  // lose it. An object of this name that is already there is left as it is and the answer is OK
  // (names of immutable objects tell their content).
  virtual absl::Status Commit() = 0;
};

// What a publisher and maintenance need beside reading.
class Backend : public ReadBackend {
 public:
  virtual absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) = 0;

  // Sets the whole content of an object, whether or not it exists; durable and atomic like Commit.
  virtual absl::Status Replace(std::string_view name, std::string_view content) = 0;

  // The names that begin with `prefix` ("packs/": empty, or whole components with a '/' at the end;
  // INVALID_ARGUMENT otherwise), sorted. Objects that come or go meanwhile may be missing or
  // present. Unfinished objects are never listed. What a file system has in the place of an object,
  // a link or a pipe, is listed, though it can be neither looked at nor read (NOT_FOUND): maintenance
  // has to find it.
  virtual absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) = 0;

  // OK also when there is no such object.
  virtual absl::Status Remove(std::string_view name) = 0;

  // Gives an object another name, atomically and durably; what had that name is gone. Nothing is
  // copied, so it works in a store that is full. Content and time of writing stay. Whatever else a
  // file system may have in the place of an object (a link, a pipe, a directory) is moved like one.
  // NOT_FOUND: nothing has the name `from`. REQUIRES: the names differ.
  virtual absl::Status Move(std::string_view from, std::string_view to) = 0;

  // Create + Append + Commit.
  absl::Status Put(std::string_view name, std::string_view content);
};

// The rule for names stated above.
absl::Status ValidateObjectName(std::string_view name);
// For implementations: the arguments of ReadAsync and of List.
absl::Status ValidateRead(std::string_view name, uint64_t size);
absl::Status ValidateListPrefix(std::string_view prefix);

}  // namespace slacker
