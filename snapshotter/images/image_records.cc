// The records of an image on the node: verified, and fetched where they are missing.
#include <algorithm>
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/images/image_manager.h"

namespace slacker {

// Records that this call has the node fetch, until each is there, or this ends.
class ImageManager::Claim {
 public:
  explicit Claim(ImageManager* manager) : manager_(manager) {}
  ~Claim() {
    MutexLock lock(&manager_->mutex_);
    for (const Digest& record : records_) manager_->fetching_.erase(record);
    manager_->changed_.SignalAll();
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  // Of records that are not there, those that nobody else has claimed.
  void Take(const std::vector<Digest>& missing) {
    records_.reserve(missing.size());  // nothing fails once they are claimed
    MutexLock lock(&manager_->mutex_);
    for (const Digest& record : missing) {
      if (manager_->fetching_.insert(record).second) records_.push_back(record);
    }
  }
  void Done(const Digest& record) {
    MutexLock lock(&manager_->mutex_);
    std::erase(records_, record);
    manager_->fetching_.erase(record);
    manager_->changed_.SignalAll();
  }
  const std::vector<Digest>& records() const { return records_; }

 private:
  ImageManager* const manager_;
  std::vector<Digest> records_;
};

absl::Status ImageManager::KeepRecord(const Digest& record, RecordObject object) {
  RETURN_IF_ERROR(records_.Save(record, object.stored));
  Layer& layer = object.layer;
  const RecordFacts facts = {layer.diff_id, layer.blob_size_bytes, layer.chunks.size()};
  records_.recent().Put(record, std::move(layer));
  MutexLock lock(&mutex_);
  facts_[record] = facts;
  return absl::OkStatus();
}

std::vector<Digest> ImageManager::VerifyAllKept(const std::vector<Digest>& records,
                                                std::vector<RecordFacts>* facts) {
  std::vector<Digest> missing;
  for (size_t i = 0; i < records.size(); ++i) {
    if (!VerifyKept(records[i], &(*facts)[i])) missing.push_back(records[i]);
  }
  return missing;
}

absl::StatusOr<std::vector<ImageManager::RecordFacts>> ImageManager::BringRecords(
    const Digest& chain_id, const std::vector<Digest>& records, const StoreGateway::Limit& limit) {
  std::vector<RecordFacts> facts(records.size());
  std::vector<Digest> missing = VerifyAllKept(records, &facts);
  if (!missing.empty()) {
    // It was asked for when the manifest was; one that does not come must leave time for the rest.
    const auto now = options_.clock->Monotonic();
    auto packed = boots_->TakeRecords(chain_id, records, missing, now + (limit.until - now) / 2);
    for (auto& [record, object] : packed) {
      RETURN_IF_ERROR(KeepRecord(record, std::move(object)));
    }
  }
  while (!(missing = VerifyAllKept(records, &facts)).empty()) {
    Claim claim(this);
    claim.Take(missing);
    for (const Digest& record : std::vector<Digest>(claim.records())) {
      RecordFacts come_meanwhile;
      if (VerifyKept(record, &come_meanwhile)) claim.Done(record);
    }
    if (claim.records().empty()) {
      RETURN_IF_ERROR(AwaitRecord(missing.front(), limit.until));
      continue;
    }
    const absl::Status all =
        gateway_.ReadRecords(std::vector<Digest>(claim.records()), limit,
                             [&](const Digest& record, RecordObject object) -> absl::Status {
                               RETURN_IF_ERROR(KeepRecord(record, std::move(object)));
                               claim.Done(record);
                               return absl::OkStatus();
                             });
    // The manifest is there, so the image is published; the store has lost a part of it.
    if (absl::IsNotFound(all)) return DataLoss(Message(all));
    RETURN_IF_ERROR(all);
  }
  // One that is kept may be another call's, which has not synced it yet.
  RETURN_IF_ERROR(records_.Sync());
  return facts;
}

// Until the call that fetches it has it, or has failed.
absl::Status ImageManager::AwaitRecord(const Digest& record, StoreGateway::TimePoint deadline) {
  MutexLock lock(&mutex_);
  while (fetching_.contains(record)) {
    const auto left = deadline - options_.clock->Monotonic();
    if (left <= left.zero()) return DeadlineExceeded("another call is still fetching a record");
    (void)changed_.WaitFor(&mutex_, std::min<std::chrono::nanoseconds>(left, kSlice));
  }
  return absl::OkStatus();
}

// Decodes a kept record once in this process's life; after that, that it is there is enough.
bool ImageManager::VerifyKept(const Digest& record, RecordFacts* facts) {
  if (!records_.Has(record)) return false;
  {
    MutexLock lock(&mutex_);
    if (const auto found = facts_.find(record); found != facts_.end()) {
      *facts = found->second;
      return true;
    }
  }
  const auto layer = records_.Load(record);
  if (!layer.ok()) return false;  // whatever is wrong with it: fetched again
  *facts = {layer->diff_id, layer->blob_size_bytes, layer->chunks.size()};
  MutexLock lock(&mutex_);
  facts_[record] = *facts;
  return true;
}

void ImageManager::ForgetFacts(const std::vector<BlobRow>& layers) {
  MutexLock lock(&mutex_);
  for (const BlobRow& layer : layers) facts_.erase(layer.record);
}

}  // namespace slacker
