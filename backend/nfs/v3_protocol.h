// NFS version 3 (RFC 1813), with its mount protocol and, where no port is given for that, the
// portmapper. One thread: the loop's.
#pragma once

#include <memory>

#include "backend/base/thread_pool.h"
#include "backend/nfs/channel.h"
#include "backend/nfs/event_loop.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/target.h"

namespace slacker::nfs {

class V3Protocol final : public Protocol {
 public:
  V3Protocol(EventLoop* loop, ThreadPool* resolver, const NfsTarget& target,
             const Patience& patience);

  void Enter(const std::vector<std::string>& path, Done<Entrance> done) override;
  void GetLimits(const Handle& root, Done<Limits> done) override;
  void Lookup(const Handle& directory, const std::string& name, Done<Node> done) override;
  void Read(const Handle& file, uint64_t offset, uint32_t size,
            std::function<void(const ReadPart&)> part,
            std::function<void(absl::Status)> done) override;
  void CreateFile(const Handle& directory, const std::string& name, Done<Node> done) override;
  void Write(const Handle& file, uint64_t offset, std::string_view data,
             Done<WritePart> done) override;
  void Commit(const Handle& file, Done<uint64_t> done) override;
  void Link(const Handle& file, const Handle& directory, const std::string& name,
            DoneOnce done) override;
  void Rename(const Handle& directory, const std::string& from, const std::string& to,
              DoneOnce done) override;
  void Remove(const Handle& directory, const std::string& name, DoneOnce done) override;
  void MakeDirectory(const Handle& directory, const std::string& name, DoneOnce done) override;
  void ReadDirectory(const Handle& directory, uint64_t cookie, uint64_t verifier,
                     Done<DirectoryPage> done) override;
  void Close() override;

 private:
  struct Entering;
  std::unique_ptr<Channel> NewChannel(uint16_t port, int connections) const;
  void AskForMountPort(const std::shared_ptr<Entering>& entering);
  // Tries the first `length` components of the path.
  void Mount(const std::shared_ptr<Entering>& entering, size_t length);
  void FinishEntering(const std::shared_ptr<Entering>& entering, absl::StatusOr<Entrance> entrance);

  EventLoop* const loop_;
  ThreadPool* const resolver_;
  const NfsTarget target_;
  const Patience patience_;
  Channel channel_;
  bool closed_ = false;
  std::vector<std::shared_ptr<Entering>> entering_;
};

}  // namespace slacker::nfs
