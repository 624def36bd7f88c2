// One ReadAsync: looks the name up, reads the range in pieces of what the server allows, all at
// once, and puts them together. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/nfs/name_tree.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/read_limit.h"

namespace slacker::nfs {

class ReadOperation : public std::enable_shared_from_this<ReadOperation> {
 public:
  using Callback = std::function<void(absl::StatusOr<std::string>)>;

  // `done` gets what backend.h says of ReadAsync.
  static void Start(Protocol* protocol, NameTree* tree, ReadLimit* limit, std::string name,
                    uint64_t offset, uint64_t size, Callback done);

 private:
  ReadOperation(Protocol* protocol, NameTree* tree, ReadLimit* limit, std::string name,
                uint64_t offset, uint64_t size, Callback done);
  void Begin();
  void OnFound(const absl::StatusOr<Found>& found);
  void ReadPieces();
  void ReadPiece(uint64_t position, uint32_t size);
  void OnPart(uint64_t position, uint32_t size, const ReadPart& part);
  void OnPieceDone(uint64_t position, uint32_t size, const absl::Status& status);
  void AllDone();
  void Finish();
  // Another attempt with handles looked up anew, if this was the first.
  void Fail(const absl::Status& status);

  Protocol* const protocol_;
  NameTree* const tree_;
  ReadLimit* const limit_;
  const std::string name_;
  const uint64_t offset_;
  const uint64_t size_;
  const Callback done_;

  Found found_;
  std::string bytes_;
  uint64_t want_ = 0;  // of size_, as far as the object reaches
  uint64_t end_ = 0;   // relative to offset_: where the object was seen to end, or want_
  int under_way_ = 0;
  bool second_attempt_ = false;
  bool removed_ = false;
  absl::Status error_;
};

}  // namespace slacker::nfs
