// What processes, files and servers of a site have used: readers of /proc, of directories and of logs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/hellobench/results/result.h"

namespace slacker::hellobench {

// A line of /proc/PID/stat, as far as it is used.
struct ProcessStat {
  pid_t pid = 0;
  pid_t parent = 0;
  std::string name;        // at most 15 bytes
  uint64_t start = 0;      // clock ticks since the machine's
  uint64_t cpu_ticks = 0;  // with those of children that have ended and were waited for
};

// INTERNAL for what does not have the form of proc(5). `text` may be anything.
absl::StatusOr<ProcessStat> ParseStat(std::string_view text);

// The processes that share `init`'s process namespace, those of namespaces below it not among them.
absl::StatusOr<std::vector<ProcessStat>> ProcessesOf(pid_t init);

// Which daemon each process of a node belongs to: "containerd" is that process and what it has
// started; shims, their descendants and the first process are nobody's; all others are the
// snapshotter's, its helpers that have become orphans among them.
std::map<pid_t, std::string> Owners(const std::vector<ProcessStat>& processes, pid_t init,
                                    pid_t containerd, const std::string& snapshotter);

// What the daemons of one node have taken. A process that has ended counts with what it had when it was
// last looked at. For one thread.
class DaemonMeter {
 public:
  DaemonMeter(pid_t init, pid_t containerd, std::string snapshotter);

  absl::Status ResetPeaks();
  // One for each daemon that has, or has had, a process.
  absl::StatusOr<std::vector<DaemonUse>> Read();

 private:
  absl::StatusOr<std::map<pid_t, std::string>> Look();

  const pid_t init_, containerd_;
  const std::string snapshotter_;
  // By process, which a number alone is not.
  std::map<std::pair<pid_t, uint64_t>, std::pair<std::string, uint64_t>> ticks_;
};

// Bytes that are allocated for what is below a directory, each file once; nothing that is mounted there.
absl::StatusOr<int64_t> AllocatedBytes(const std::string& directory);

// Received and sent by an interface in the network namespace of `process`, headers and all.
struct InterfaceBytes {
  int64_t received = 0, sent = 0;
};
absl::StatusOr<InterfaceBytes> ReadInterface(pid_t process, const std::string& interface);
// Of the text of /proc/PID/net/dev. NOT_FOUND: no such interface.
absl::StatusOr<InterfaceBytes> ParseInterface(std::string_view text, const std::string& interface);

// What a server has sent to one client: lines of an access log that begin with the client's address.
struct Served {
  int64_t requests = 0;
  int64_t bytes = 0;
};
// Of the common log format: after the quoted request stand the status and the bytes. Other lines of the
// log, and one that is not finished yet, are passed over. `text` may be anything.
Served ParseAccessLog(std::string_view text, std::string_view client);
absl::StatusOr<Served> ReadAccessLog(const std::string& path, std::string_view client);

}  // namespace slacker::hellobench
