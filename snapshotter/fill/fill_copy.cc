// How FillEngine takes chunks from the caches of other layers.
#include <optional>
#include <string>
#include <utility>

#include "snapshotter/fill/fill_run.h"

namespace slacker {
namespace {

// The chunk with this digest, if the cache has it there.
std::optional<std::string> ReadFrom(const LayerBlob& blob, uint32_t chunk, const Chunk& wanted) {
  if (chunk >= blob.layer().chunks.size()) return std::nullopt;
  const Chunk& there = blob.layer().chunks[chunk];
  if (there.digest != wanted.digest || there.size_bytes != wanted.size_bytes) return std::nullopt;
  // What is being evicted is there until the reading ends.
  const GracePeriod::Use reading = blob.cache().Reading();
  if (!blob.cache().Has(chunk)) return std::nullopt;
  std::string bytes(there.size_bytes, '\0');
  if (!blob.cache().Read(there.blob_offset, bytes.size(), bytes.data()).ok()) return std::nullopt;
  // Damage there is for that one's readers and for the scrubber: here the store has it.
  if (Sha256::Of(bytes) != wanted.digest) return std::nullopt;
  return bytes;
}

}  // namespace

void FillEngine::NoteLocal(const LayerBlob& blob) {
  const auto& chunks = blob.layer().chunks;
  for (uint32_t chunk = 0; chunk < chunks.size(); ++chunk) {
    if (blob.cache().Has(chunk)) local_.Note(chunks[chunk].digest, blob.id(), chunk);
  }
}

bool FillEngine::CopyFromNode(const Run& run, uint32_t chunk, const Fill& fill) {
  const Chunk& wanted = run.blob->layer().chunks[chunk];
  for (const LocalChunks::Place& place : local_.Find(wanted.digest)) {
    if (place.blob == run.blob->id() && place.chunk == chunk) continue;  // it was there once
    const std::shared_ptr<LayerBlob> other = options_.find_blob(place.blob);
    if (other == nullptr) continue;
    std::optional<std::string> bytes = ReadFrom(*other, place.chunk, wanted);
    if (!bytes.has_value()) continue;
    auto content = std::make_shared<const std::string>(*std::move(bytes));
    if (SettleFill(*run.blob, chunk, content, &fill)) {
      ++counters_.chunks_copied;
      WriteBehind(run.blob, chunk, std::move(content));
    } else {
      Release(wanted.size_bytes);  // given up meanwhile
    }
    return true;
  }
  return false;
}

}  // namespace slacker
