#include "backend/layer/chunker.h"

#include <algorithm>
#include <cstring>

#include "backend/base/status.h"
#include "backend/record/layer_rows.h"

namespace slacker {
namespace {

bool IsZero(std::string_view bytes) {
  return bytes[0] == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace

absl::Status Chunker::Begin(uint64_t size_bytes) {
  if (layer_->totals().files >= kMaxCount) return InvalidArgument("too many files");
  if ((size_bytes - 1) / layer_->chunk_size() >= kNone) return InvalidArgument("file too large");
  layer_->BeginFile(size_bytes);
  file_bytes_ = size_bytes;
  partial_index_ = kNone;
  return absl::OkStatus();
}

absl::Status Chunker::Write(uint64_t offset, std::string_view data) {
  const uint64_t chunk_size = layer_->chunk_size();
  while (!data.empty()) {
    const auto index = static_cast<uint32_t>(offset / chunk_size);
    const size_t within = offset % chunk_size;
    const size_t full = std::min(chunk_size, file_bytes_ - index * chunk_size);
    const size_t taken = std::min(full - within, data.size());
    if (partial_index_ != index) RETURN_IF_ERROR(FlushPartial());
    if (taken == full) {
      RETURN_IF_ERROR(Store(index, data.substr(0, full)));
    } else {
      if (partial_index_ != index) {
        partial_.assign(full, '\0');
        partial_index_ = index;
      }
      std::memcpy(partial_.data() + within, data.data(), taken);
    }
    data.remove_prefix(taken);
    offset += taken;
  }
  return absl::OkStatus();
}

absl::Status Chunker::End() {
  RETURN_IF_ERROR(FlushPartial());
  layer_->EndFile();
  return absl::OkStatus();
}

absl::Status Chunker::FlushPartial() {
  if (partial_index_ == kNone) return absl::OkStatus();
  const uint32_t index = partial_index_;
  partial_index_ = kNone;
  return Store(index, partial_);
}

absl::Status Chunker::Store(uint32_t index, std::string_view content) {
  if (IsZero(content)) return absl::OkStatus();
  if (layer_->totals().chunks >= kMaxCount) return InvalidArgument("too many chunks");
  hash_.Update(content);
  const Digest digest = hash_.Finish();
  RETURN_IF_ERROR((*sink_)(digest, content));
  layer_->AddChunk(digest, index, static_cast<uint32_t>(content.size()));
  return absl::OkStatus();
}

}  // namespace slacker
