// Debian's nfs-ganesha, with the portmapper (rpcbind) that it wants, for tests.
//
// The first server puts this process into namespaces of its own for mounts and the network, so
// that ports need not be looked for and nothing is left behind: make it before any thread. Needs
// root. NFS is at port 2049 of the namespace's loopback address; the mount protocol is where the
// portmapper says.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace slacker::testing {

class NfsServer {
 public:
  static constexpr uint16_t kPort = 2049;
  static constexpr uint16_t kMountPort = 20048;

  struct Options {
    int lease_seconds = 60;
    // After a start with clients that had state in version 4.
    int grace_seconds = 5;
    bool read_only = false;
    bool squash_root = false;
    // Of a tmpfs that is made for the export; 0: a plain directory.
    uint64_t capacity_bytes = 0;
    // What it allows in one read; 0: its own default.
    uint32_t max_read_bytes = 0;
  };

  // Serves `directory`/export as /store; its own files are in `directory`, too.
  explicit NfsServer(std::string directory) : NfsServer(std::move(directory), Options()) {}
  NfsServer(std::string directory, Options options);
  ~NfsServer();
  NfsServer(const NfsServer&) = delete;
  NfsServer& operator=(const NfsServer&) = delete;

  const std::string& export_directory() const { return export_; }
  // Of `path` below the export ("" or "/…"), with `options` ("&uid=1") behind the version.
  static std::string Url(int version, const std::string& path, const std::string& options = "");

  // After Kill or Stop. Returns once it accepts connections.
  void Start();
  // Changes what is exported; takes effect at the next Start.
  void Configure(Options options);
  void Kill();    // SIGKILL; returns once it is gone
  void Pause();   // SIGSTOP; returns once all of it stands still
  void Resume();  // SIGCONT

 private:
  void WriteConfiguration();

  const std::string directory_;
  const std::string export_;
  Options options_;
  pid_t pid_ = -1;
};

}  // namespace slacker::testing
