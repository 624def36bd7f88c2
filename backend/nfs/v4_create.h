// How files are made with NFS version 4.0: the one thing for which a server wants a client that it knows.
// Each file is opened and closed at once, and a client ID that the server has forgotten meanwhile is
// replaced. One thread: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/nfs/channel.h"
#include "backend/nfs/protocol.h"

namespace slacker::nfs {

class V4FileMaker {
 public:
  // `channel` outlives this.
  V4FileMaker(Channel* channel, const Patience& patience)
      : channel_(channel), patience_(patience) {}

  // As Protocol::CreateFile.
  void CreateFile(const Handle& directory, const std::string& name, Done<Node> done);

 private:
  struct Opening;
  // A client ID that the server knows, as far as we know.
  void WithClient(Done<uint64_t> done);
  void ConfirmClient(uint64_t client, const std::string& verifier);
  void FinishClient(const absl::StatusOr<uint64_t>& client);
  void OpenFile(const std::shared_ptr<Opening>& opening);
  void ConfirmOpen(const std::shared_ptr<Opening>& opening);
  void CloseFile(const std::shared_ptr<Opening>& opening);

  Channel* const channel_;
  const Patience patience_;
  std::string client_name_;  // made when it is needed
  uint64_t client_ = 0;      // 0: none
  uint64_t owners_ = 0;      // that have been used
  std::vector<Done<uint64_t>> want_client_;
};

}  // namespace slacker::nfs
