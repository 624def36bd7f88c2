#include "backend/publish/pack_verifier.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/record/layer.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr uint64_t kStepBytes = 4 << 20;

absl::Status CheckChunk(const PackedChunk& chunk, std::string_view stored) {
  std::string inflated;
  std::string_view content = stored;
  absl::Status status;
  if (chunk.compressed) {
    status = DecompressExactly(stored, chunk.size_bytes, &inflated);
    content = inflated;
  }
  if (status.ok() && Sha256::Of(content) != chunk.digest) {
    status = DataLoss("does not match its digest");
  }
  return Annotate(status,
                  "chunk " + chunk.digest.ToString() + " at byte " + std::to_string(chunk.offset));
}

// The pack on its way past its chunks, in the order of their offsets. Thread-compatible.
class PackCheck {
 public:
  explicit PackCheck(const PackIndex& index) : index_(index) {
    order_.reserve(index.chunks.size());
    for (const PackedChunk& chunk : index.chunks) order_.push_back(&chunk);
    std::sort(order_.begin(), order_.end(),
              [](const PackedChunk* a, const PackedChunk* b) { return a->offset < b->offset; });
  }

  absl::Status Take(std::string_view bytes) {
    hash_.Update(bytes);
    kept_ += bytes;
    const uint64_t end = start_ + kept_.size();
    for (; next_ < order_.size(); ++next_) {
      const PackedChunk& chunk = *order_[next_];
      if (chunk.offset + chunk.stored_bytes > end) break;
      // Our writers put chunks one after the other; what overlaps more than a window is not ours.
      if (chunk.offset < start_) return DataLoss("chunks overlap");
      RETURN_IF_ERROR(CheckChunk(
          chunk, std::string_view(kept_).substr(chunk.offset - start_, chunk.stored_bytes)));
    }
    const uint64_t needed = next_ < order_.size() ? std::min(order_[next_]->offset, end) : end;
    if (needed > start_) {
      kept_.erase(0, needed - start_);
      start_ = needed;
    }
    return absl::OkStatus();
  }

  absl::Status Finish() {
    if (start_ + kept_.size() != index_.pack_bytes) {
      return DataLoss("it has " + std::to_string(start_ + kept_.size()) +
                      " bytes, its index says " + std::to_string(index_.pack_bytes));
    }
    if (hash_.Finish() != index_.pack)
      return DataLoss("its bytes do not have the digest of its name");
    return absl::OkStatus();
  }

 private:
  const PackIndex& index_;
  std::vector<const PackedChunk*> order_;
  size_t next_ = 0;  // in order_
  Sha256 hash_;
  std::string kept_;  // from start_ on: at most a step and an unfinished chunk
  uint64_t start_ = 0;
};

}  // namespace

absl::Status VerifyPack(ReadBackend& backend, const PackIndex& index,
                        const std::function<void(uint64_t bytes)>& read) {
  PackCheck check(index);
  const std::string name = PackName(index.pack);
  for (uint64_t at = 0;; at += kStepBytes) {
    ASSIGN_OR_RETURN(const std::string bytes, backend.Read(name, at, kStepBytes));
    if (read) read(bytes.size());
    RETURN_IF_ERROR(check.Take(bytes));
    if (bytes.size() < kStepBytes || at > index.pack_bytes) return check.Finish();
  }
}

absl::Status VerifyPackBytes(ReadBackend& backend, const Digest& pack,
                             const std::function<void(uint64_t bytes)>& read) {
  ASSIGN_OR_RETURN(const ObjectInfo info, backend.Stat(PackName(pack)));
  return VerifyPack(backend, {pack, info.size_bytes, {}}, read);
}

}  // namespace slacker
