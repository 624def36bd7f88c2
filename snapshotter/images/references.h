// What must not be collected now although no row of the database says so: images that are pinned,
// and records that are about to be named by a transaction.
//
// Pinning and collecting exclude each other image by image: Pin waits (milliseconds: an unmount)
// while the image is being collected, and what is pinned is not collected. Thread-safe.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "backend/base/digest.h"
#include "backend/base/mutex.h"

namespace slacker {

class References {
 public:
  void Pin(const Digest& chain_id);
  // Does not wait: false while it is being collected.
  bool TryPin(const Digest& chain_id);
  void Unpin(const Digest& chain_id);
  // False when the image is pinned. Otherwise nobody can pin it before EndCollecting.
  bool BeginCollecting(const Digest& chain_id);
  void EndCollecting(const Digest& chain_id);

  // The records' files stay until ReleaseRecords. Waits while a sweep is under way.
  void HoldRecords(const std::vector<Digest>& records);
  void ReleaseRecords(const std::vector<Digest>& records);
  // The records that are held; no others will be before EndSweep. One sweep at a time.
  std::set<Digest> BeginSweep();
  void EndSweep();

 private:
  Mutex mutex_;
  CondVar changed_;
  std::map<Digest, int> pins_ ABSL_GUARDED_BY(mutex_);
  std::set<Digest> collecting_ ABSL_GUARDED_BY(mutex_);
  std::multiset<Digest> held_ ABSL_GUARDED_BY(mutex_);
  bool sweeping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace slacker
