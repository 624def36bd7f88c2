// Debian's docker-registry, serving a storage directory on an ephemeral loopback port until the
// object goes.
#pragma once

#include <sys/types.h>

#include <string>
#include <thread>

namespace slacker::testing {

// Files; what is empty is left out.
struct RegistrySettings {
  std::string htpasswd = {};               // whom to ask for a password
  std::string certificate = {}, key = {};  // https
  std::string client_authority = {};       // only for clients with a certificate of this one
};

class RegistryProcess {
 public:
  // Its configuration and log are put into `directory`; storage is `directory`/storage.
  explicit RegistryProcess(const std::string& directory, const RegistrySettings& settings = {});
  ~RegistryProcess();
  RegistryProcess(const RegistryProcess&) = delete;
  RegistryProcess& operator=(const RegistryProcess&) = delete;

  // "127.0.0.1:PORT"; empty when it did not start.
  const std::string& host() const { return host_; }
  const std::string& storage() const { return storage_; }

 private:
  std::string storage_;
  std::string host_;
  pid_t pid_ = -1;
  int log_ = -1;
  std::thread drain_;  // a registry whose log nobody reads would come to a halt
};

}  // namespace slacker::testing
