// The keeper's state and its loop. See snapshotter/keeper/protocol.h for what it promises. Uses
// nothing but libc, takes no file but /proc and is locked into memory: it must live when all else
// on the machine is in trouble.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <map>
#include <string>

#include "backend/base/unique_fd.h"
#include "cmd/slackerd-keeper/descriptor_store.h"
#include "cmd/slackerd-keeper/keeper_state.h"
#include "snapshotter/keeper/protocol.h"

namespace slacker::keeper {

// How long the keeper goes on without anybody who serves. An owner that has answered nobody and lived
// for less than kProvedAfter has not served: a slackerd that ends over and over at its start leaves
// the deadline where it was, so that readers do not wait for ever. One that answers some readers before
// it ends, however soon, is what these live on.
class OwnerDeadline {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kProvedAfter{10};

  OwnerDeadline(std::chrono::seconds deadline, TimePoint now)
      : deadline_(deadline), unserved_since_(now) {}
  void OwnerCame(TimePoint now) { owned_since_ = now; }
  void OwnerServes(TimePoint now) { owned_since_ = std::min(owned_since_, now - kProvedAfter); }
  void OwnerWent(TimePoint now) {
    if (now - owned_since_ >= kProvedAfter) unserved_since_ = now;
  }
  // While there is no owner; zero when it is over.
  std::chrono::milliseconds Left(TimePoint now) const;

  // For a keeper that goes on in this one's place.
  void Save(KeeperState* state) const;
  static OwnerDeadline Restore(const KeeperState& state);

 private:
  std::chrono::seconds deadline_;
  TimePoint unserved_since_;
  TimePoint owned_since_;
};

// One thread.
class Keeper {
 public:
  using Kept = std::map<std::string, UniqueFd>;

  // `lock`: what keeps other keepers away from `socket_path`, where `listener` listens. `kept`: of an
  // earlier process of this unit.
  Keeper(UniqueFd listener, UniqueFd lock, std::string socket_path, std::chrono::seconds deadline,
         DescriptorStore store, Kept kept);
  // Goes on with what the keeper before in this process had.
  Keeper(const KeeperState& state, std::string socket_path, DescriptorStore store);
  // Serves until kBye, or until the deadline passes without an owner. Returns the exit status.
  int Run();

 private:
  struct Client {
    UniqueFd socket;
    pid_t pid = 0;
  };
  using Clients = std::list<Client>;

  int Loop();
  void Accept();
  // False when the client is to be disconnected.
  bool Serve(Clients::iterator client);
  Reply Answer(Clients::iterator client, const Request& request, UniqueFd fd, int* give);
  Reply Acquire(Clients::iterator client);
  int Put(const std::string& name, UniqueFd fd);
  void Drop(const std::string& name);
  void DropAll();
  int Replace(Clients::iterator client, const UniqueFd& program);
  void Disconnect(Clients::iterator client);
  int MillisecondsLeft() const;

  const UniqueFd listener_;
  const UniqueFd lock_;
  const std::string socket_path_;
  OwnerDeadline deadline_;
  const DescriptorStore store_;
  Clients clients_;
  Clients::iterator owner_ = clients_.end();
  Kept kept_;
  bool ending_ = false;
};

}  // namespace slacker::keeper
