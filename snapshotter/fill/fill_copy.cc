// How FillEngine takes chunks from the caches of other layers, and waits for those that are on their way there.
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

std::vector<uint32_t> FillEngine::Lead(const Run& run, const std::vector<uint32_t>& chunks) {
  std::vector<uint32_t> leading;
  MutexLock lock(&mutex_);
  for (const uint32_t chunk : chunks) {
    Led& led = led_[run.blob->layer().chunks[chunk].digest];
    if (led.blob == 0) led.blob = run.blob->id();
    // What one blob has several times is fetched as often, with its neighbours.
    if (led.blob == run.blob->id()) {
      leading.push_back(chunk);
      continue;
    }
    auto follower = std::make_shared<Run>(run.Empty());
    follower->Append(chunk);
    bytes_in_flight_ -= follower->bytes;
    led.followers.push_back(std::move(follower));
  }
  if (leading.size() < chunks.size()) Pump();
  return leading;
}

void FillEngine::EndLead(const LayerBlob& blob, uint32_t chunk) {
  MutexLock lock(&mutex_);
  const auto led = led_.find(blob.layer().chunks[chunk].digest);
  if (led == led_.end() || led->second.blob != blob.id()) return;
  Queue(std::move(led->second.followers));
  led_.erase(led);
  Pump();
}

void FillEngine::LetFollowersGo(const LayerBlob& blob) {
  for (auto led = led_.begin(); led != led_.end();) {
    std::erase_if(led->second.followers,
                  [&blob](const auto& follower) { return follower->blob.get() == &blob; });
    if (led->second.blob != blob.id()) {
      ++led;
      continue;
    }
    Queue(std::move(led->second.followers));
    led = led_.erase(led);
  }
}

void FillEngine::Queue(std::vector<std::shared_ptr<Run>> followers) {
  for (auto& follower : followers) {
    // Stop or Abandon answers its waiters.
    if (stopping_ || follower->blob->cache().discarded()) continue;
    queue_.push_back(std::move(follower));
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
      WriteBehind(run.blob, chunk, std::move(content), false, ChunkOf{other, place.chunk});
    } else {
      Release(wanted.size_bytes);  // given up meanwhile
      EndLead(*run.blob, chunk);
    }
    return true;
  }
  return false;
}

}  // namespace slacker
