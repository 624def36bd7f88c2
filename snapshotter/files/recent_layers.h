// Layers that were decoded a moment ago, in memory for who needs them next: what brings an image has verified its
// records; its metadata is built from them, and its blobs are opened with them, within the same second, and to
// decode them takes longer than all the rest.
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

#include "backend/base/digest.h"
#include "backend/base/mutex.h"
#include "backend/record/layer.h"

namespace slacker {

// Of all that are kept. What is more is decoded again.
inline constexpr size_t kMaxRecentBytes = size_t{32} << 20;

class RecentLayers {
 public:
  // Nothing where there is no room for it, or its tree was dropped. `layer` is the record's.
  void Put(const Digest& record, Layer layer);
  // Null: not kept, or no more. Shared: it may be dropped meanwhile.
  std::shared_ptr<const Layer> Find(const Digest& record) const;
  // Drops what was put before the last call. Whether there was any.
  bool Age();

 private:
  struct Recent {
    std::shared_ptr<const Layer> layer;
    size_t bytes = 0;
    bool old = false;
  };

  mutable Mutex mutex_;
  std::unordered_map<Digest, Recent> layers_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace slacker
