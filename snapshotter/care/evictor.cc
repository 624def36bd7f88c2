#include "snapshotter/care/evictor.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

// How exact the order of images by their last use is over restarts.
constexpr std::chrono::minutes kNoteUsesEvery{10};
// Without pressure: a loop device lets go of a blob when the last container that has it ends.
constexpr std::chrono::seconds kTryLeftoversEvery{10};

const char* NameOfLimit(bool disk_is_full) { return disk_is_full ? "min_free" : "max_bytes"; }

bool IsSilence(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

struct Evictor::Run {
  CacheSpace::Pressure pressure;
  std::set<uint64_t> used;     // blobs that containers stand on
  std::set<uint64_t> skipped;  // those that nothing can be taken from now
  uint32_t not_after = 0;      // what was used later stays
  size_t images = 0, blobs = 0;
  uint64_t chunks = 0, bytes = 0;
  absl::Status refusal;       // why something was left that was to go
  bool store_silent = false;  // it would not be otherwise for what comes after

  bool Done() const { return store_silent || bytes >= pressure.excess_bytes; }
};

struct Evictor::Candidate {
  uint32_t last_use;
  uint32_t chunk;
  uint64_t bytes;  // of it on the disk
  Blob blob;
};

Evictor::Evictor(Options options)
    : options_(std::move(options)),
      pace_([] { return uint64_t{0}; }, std::chrono::nanoseconds::zero()) {
  thread_ = std::thread([this] {
    TakeTheLastPlace("slk-evict");
    Work();
  });
}

Evictor::~Evictor() {
  pace_.Stop();
  thread_.join();
}

void Evictor::Work() {
  absl::StatusCode told = absl::StatusCode::kOk;
  do {
    NoteUses();
    const absl::Status status = Look();
    if (!status.ok() && status.code() != told) {
      Log(LogLevel::kWarning, "cannot look after the size of the blob caches, ignoring",
          {{"error", Message(status)}});
    }
    told = status.code();
  } while (pace_.Pause(options_.interval));
}

void Evictor::NoteUses() {
  const auto now = std::chrono::steady_clock::now();
  if (now < uses_noted_ + kNoteUsesEvery) return;
  uses_noted_ = now;
  const auto used = UsedBlobs();
  if (!used.ok()) return;  // Look meets with the same
  for (const uint64_t blob : *used) options_.filler->NoteUse(blob);
}

absl::StatusOr<std::set<uint64_t>> Evictor::UsedBlobs() {
  ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
  return BlobsUnderContainers(txn);
}

absl::Status Evictor::Look() {
  Run run;
  ASSIGN_OR_RETURN(run.pressure, options_.space->Look());
  ASSIGN_OR_RETURN(run.images, CollectLeftovers(run.pressure.excess_bytes > 0));
  if (run.images > 0) {
    ASSIGN_OR_RETURN(run.pressure, options_.space->Look());
  }
  absl::Status status;
  if (run.pressure.excess_bytes > 0) status = Evict(run);
  CacheSpace::Pressure left = run.pressure;
  if (left.excess_bytes > 0) {
    ASSIGN_OR_RETURN(left, options_.space->Look());
  }
  options_.filler->engine().SetCaching(left.excess_bytes == 0);
  run.refusal.Update(status);
  Tell(run, left);
  return status;
}

// How many images it may have removed.
absl::StatusOr<size_t> Evictor::CollectLeftovers(bool pressed) {
  size_t images = 0;
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
    ASSIGN_OR_RETURN(const std::vector<BlobRow> blobs, UnreferencedBlobs(txn));
    if (pressed) {
      ASSIGN_OR_RETURN(const std::vector<ImageRow> unreferenced, UnreferencedImages(txn));
      images = unreferenced.size();
    }
    if (blobs.empty() && images == 0) return images;
  }
  const auto now = std::chrono::steady_clock::now();
  if (!pressed && now < leftovers_tried_ + kTryLeftoversEvery) return images;
  leftovers_tried_ = now;
  RETURN_IF_ERROR(options_.collect());
  return images;
}

