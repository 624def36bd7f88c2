// A place of its own for processes: namespaces for processes, mounts and network.
//
// Whatever runs in it ends with it: its first process, which only reaps, ends when the descriptor that
// this object holds is closed, also because this program was killed, and the kernel ends all others
// with it; mounts and the network go with the last of them. It sees the machine's files, but an empty
// /run of its own. Made and destroyed by one thread; Enter from any.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"
#include "cmd/hellobench/site/programs.h"

namespace slacker::hellobench {

class Compartment {
 public:
  static absl::StatusOr<std::unique_ptr<Compartment>> Create(Programs& programs);
  ~Compartment();
  Compartment(const Compartment&) = delete;
  Compartment& operator=(const Compartment&) = delete;

  // Its first process, in our own namespace.
  pid_t init() const { return init_; }
  Where where() const { return {init_}; }
  // Calls it on a thread that is on its network.
  absl::Status Enter(const std::function<void()>& body) const;
  // REQUIRES: daemons that were started in it are gone. DEADLINE_EXCEEDED: a process does not end.
  absl::Status Destroy();

 private:
  Compartment(pid_t init, UniqueFd life, UniqueFd network);

  const pid_t init_;
  UniqueFd life_;
  const UniqueFd network_;
  bool gone_ = false;
};

}  // namespace slacker::hellobench
