#include "snapshotter/images/references.h"

namespace slacker {

void References::Pin(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  while (collecting_.contains(chain_id)) changed_.Wait(&mutex_);
  ++pins_[chain_id];
}

bool References::TryPin(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  if (collecting_.contains(chain_id)) return false;
  ++pins_[chain_id];
  return true;
}

void References::Unpin(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  const auto pin = pins_.find(chain_id);
  if (--pin->second == 0) pins_.erase(pin);
}

bool References::BeginCollecting(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  if (pins_.contains(chain_id)) return false;
  return collecting_.insert(chain_id).second;
}

void References::EndCollecting(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  collecting_.erase(chain_id);
  changed_.SignalAll();
}

void References::HoldRecords(const std::vector<Digest>& records) {
  MutexLock lock(&mutex_);
  while (sweeping_) changed_.Wait(&mutex_);
  held_.insert(records.begin(), records.end());
}

void References::ReleaseRecords(const std::vector<Digest>& records) {
  MutexLock lock(&mutex_);
  for (const Digest& record : records) held_.erase(held_.find(record));
}

std::set<Digest> References::BeginSweep() {
  MutexLock lock(&mutex_);
  while (sweeping_) changed_.Wait(&mutex_);
  sweeping_ = true;
  return {held_.begin(), held_.end()};
}

void References::EndSweep() {
  MutexLock lock(&mutex_);
  sweeping_ = false;
  changed_.SignalAll();
}

}  // namespace slacker