absl::Status Evictor::Evict(Run& run) {
  ASSIGN_OR_RETURN(run.used, UsedBlobs());
  const auto cold = static_cast<uint32_t>(options_.cold_after.count());
  const uint32_t now = options_.filler->engine().UseSeconds();
  run.not_after = now > cold ? now - cold : 0;
  SLACKER_FAILPOINT("evict.begin");
  std::vector<BlobRow> rows;
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
    ASSIGN_OR_RETURN(rows, ReferencedBlobs(txn));
  }
  std::erase_if(rows,
                [&](const BlobRow& row) { return options_.filler->AllocatedBytes(row.id) == 0; });
  const auto used = std::stable_partition(
      rows.begin(), rows.end(), [&](const BlobRow& row) { return !run.used.contains(row.id); });
  EvictUnused(run, {rows.begin(), used});
  // Where something turns out to stay, something else has to go.
  for (size_t skipped = SIZE_MAX; !run.Done() && skipped != run.skipped.size();) {
    skipped = run.skipped.size();
    RETURN_IF_ERROR(EvictCold(run, {used, rows.end()}));
  }
  if (run.bytes > 0) ++runs_;
  chunks_ += run.chunks;
  bytes_ += run.bytes;
  return absl::OkStatus();
}

void Evictor::EvictUnused(Run& run, const std::vector<BlobRow>& rows) {
  std::vector<std::pair<int64_t, BlobRow>> by_last_use;
  by_last_use.reserve(rows.size());
  for (const BlobRow& row : rows) {
    by_last_use.emplace_back(options_.filler->LastUseNanos(row.id), row);
  }
  std::sort(by_last_use.begin(), by_last_use.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first, a.second.id) < std::tie(b.first, b.second.id);
  });
  for (const auto& [last_use, row] : by_last_use) {
    if (run.Done()) return;
    std::vector<Candidate> candidates;
    AddCandidates(run, row, &candidates);
    EvictFirst(run, std::move(candidates));
  }
}

absl::Status Evictor::EvictCold(Run& run, const std::vector<BlobRow>& rows) {
  ASSIGN_OR_RETURN(const BlobsInUse in_use, options_.mounter->FindBlobsInUse());
  std::vector<Candidate> candidates;
  for (const BlobRow& row : rows) {
    if (options_.filler->IsSealed(row) || in_use.on_cache.contains(row.id)) continue;
    AddCandidates(run, row, &candidates);
  }
  EvictFirst(run, std::move(candidates));
  return absl::OkStatus();
}

void Evictor::AddCandidates(const Run& run, const BlobRow& row,
                            std::vector<Candidate>* candidates) {
  if (run.skipped.contains(row.id) || pace_.stopping()) return;
  const auto blob = options_.filler->Find(row.id);
  // Removed meanwhile, or its record is damaged, which its next read finds and mends.
  if (!blob.ok()) return;
  for (uint32_t chunk = 0; chunk < (*blob)->layer().chunks.size(); ++chunk) {
    const uint32_t last_use = (*blob)->LastUse(chunk);
    if (last_use > run.not_after) continue;
    const uint64_t cached = (*blob)->CachedBytes(chunk);
    if (cached > 0) candidates->push_back({last_use, chunk, cached, *blob});
  }
}

// Those that were used longest ago, as many as it takes.
void Evictor::EvictFirst(Run& run, std::vector<Candidate> candidates) {
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
  std::map<Blob, std::vector<uint32_t>> victims;
  uint64_t bytes = run.bytes;
  for (const Candidate& candidate : candidates) {
    if (bytes >= run.pressure.excess_bytes) break;
    victims[candidate.blob].push_back(candidate.chunk);
    bytes += candidate.bytes;
  }
  for (auto& [blob, chunks] : victims) {
    if (pace_.stopping()) return;
    std::sort(chunks.begin(), chunks.end());
    const auto evicted = EvictFrom(run, blob, chunks);
    if (!evicted.ok()) {
      run.store_silent = IsSilence(evicted.status());
      run.skipped.insert(blob->id());
      run.refusal.Update(evicted.status());
      if (run.store_silent) return;
      continue;
    }
    if (evicted->chunks == 0) run.skipped.insert(blob->id());
    run.blobs += evicted->chunks > 0 ? 1 : 0;
    run.chunks += evicted->chunks;
    run.bytes += evicted->bytes;
  }
}

