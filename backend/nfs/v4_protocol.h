// NFS version 4.0 (RFC 7530), by compounds of our own. One thread: the loop's.
//
// Nothing is read or written with state of ours on the server: READ and WRITE carry the anonymous
// state ID, so no lease needs to be renewed, and none can expire. Only making a file needs an OPEN,
// and so a client ID: it is closed at once, and a client ID that the server has forgotten meanwhile
// is replaced.
//
// libnfs 4.0 encodes a compound into 4 KiB, hence kMaxWriteBytes.
#pragma once

#include <string>
#include <vector>

#include "backend/base/thread_pool.h"
#include "backend/nfs/channel.h"
#include "backend/nfs/event_loop.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/target.h"

namespace slacker::nfs {

class V4Protocol final : public Protocol {
 public:
  static constexpr uint32_t kMaxWriteBytes = 3 << 10;

  V4Protocol(EventLoop* loop, ThreadPool* resolver, const NfsTarget& target,
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
  void Close() override { channel_.Close(); }

 private:
  struct Opening;
  // A client ID that the server knows, as far as we know.
  void WithClient(Done<uint64_t> done);
  void ConfirmClient(uint64_t client, const std::string& verifier);
  void FinishClient(const absl::StatusOr<uint64_t>& client);
  void OpenFile(const std::shared_ptr<Opening>& opening);
  void ConfirmOpen(const std::shared_ptr<Opening>& opening);
  void CloseFile(const std::shared_ptr<Opening>& opening);

  const Patience patience_;
  Channel channel_;
  std::string client_name_;  // made when it is needed
  uint64_t client_ = 0;      // 0: none
  uint64_t owners_ = 0;      // that have been used
  std::vector<Done<uint64_t>> want_client_;
};

}  // namespace slacker::nfs
