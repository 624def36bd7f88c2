// What the attach helper's children do: everything that may block in our own FUSE. One thread each.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "snapshotter/attach/attach_protocol.h"

namespace slacker::attach {

// A file of one of our FUSE connections, by its path "<parent>/<connection>/<blob ID>".
struct FusePath {
  std::string connection;  // the connection's directory
  uint64_t blob_id = 0;
};

// False when `path` is not a file of a connection directory directly below `parent`.
bool ParseFusePath(const std::string& parent, const std::string& path, FusePath* parsed);

// False when `path` is not "<directory>/<blob ID>.data".
bool ParseCachePath(const std::string& directory, const std::string& path, uint64_t* blob_id);

// The directory that holds `path`.
std::string ParentOf(const std::string& path);

// Whether something is mounted there: two stat(2).
bool IsMountPoint(const std::string& path);

// Does what the request says. See TreeMounter for the errors.
absl::Status Perform(const Request& request);

}  // namespace slacker::attach
