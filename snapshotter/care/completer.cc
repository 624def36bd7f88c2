#include "snapshotter/care/completer.h"

#include <algorithm>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

// What is asked for at once: few large reads of a pack, and little for a container's read to wait
// behind.
constexpr uint64_t kFetchBytes = 1 << 20;
constexpr std::chrono::milliseconds kWriteSlice{2};
// For so many rests a blob is left alone of which the store has lost a chunk.
constexpr int kHopelessRests = 20;

// Of this blob alone: the others go on.
absl::Status Useless(uint64_t blob_id) {
  return FailedPrecondition("the cache of blob " + std::to_string(blob_id) +
                            " was cut by somebody");
}

absl::Status NoRoom(uint64_t blob_id) {
  return FailedPrecondition("the cache has no room for the rest of blob " +
                            std::to_string(blob_id));
}

absl::Status Stopping() { return Cancelled("the daemon stops"); }

}  // namespace

Completer::Completer(Options options)
    : options_(std::move(options)), idle_(options_.activity, options_.idle, options_.busy) {
  thread_ = std::thread([this] {
    TakeTheLastPlace("slk-complete");
    Work();
  });
}

Completer::~Completer() {
  idle_.Stop();
  thread_.join();
}

CompletionStats Completer::Stats() const {
  return {bytes_fetched_, blobs_sealed_, blobs_switched_, blobs_reopened_};
}

void Completer::Work() {
  absl::StatusCode told = absl::StatusCode::kOk;
  while (idle_.WaitUntilIdle()) {
    const absl::Status status = Pass();
    if (idle_.stopping()) return;
    if (!status.ok() && status.code() != told) {
      Log(LogLevel::kInfo, "images on this node are not complete yet, tried again",
          {{"error", Message(status)}});
    }
    told = status.code();
    if (!idle_.WaitForActivity(options_.rest)) return;
  }
}

absl::Status Completer::Pass() {
  std::vector<BlobRow> blobs;
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
    ASSIGN_OR_RETURN(blobs, ReferencedBlobs(txn));
  }
  ASSIGN_OR_RETURN(const BlobsInUse in_use, options_.mounter->FindBlobsInUse());
  std::stable_partition(blobs.begin(), blobs.end(),
                        [&in_use](const BlobRow& blob) { return in_use.Contains(blob.id); });
  absl::Status first;
  for (const BlobRow& blob : blobs) {
    const absl::Status advanced = Advance(blob, in_use);
    if (absl::IsCancelled(advanced)) return advanced;
    first.Update(advanced);
    // What the others would meet with, too.
    if (absl::IsUnavailable(advanced) || absl::IsResourceExhausted(advanced)) break;
  }
  first.Update(NoteLocalTrees());
  return first;
}

absl::Status Completer::Advance(const BlobRow& row, const BlobsInUse& in_use) {
  const bool cut = options_.filler->IsCut(row);
  if (!cut && options_.filler->IsSealed(row)) {
    return in_use.on_fuse.contains(row.id) ? SwitchToCache(row) : absl::OkStatus();
  }
  if (!cut) RETURN_IF_ERROR(Reopen(row, in_use));
  const auto hopeless = hopeless_until_.find(row.id);
  if (hopeless != hopeless_until_.end()) {
    if (hopeless->second > std::chrono::steady_clock::now()) return absl::OkStatus();
    hopeless_until_.erase(hopeless);
  }
  if (cut) {
    // Readers of its devices have errors until then, and no device can be given a file of another size.
    const absl::Status whole = options_.filler->Regrow(row, [this] { return idle_.stopping(); });
    if (absl::IsDataLoss(whole)) {
      hopeless_until_[row.id] = std::chrono::steady_clock::now() + kHopelessRests * options_.rest;
    }
    RETURN_IF_ERROR(whole);
    RETURN_IF_ERROR(Reopen(row, in_use));
  }
  ASSIGN_OR_RETURN(const Blob blob, options_.filler->Find(row.id));
  absl::Status verified;
  uint64_t drops = 0;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const absl::Status complete = Complete(blob);
    if (blob->cache().discarded()) return absl::OkStatus();
    if (absl::IsDataLoss(complete)) {
      hopeless_until_[row.id] = std::chrono::steady_clock::now() + kHopelessRests * options_.rest;
    }
    RETURN_IF_ERROR(complete);
    SLACKER_FAILPOINT("complete.fetched");
    drops = blob->cache().drops();
    verified = Verify(blob);
    if (blob->cache().discarded()) return absl::OkStatus();
    if (!absl::IsDataLoss(verified)) break;
  }
  RETURN_IF_ERROR(verified);
  SLACKER_FAILPOINT("complete.verified");
  RETURN_IF_ERROR(blob->cache().Seal(drops));
  ++blobs_sealed_;
  SLACKER_FAILPOINT("complete.sealed");
  return SwitchToCache(row);
}

absl::Status Completer::Reopen(const BlobRow& row, const BlobsInUse& in_use) {
  if (!in_use.on_cache.contains(row.id)) return absl::OkStatus();
  RETURN_IF_ERROR(options_.mounter->Switch({row.id, row.size_bytes, BlobFile::kFuse}));
  ++blobs_reopened_;
  SLACKER_FAILPOINT("complete.reopened");
  return absl::OkStatus();
}

