// The descriptor store of systemd (sd_notify(3), FDSTORE; sd_listen_fds(3)): what is put there comes
// back to the unit's next process. Spoken without libsystemd: the keeper is to be small.
#pragma once

#include <map>
#include <string>

#include "backend/base/unique_fd.h"

namespace slacker::keeper {

// One thread. Messages are sent without waiting; one that cannot be sent is lost: the store is the
// second line of defence.
class DescriptorStore {
 public:
  // Does nothing.
  DescriptorStore() = default;
  // Speaks to NOTIFY_SOCKET; does nothing where that is not set.
  static DescriptorStore FromEnvironment();

  bool is_there() const { return socket_.valid(); }
  void Ready() const { Send("READY=1", -1); }
  void Keep(const std::string& name, int fd) const;
  void Forget(const std::string& name) const;

 private:
  void Send(const std::string& message, int fd) const;

  UniqueFd socket_;  // connected
};

// What the store had of an earlier process of the unit, by name; whatever has no usable name is
// closed. Empty when the environment speaks to another process. Call once.
std::map<std::string, UniqueFd> TakeStoredDescriptors();

// Neither this process nor what it executes has a service manager.
void ForgetServiceManager();

}  // namespace slacker::keeper
