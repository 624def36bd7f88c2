#include "backend/nfs/read_operation.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "backend/base/status.h"

namespace slacker::nfs {

ReadOperation::ReadOperation(Protocol* protocol, NameTree* tree, ReadLimit* limit, std::string name,
                             uint64_t offset, uint64_t size, Callback done)
    : protocol_(protocol),
      tree_(tree),
      limit_(limit),
      name_(std::move(name)),
      offset_(offset),
      size_(size),
      done_(std::move(done)) {}

void ReadOperation::Start(Protocol* protocol, NameTree* tree, ReadLimit* limit, std::string name,
                          uint64_t offset, uint64_t size, Callback done) {
  const std::shared_ptr<ReadOperation> operation(
      new ReadOperation(protocol, tree, limit, std::move(name), offset, size, std::move(done)));
  operation->Begin();
}

void ReadOperation::Begin() {
  tree_->Find(name_, [self = shared_from_this()](const absl::StatusOr<Found>& found) {
    self->OnFound(found);
  });
}

void ReadOperation::OnFound(const absl::StatusOr<Found>& found) {
  if (!found.ok()) {
    Fail(found.status());
    return;
  }
  found_ = *found;
  const Attributes& attributes = found_.node.attributes;
  if (attributes.type != FileType::kRegular) {
    Fail(ErrnoError(ENOENT, name_ + " is no file"));
    return;
  }
  const uint64_t length = attributes.size_bytes;
  want_ = offset_ < length ? std::min(size_, length - offset_) : 0;
  end_ = want_;
  removed_ = false;
  error_ = absl::OkStatus();
  bytes_.clear();
  if (want_ == 0) {
    Finish();
    return;
  }
  limit_->Begin(want_, [self = shared_from_this()] { self->ReadPieces(); });
}

void ReadOperation::ReadPieces() {
  const uint32_t piece = tree_->limits().read_bytes;
  if (want_ > piece) bytes_.resize(want_);
  under_way_ = 1;  // until all have begun
  for (uint64_t position = 0; position < want_; position += piece) {
    ReadPiece(position, static_cast<uint32_t>(std::min<uint64_t>(piece, want_ - position)));
  }
  if (--under_way_ == 0) AllDone();
}

void ReadOperation::AllDone() {
  // What waits begins after this read has its answer: it may be the same caller's next one.
  const uint64_t bytes = want_;
  Finish();
  limit_->End(bytes);
}

void ReadOperation::ReadPiece(uint64_t position, uint32_t size) {
  ++under_way_;
  auto got = std::make_shared<uint32_t>(0);
  auto ended = std::make_shared<bool>(false);
  protocol_->Read(
      found_.node.handle, offset_ + position, size,
      [self = shared_from_this(), position, size, got, ended](const ReadPart& part) {
        *got = static_cast<uint32_t>(part.bytes.size());
        *ended = part.end;
        self->OnPart(position, size, part);
      },
      [self = shared_from_this(), position, size, got, ended](const absl::Status& status) {
        // A short answer that does not end the object is continued.
        if (status.ok() && *got < size && !*ended && *got > 0) {
          self->ReadPiece(position + *got, size - *got);
        }
        self->OnPieceDone(position, size,
                          status.ok() && *got == 0 && !*ended
                              ? Internal("the NFS server answers a read with "
                                         "nothing")
                              : status);
      });
}

void ReadOperation::OnPart(uint64_t position, uint32_t size, const ReadPart& part) {
  removed_ = removed_ || part.removed;
  if (part.end && part.bytes.size() < size) end_ = std::min(end_, position + part.bytes.size());
  if (position == 0 && bytes_.empty()) {
    bytes_.assign(part.bytes);
    if (part.bytes.size() < want_ && !part.end) bytes_.resize(want_);
  } else {
    std::memcpy(bytes_.data() + position, part.bytes.data(), part.bytes.size());
  }
}

void ReadOperation::OnPieceDone(uint64_t /*position*/, uint32_t /*size*/,
                                const absl::Status& status) {
  if (!status.ok() && error_.ok()) error_ = status;
  if (--under_way_ == 0) AllDone();
}

void ReadOperation::Finish() {
  if (!error_.ok()) {
    Fail(error_);
    return;
  }
  // Replaced or removed since the name was looked up. The second time it happened just now: these
  // bytes were the object's when the read began.
  if (removed_ && !second_attempt_) {
    Fail(ErrnoError(ESTALE, name_));
    return;
  }
  bytes_.resize(std::min<uint64_t>(bytes_.size(), end_));
  done_(std::move(bytes_));
}

void ReadOperation::Fail(const absl::Status& status) {
  if (ErrnoOf(status) != ESTALE || second_attempt_) {
    done_(Annotate(status, "read " + name_));
    return;
  }
  second_attempt_ = true;
  if (removed_) {
    tree_->Forget(name_);
  } else {
    tree_->StartNewLife(found_.life);
  }
  Begin();
}

}  // namespace slacker::nfs
