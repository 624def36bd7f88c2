// How a server of NFS version 3 is entered: portmapper, then MNT. One thread: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/thread_pool.h"
#include "backend/nfs/channel.h"
#include "backend/nfs/event_loop.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/target.h"

namespace slacker::nfs {

class V3Mounter {
 public:
  V3Mounter(EventLoop* loop, ThreadPool* resolver, const NfsTarget& target,
            const Patience& patience);

  // As Protocol::Enter: the longest part of the path that can be mounted.
  void Enter(const std::vector<std::string>& path, Done<Entrance> done);
  void Close();

 private:
  struct Entering;
  std::unique_ptr<Channel> NewChannel(uint16_t port) const;
  void AskForMountPort(const std::shared_ptr<Entering>& entering);
  // Tries the first `length` components of the path.
  void Mount(const std::shared_ptr<Entering>& entering, size_t length);
  void FinishEntering(const std::shared_ptr<Entering>& entering, absl::StatusOr<Entrance> entrance);

  EventLoop* const loop_;
  ThreadPool* const resolver_;
  const NfsTarget target_;
  const Patience patience_;
  bool closed_ = false;
  std::vector<std::shared_ptr<Entering>> entering_;
};

}  // namespace slacker::nfs
