// How images leave the node.
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"
#include "snapshotter/images/image_manager.h"

namespace slacker {
namespace {

absl::Status RemoveDirectory(const std::string& path) {
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "rmdir " + path);
  return absl::OkStatus();
}

}  // namespace

absl::Status ImageManager::Collect() {
  {
    MutexLock lock(&mutex_);
    // What is being attached again is pinned, and would be left behind.
    while (collecting_ || attaching_unasked_ > 0) changed_.Wait(&mutex_);
    collecting_ = true;
  }
  wholes_.Expire();
  absl::Status first;
  const auto note = [&first](const absl::Status& status) {
    if (first.ok()) first = status;
  };
  std::vector<ImageRow> candidates;
  if (auto txn = options_.db->Read(); txn.ok()) {
    auto unreferenced = UnreferencedImages(*txn);
    note(unreferenced.status());
    if (unreferenced.ok()) candidates = *std::move(unreferenced);
  } else {
    note(txn.status());
  }
  for (const ImageRow& image : candidates) {
    if (!references_->BeginCollecting(image.chain_id)) continue;
    note(CollectImage(image));
    references_->EndCollecting(image.chain_id);
  }
  note(CollectBlobs());
  note(CollectRecords());
  MutexLock lock(&mutex_);
  collecting_ = false;
  changed_.SignalAll();
  return first;
}

// Nobody can pin the image now, so nobody can begin to refer to it; but a reference may have been
// made between the caller's look and the last pin's end.
absl::Status ImageManager::CollectImage(const ImageRow& image) {
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
    ASSIGN_OR_RETURN(const bool referenced, IsReferenced(txn, image.chain_id));
    if (referenced) return absl::OkStatus();
  }
  builds_->Forget(image.chain_id);
  boots_->Forget(image.chain_id);
  warmer_.Forget(image.chain_id);
  const absl::Status removed = RemoveTree(image.id);  // Attach pins, so it is not at it
  PutTree(image.id, false);
  {
    MutexLock lock(&mutex_);
    attached_ahead_.erase(image.chain_id);
  }
  RETURN_IF_ERROR(removed);
  SLACKER_FAILPOINT("collect.before_commit");
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Write());
    RETURN_IF_ERROR(DeleteImage(txn, image.id));
    RETURN_IF_ERROR(txn.Commit());
  }
  SLACKER_FAILPOINT("collect.after_commit");
  if (options_.traces != nullptr) RETURN_IF_ERROR(options_.traces->Remove(image.chain_id));
  return metadata_.Remove(image.id);
}

absl::Status ImageManager::RemoveTree(uint64_t image_id) {
  const std::string path = TreePath(options_.root, image_id);
  RETURN_IF_ERROR(options_.mounter->Detach(path));
  RETURN_IF_ERROR(RemoveDirectory(path));
  return RemoveDirectory(path.substr(0, path.rfind('/')));
}

// A blob without an image cannot come into use again: a new image with the same record, in a later
// transaction, gets a blob of its own. So what the mounter said before the transaction holds.
absl::Status ImageManager::CollectBlobs() {
  ASSIGN_OR_RETURN(const BlobsInUse in_use, options_.mounter->FindBlobsInUse());
  std::vector<uint64_t> deleted;
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Write());
    ASSIGN_OR_RETURN(const std::vector<BlobRow> unreferenced, UnreferencedBlobs(txn));
    for (const BlobRow& blob : unreferenced) {
      if (in_use.Contains(blob.id)) continue;
      RETURN_IF_ERROR(DeleteBlob(txn, blob.id));
      deleted.push_back(blob.id);
    }
    if (!deleted.empty()) RETURN_IF_ERROR(txn.Commit());
  }
  absl::Status first;
  for (const uint64_t id : deleted) {
    const absl::Status removed = options_.filler->Remove(id);
    if (first.ok()) first = removed;
  }
  return first;
}

absl::Status ImageManager::CollectRecords() {
  std::set<Digest> keep = references_->BeginSweep();
  const absl::Status removed = [&]() -> absl::Status {
    {
      ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
      ASSIGN_OR_RETURN(const std::vector<BlobRow> blobs, AllBlobs(txn));
      for (const BlobRow& blob : blobs) keep.insert(blob.record);
    }
    return records_.RemoveAllBut(keep);
  }();
  references_->EndSweep();
  return removed;
}

}  // namespace slacker
