// The keeper's state and its loop. See snapshotter/keeper/protocol.h for what it promises. Uses
// nothing but libc, takes no file but /proc and is locked into memory: it must live when all else
// on the machine is in trouble.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <list>
#include <map>
#include <string>

#include "backend/base/unique_fd.h"
#include "snapshotter/keeper/protocol.h"

namespace slacker::keeper {

// Whether a process can never run code of its own again: gone, a zombie, exiting, or with a SIGKILL
// pending.
bool IsBeyondActing(pid_t pid);

// How long the keeper goes on without anybody who serves. An owner that lived for less than
// kProvedAfter has not served: a slackerd that ends over and over at its start leaves the deadline
// where it was, so that readers do not wait for ever.
class OwnerDeadline {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kProvedAfter{10};

  OwnerDeadline(std::chrono::seconds deadline, TimePoint now)
      : deadline_(deadline), unserved_since_(now) {}
  void OwnerCame(TimePoint now) { owned_since_ = now; }
  void OwnerWent(TimePoint now) {
    if (now - owned_since_ >= kProvedAfter) unserved_since_ = now;
  }
  // While there is no owner; zero when it is over.
  std::chrono::milliseconds Left(TimePoint now) const;

 private:
  const std::chrono::seconds deadline_;
  TimePoint unserved_since_;
  TimePoint owned_since_;
};

// One thread.
class Keeper {
 public:
  Keeper(UniqueFd listener, std::chrono::seconds deadline);
  // Serves until kBye, or until the deadline passes without an owner. Returns the exit status.
  int Run();

 private:
  struct Client {
    UniqueFd socket;
    pid_t pid = 0;
  };
  using Clients = std::list<Client>;

  void Accept();
  // False when the client is to be disconnected.
  bool Serve(Clients::iterator client);
  Reply Answer(Clients::iterator client, const Request& request, UniqueFd fd, int* give);
  Reply Acquire(Clients::iterator client);
  void Disconnect(Clients::iterator client);
  int MillisecondsLeft() const;

  const UniqueFd listener_;
  OwnerDeadline deadline_;
  Clients clients_;
  Clients::iterator owner_ = clients_.end();
  std::map<std::string, UniqueFd> kept_;
  bool ending_ = false;
};

}  // namespace slacker::keeper
