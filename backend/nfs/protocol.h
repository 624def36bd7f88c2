// What is asked of an NFS server, the same for versions 3 and 4. Loop thread only.
//
// Every call is asynchronous: `done` runs later, exactly once, on the loop's thread. Errors are
// those of ErrnoError, with the server's verdict as errno value (ErrnoOf):
//   ENOENT, ENOTDIR, EEXIST, EISDIR …    as one knows them
//   ESTALE     the handle names nothing any more: look its name up again
//   EBADF      (ReadDirectory) the cookie is not valid any more: begin again
// and UNAVAILABLE when there is no answer in time. Handles, names and sizes are the server's and
// have been checked against the limits of the protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker::nfs {

using Handle = std::string;  // at most 128 bytes, opaque

template <class T>
using Done = std::function<void(absl::StatusOr<T>)>;
// `resent`: the call may have been carried out before, and this be the answer to a second attempt.
using DoneOnce = std::function<void(absl::Status, bool resent)>;

enum class FileType { kRegular, kDirectory, kOther, kUnknown };

struct Attributes {
  FileType type = FileType::kUnknown;
  uint64_t size_bytes = 0;
  uint64_t file_id = 0;
  uint32_t links = 0;
  int64_t modified_unix_seconds = 0;
};

struct Node {
  Handle handle;
  Attributes attributes;
};

// Where the server lets a client in on the way to a path, and what is left of it.
struct Entrance {
  Handle handle;
  std::vector<std::string> rest;
};

struct Limits {
  uint32_t read_bytes = 0;
  uint32_t write_bytes = 0;
};

// What Read hands out: valid only during the callback's run.
struct ReadPart {
  std::string_view bytes;  // at most what was asked for
  bool end = false;        // the file ends with them
  bool removed = false;    // the server says that the file has no name any more
};

struct WritePart {
  uint32_t bytes = 0;     // at most what was given
  bool durable = false;   // no Commit is needed
  uint64_t verifier = 0;  // changes when the server has lost what is not committed
};

struct DirectoryEntry {
  std::string name;
  FileType type = FileType::kUnknown;
  int64_t modified_unix_seconds = 0;
};

struct DirectoryPage {
  std::vector<DirectoryEntry> entries;  // without "." and ".."
  uint64_t cookie = 0;                  // for the next page
  uint64_t verifier = 0;
  bool end = false;
};

class Protocol {
 public:
  virtual ~Protocol() = default;
  virtual void Enter(const std::vector<std::string>& path, Done<Entrance> done) = 0;
  virtual void GetLimits(const Handle& root, Done<Limits> done) = 0;
  // Of the handle that comes with a name.
  virtual void Lookup(const Handle& directory, const std::string& name, Done<Node> done) = 0;
  // `part` runs before `done` when the status is OK.
  virtual void Read(const Handle& file, uint64_t offset, uint32_t size,
                    std::function<void(const ReadPart&)> part,
                    std::function<void(absl::Status)> done) = 0;
  // Makes an empty file of mode 0644; one of this name that is there is as good.
  virtual void CreateFile(const Handle& directory, const std::string& name, Done<Node> done) = 0;
  // `data` outlives the call.
  virtual void Write(const Handle& file, uint64_t offset, std::string_view data,
                     Done<WritePart> done) = 0;
  virtual void Commit(const Handle& file, Done<uint64_t> done) = 0;  // the verifier
  virtual void Link(const Handle& file, const Handle& directory, const std::string& name,
                    DoneOnce done) = 0;
  virtual void Rename(const Handle& from_directory, const std::string& from,
                      const Handle& to_directory, const std::string& to, DoneOnce done) = 0;
  virtual void Remove(const Handle& directory, const std::string& name, DoneOnce done) = 0;
  virtual void MakeDirectory(const Handle& directory, const std::string& name, DoneOnce done) = 0;
  // Cookie and verifier are 0 for the first page, and those of the page before for others.
  virtual void ReadDirectory(const Handle& directory, uint64_t cookie, uint64_t verifier,
                             Done<DirectoryPage> done) = 0;
  // Ends all calls, and those to come, with UNAVAILABLE.
  virtual void Close() = 0;
};

}  // namespace slacker::nfs
