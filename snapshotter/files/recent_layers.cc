#include "snapshotter/files/recent_layers.h"

#include <utility>
#include <vector>

namespace slacker {

void RecentLayers::Put(const Digest& record, Layer layer) {
  if (layer.entries.empty()) return;  // without its tree: not all that the record says
  const size_t bytes = layer.MemoryBytes();
  auto shared = std::make_shared<const Layer>(
      std::move(layer));  // one that is not kept goes without the lock
  MutexLock lock(&mutex_);
  if (bytes > kMaxRecentBytes - bytes_ || layers_.contains(record)) return;
  layers_[record] = {std::move(shared), bytes, false};
  bytes_ += bytes;
}

std::shared_ptr<const Layer> RecentLayers::Find(const Digest& record) const {
  MutexLock lock(&mutex_);
  const auto found = layers_.find(record);
  return found == layers_.end() ? nullptr : found->second.layer;
}

bool RecentLayers::Age() {
  std::vector<std::shared_ptr<const Layer>> dropped;  // outlives the lock
  MutexLock lock(&mutex_);
  for (auto at = layers_.begin(); at != layers_.end();) {
    if (!std::exchange(at->second.old, true)) {
      ++at;
      continue;
    }
    bytes_ -= at->second.bytes;
    dropped.push_back(std::move(at->second.layer));
    at = layers_.erase(at);
  }
  return !dropped.empty();
}

}  // namespace slacker
