#include "snapshotter/boot/start_recording.h"

#include <algorithm>

namespace slacker {

StartRecording::StartRecording(const Digest& chain_id, const std::vector<BlobRow>& layers) {
  trace_.chain_id = chain_id;
  for (const BlobRow& layer : layers) {
    const auto position = static_cast<uint32_t>(trace_.records.size());
    trace_.records.push_back(layer.record);
    // Chains may have a layer twice: then it is one blob.
    blobs_.try_emplace(layer.id, Blob{position, layer.size_bytes / kTracePageBytes});
  }
}

bool StartRecording::Note(uint64_t blob_id, uint64_t offset, uint32_t size) {
  const auto blob = blobs_.find(blob_id);
  if (blob == blobs_.end()) return false;
  const auto [layer, pages] = blob->second;
  const uint64_t end = std::min((offset + size + kTracePageBytes - 1) / kTracePageBytes, pages);
  for (uint64_t number = offset / kTracePageBytes; number < end && !IsFull(); ++number) {
    const auto page = static_cast<uint32_t>(number);
    if (number != page || !seen_.emplace(layer, page).second) continue;
    if (!trace_.ranges.empty()) {
      TraceRange& last = trace_.ranges.back();
      if (last.layer == layer && last.first + last.count == page) {
        ++last.count;
        continue;
      }
    }
    trace_.ranges.push_back({layer, page, 1, 1});
  }
  return true;
}

}  // namespace slacker
