// Where an NFS store is: what an nfs:// URL says.
//
//   nfs://HOST[:PORT]/EXPORT/PATH[?OPTION=VALUE&…]
//
// HOST is a name, an IPv4 address or an IPv6 address in brackets. Options, as in libnfs' URLs:
//   version=3|4     the protocol; 3 if not given
//   uid=N, gid=N    whom the server sees; this process' own if not given
//   nfsport=N, mountport=N   ports, each 1 to 65535. PORT sets both. Without them NFS is at 2049,
//                   and the server's portmapper is asked for the mount protocol (version 3 only).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace slacker {

struct NfsTarget {
  std::string url;
  std::string host;
  uint16_t port = 2049;
  uint16_t mount_port = 0;        // 0: ask the portmapper
  std::vector<std::string> path;  // components, none empty, "." or ".."
  int version = 3;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

// `url` with the scheme. INVALID_ARGUMENT for anything that the grammar above does not allow: no
// option is ignored.
absl::StatusOr<NfsTarget> ParseNfsUrl(std::string_view url);

}  // namespace slacker