absl::StatusOr<FillEngine::Evicted> Evictor::EvictFrom(const Run& run, const Blob& blob,
                                                       const std::vector<uint32_t>& chunks) {
  RETURN_IF_ERROR(options_.ask_store(blob->record(), blob->layer().chunks.size()));
  const auto taken = options_.filler->TakeFile(blob->id());
  if (!taken.has_value()) return FailedPrecondition("a tree is just being attached");
  const bool used = run.used.contains(blob->id());
  if (used) {
    ASSIGN_OR_RETURN(const BlobsInUse in_use, options_.mounter->FindBlobsInUse());
    if (in_use.on_cache.contains(blob->id()) || blob->cache().IsSealed()) {
      return FailedPrecondition("containers read the cache without slackerd");
    }
  }
  // No loop device may read holes: neither those of a tree that has no container now, nor one that a
  // child of a dead predecessor is about to make.
  RETURN_IF_ERROR(options_.mounter->Switch({blob->id(), blob->size_bytes(), BlobFile::kFuse}));
  SLACKER_FAILPOINT("evict.on_fuse");
  if (!used) {
    ASSIGN_OR_RETURN(const std::set<uint64_t> used_now, UsedBlobs());
    if (used_now.contains(blob->id())) return FailedPrecondition("a container was just started");
  }
  return options_.filler->engine().Evict(blob, chunks);
}

OverLimit Evictor::Describe() const {
  MutexLock lock(&mutex_);
  return over_;
}

void Evictor::Tell(const Run& run, const CacheSpace::Pressure& left) {
  if (run.bytes > 0 || run.images > 0) {
    Log(LogLevel::kInfo, "blob caches were over a limit; what was used least was evicted",
        {{"limit", NameOfLimit(run.pressure.disk_is_full)},
         {"excess_bytes", std::to_string(run.pressure.excess_bytes)},
         {"bytes", std::to_string(run.bytes)},
         {"chunks", std::to_string(run.chunks)},
         {"blobs", std::to_string(run.blobs)},
         {"images", std::to_string(run.images)}});
  }
  const auto now = std::chrono::steady_clock::now();
  const bool over = left.excess_bytes > 0;
  if (over) last_over_ = now;
  OverLimit before, after;
  {
    MutexLock lock(&mutex_);
    before = over_;
    if (over) {
      over_ = {.over = true,
               .since = before.over ? before.since : now,
               .disk_is_full = left.disk_is_full,
               .excess_bytes = left.excess_bytes,
               .error = run.refusal.ok() ? "the rest is in use" : Message(run.refusal)};
    } else if (now >= last_over_ + options_.quiet) {
      over_ = {};
    }
    after = over_;
  }
  if (over && !before.over) {
    bytes_before_ = bytes_ - run.bytes;
    Log(LogLevel::kWarning, "blob caches stay over a limit; nothing is added to them, ignoring",
        {{"limit", NameOfLimit(after.disk_is_full)},
         {"excess_bytes", std::to_string(after.excess_bytes)},
         {"error", after.error}});
  } else if (!after.over && before.over) {
    const auto time = std::chrono::duration_cast<std::chrono::seconds>(now - before.since);
    Log(LogLevel::kInfo, "blob caches are within their limits again",
        {{"limit", NameOfLimit(before.disk_is_full)},
         {"seconds", std::to_string(time.count())},
         {"evicted_bytes", std::to_string(bytes_ - bytes_before_)}});
  }
}

}  // namespace slacker