absl::Status Completer::Complete(const Blob& blob) {
  const TableVector<Chunk>& chunks = blob->layer().chunks;
  const auto count = static_cast<uint32_t>(chunks.size());
  uint64_t missing = 0;
  for (uint32_t chunk = 0; chunk < count; ++chunk) {
    if (!blob->cache().Has(chunk)) missing += blob->PaddedSize(chunk);
  }
  if (missing == 0) return absl::OkStatus();
  if (options_.room && options_.room() < missing) return NoRoom(blob->id());
  const uint64_t failed_writes = options_.filler->Stats().failed_writes;
  const auto began = std::chrono::steady_clock::now();
  uint64_t fetched = 0;
  for (uint32_t first = 0; first < count;) {
    if (blob->cache().discarded()) return absl::OkStatus();
    if (blob->cache().Has(first)) {
      ++first;
      continue;
    }
    uint32_t last = first;
    uint64_t bytes = 0;
    while (last < count && bytes < kFetchBytes) {
      if (!blob->cache().Has(last)) bytes += chunks[last].size_bytes;
      ++last;
    }
    if (options_.room && options_.room() < bytes) return NoRoom(blob->id());  // others took it
    RETURN_IF_ERROR(options_.filler->Fill(blob, first, last, [this] { return idle_.stopping(); }));
    fetched += bytes;
    bytes_fetched_ += bytes;
    if (blob->cache().useless()) return Useless(blob->id());
    if (options_.filler->Stats().failed_writes != failed_writes) {
      return ResourceExhausted("blob caches cannot be written");
    }
    RETURN_IF_ERROR(Pace(fetched, options_.bytes_per_second, began));
    first = last;
  }
  // What was fetched is written behind.
  while (blob->HasFills()) {
    if (!idle_.Pause(kWriteSlice)) return Stopping();
  }
  return blob->cache().IsFull() ? absl::OkStatus()
                                : Unavailable("blob " + std::to_string(blob->id()) +
                                              " lost chunks while it was completed");
}

absl::Status Completer::Pace(uint64_t bytes, uint64_t bytes_per_second,
                             std::chrono::steady_clock::time_point began) {
  if (idle_.Disturbed() && !idle_.WaitUntilIdle()) return Stopping();
  if (!idle_.GiveWay()) return Stopping();
  const auto due = began + std::chrono::nanoseconds(static_cast<int64_t>(
                               static_cast<double>(bytes) * 1e9 /
                               static_cast<double>(std::max<uint64_t>(bytes_per_second, 1))));
  const auto now = std::chrono::steady_clock::now();
  return idle_.Pause(std::max(due - now, now - now)) ? absl::OkStatus() : Stopping();
}

absl::Status Completer::Verify(const Blob& blob) {
  const auto began = std::chrono::steady_clock::now();
  uint64_t bytes = 0;
  absl::Status first;
  for (uint32_t chunk = 0; chunk < blob->layer().chunks.size(); ++chunk) {
    if (blob->cache().discarded()) return absl::OkStatus();
    const absl::Status verified = blob->VerifyOnDisk(chunk);
    // Fetched again in the next pass.
    if (absl::IsDataLoss(verified)) options_.filler->engine().DropSpoilt(*blob, {chunk}, verified);
    first.Update(verified);
    bytes += blob->layer().chunks[chunk].size_bytes;
    RETURN_IF_ERROR(Pace(bytes, options_.verify_bytes_per_second, began));
  }
  return first;
}

absl::Status Completer::SwitchToCache(const BlobRow& row) {
  const auto hold = options_.filler->HoldSealed(row);
  if (!hold.has_value()) return absl::OkStatus();  // something was taken out of it again
  ASSIGN_OR_RETURN(const BlobsInUse in_use, options_.mounter->FindBlobsInUse());
  if (!in_use.on_fuse.contains(row.id)) return absl::OkStatus();
  const absl::Status switched =
      options_.mounter->Switch({row.id, row.size_bytes, BlobFile::kCache});
  // Its file system cannot do direct I/O: it stays on FUSE, which does the same.
  if (absl::IsFailedPrecondition(switched)) return absl::OkStatus();
  RETURN_IF_ERROR(switched);
  ++blobs_switched_;
  SLACKER_FAILPOINT("complete.switched");
  return absl::OkStatus();
}

// Trees of which no blob goes through FUSE.
absl::Status Completer::NoteLocalTrees() {
  ASSIGN_OR_RETURN(const BlobsInUse in_use, options_.mounter->FindBlobsInUse());
  std::map<uint64_t, std::vector<BlobRow>> trees;
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
    ASSIGN_OR_RETURN(const std::vector<ImageRow> images, AllImages(txn));
    for (const ImageRow& image : images) {
      ASSIGN_OR_RETURN(trees[image.id], ImageLayers(txn, image.id));
    }
  }
  absl::Status first;
  for (const auto& [image, layers] : trees) {
    const bool local = std::none_of(layers.begin(), layers.end(), [&](const BlobRow& blob) {
      return in_use.on_fuse.contains(blob.id) ||
             (blob.size_bytes > 0 && !options_.filler->IsSealed(blob));
    });
    const auto told = local_trees_.find(image);
    if (told == local_trees_.end() ? !local : told->second == local) continue;
    const absl::Status set = options_.mounter->SetLocal(TreePath(options_.root, image), local);
    if (set.ok()) local_trees_[image] = local;
    if (!absl::IsNotFound(set)) first.Update(set);
  }
  std::erase_if(local_trees_, [&](const auto& tree) { return !trees.contains(tree.first); });
  return first;
}

}  // namespace slacker
