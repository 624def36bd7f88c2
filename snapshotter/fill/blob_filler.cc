#include "snapshotter/fill/blob_filler.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "absl/strings/str_join.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {

absl::StatusOr<std::unique_ptr<BlobFiller>> BlobFiller::Open(Options options) {
  RETURN_IF_ERROR(MakeDirectories(options.root + "/records"));
  RETURN_IF_ERROR(MakeDirectories(options.root + "/blobs"));
  std::unique_ptr<BlobFiller> filler(new BlobFiller(std::move(options)));
  filler->flusher_ = std::thread([raw = filler.get()] {
    (void)pthread_setname_np(pthread_self(), "slk-flush");  // only a label
    raw->FlushLoop();
  });
  filler->scan_.emplace(filler->options_.db, &filler->records_, filler->options_.root + "/blobs",
                        &filler->engine_->local_chunks());
  return filler;
}

BlobFiller::BlobFiller(Options options)
    : options_(std::move(options)),
      records_(options_.root + "/records"),
      transfers_(std::make_shared<TransferCounters>()) {
  std::shared_ptr<ReadBackend> counted;
  if (options_.backend != nullptr) {
    counted = std::make_shared<CountingBackend>(options_.backend.get(), transfers_);
  }
  FillEngine::Options fill = options_.fill;
  fill.name_images = [this](uint64_t blob_id) { return ImagesForLog(blob_id); };
  fill.find_blob = [this](uint64_t blob_id) {  // the engine's threads end before this does
    return FindForCopy(blob_id);
  };
  engine_ = FillEngine::Start(std::move(counted), &records_, options_.clock, fill);
}

BlobFiller::~BlobFiller() {
  Stop();
  engine_->WaitForStore();
}

void BlobFiller::Stop() {
  {
    MutexLock lock(&mutex_);
    if (std::exchange(stopping_, true)) return;
    changed_.SignalAll();
  }
  scan_.reset();
  flusher_.join();
  engine_->Stop();
  if (absl::Status flushed = Flush(); !flushed.ok()) {
    Log(LogLevel::kWarning, "blob caches are not flushed; they are verified again, ignoring",
        {{"error", flushed.ToString()}});
  }
}

std::string BlobFiller::StemOf(uint64_t blob_id) const {
  return options_.root + "/blobs/" + std::to_string(blob_id);
}

std::string BlobFiller::ImagesForLog(uint64_t blob_id) const {
  absl::StatusOr<std::vector<std::string>> names = Cancelled("no transaction");
  if (auto txn = options_.db->Read(); txn.ok()) names = ImagesOfBlob(*txn, blob_id);
  if (!names.ok()) return "unknown: " + names.status().ToString();
  return absl::StrJoin(*names, " ");
}

absl::StatusOr<BlobRow> BlobFiller::FindRow(uint64_t blob_id) {
  ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
  ASSIGN_OR_RETURN(const std::optional<BlobRow> row, FindBlob(txn, blob_id));
  if (!row.has_value()) return NotFound("there is no blob " + std::to_string(blob_id));
  return *row;
}

absl::StatusOr<uint64_t> BlobFiller::BlobSize(uint64_t blob_id) {
  if (const auto blob = FindLoaded(blob_id); blob != nullptr) return blob->size_bytes();
  ASSIGN_OR_RETURN(const BlobRow row, FindRow(blob_id));
  return row.size_bytes;
}

std::shared_ptr<LayerBlob> BlobFiller::FindLoaded(uint64_t blob_id) {
  MutexLock lock(&mutex_);
  const auto found = blobs_.find(blob_id);
  return found == blobs_.end() ? nullptr : found->second;
}

absl::StatusOr<std::shared_ptr<LayerBlob>> BlobFiller::Load(uint64_t blob_id) {
  MutexLock loading(&loading_);
  if (auto blob = FindLoaded(blob_id); blob != nullptr) return blob;
  ASSIGN_OR_RETURN(const BlobRow row, FindRow(blob_id));
  ASSIGN_OR_RETURN(std::shared_ptr<LayerBlob> blob,
                   LayerBlob::Open(row, StemOf(blob_id), records_));
  engine_->NoteLocal(*blob);
  MutexLock lock(&mutex_);
  sealed_on_disk_.erase(blob_id);
  return blobs_.emplace(blob_id, std::move(blob)).first->second;
}

// What cannot be loaded is not tried again for each of its chunks. IDs are never used twice.
std::shared_ptr<LayerBlob> BlobFiller::FindForCopy(uint64_t blob_id) {
  if (auto blob = FindLoaded(blob_id); blob != nullptr) return blob;
  {
    MutexLock lock(&mutex_);
    if (unusable_.contains(blob_id)) return nullptr;
  }
  auto blob = Load(blob_id);
  if (blob.ok()) return *std::move(blob);
  if (!absl::IsNotFound(blob.status())) {
    Log(LogLevel::kWarning, "nothing is copied from the cache of a layer, ignoring",
        {{"blob", std::to_string(blob_id)}, {"error", Message(blob.status())}});
  }
  MutexLock lock(&mutex_);
  unusable_.insert(blob_id);
  return nullptr;
}

void BlobFiller::ReadAsync(uint64_t blob_id, uint64_t offset, uint32_t size, ReadCallback done) {
  ++reads_;
  if (options_.observer != nullptr) options_.observer->OnRead(blob_id, offset, size);
  if (const auto blob = FindLoaded(blob_id); blob != nullptr) {
    return Read(blob, offset, size, std::move(done));
  }
  LoadAndRead(blob_id, offset, size, std::move(done), false);
}

void BlobFiller::LoadAndRead(uint64_t blob_id, uint64_t offset, uint32_t size, ReadCallback done,
                             bool fetched) {
  // Shared: std::function wants what it holds to be copyable, and a refusal still needs `done`.
  auto answer = std::make_shared<ReadCallback>(std::move(done));
  const bool accepted = engine_->RunOnDiskThread([this, blob_id, offset, size, answer, fetched] {
    auto blob = Load(blob_id);
    if (blob.ok()) return Read(*blob, offset, size, std::move(*answer));
    const auto row = FindRow(blob_id);
    if (fetched || !row.ok() || !absl::IsDataLoss(blob.status())) return (*answer)(blob.status());
    engine_->FetchRecord(row->record, [this, blob_id, offset, size, answer](const auto& status) {
      if (!status.ok()) return (*answer)(status);
      LoadAndRead(blob_id, offset, size, std::move(*answer), true);
    });
  });
  if (!accepted) (*answer)(Cancelled("the daemon stops"));
}

void BlobFiller::Read(const std::shared_ptr<LayerBlob>& blob, uint64_t offset, uint32_t size,
                      ReadCallback done) {
  const uint64_t blob_size = blob->size_bytes();
  offset = std::min(offset, blob_size);
  size = static_cast<uint32_t>(std::min<uint64_t>(size, blob_size - offset));
  served_bytes_ += size;
  const auto [first, last] = blob->ChunksIn(offset, size);
  // One part a chunk, and one that is done when this function is.
  // Shared: between the chunks on their way.
  auto operation =
      std::make_shared<ReadOperation>(offset, size, size_t{last} - first + 1, std::move(done));
  // Until every part that the cache has was read from it.
  const GracePeriod::Use reading = blob->cache().Reading();
  blob->NoteUse(first, last, engine_->UseSeconds());
  bool hit = true;
  for (uint32_t chunk = first; chunk < last;) {
    uint32_t end = chunk;
    while (end < last && blob->Covers(end, offset, size)) ++end;
    // A chunk that the disk does not give back is dropped there, and so comes from the store.
    const bool was_here = end > chunk;
    if (was_here && ReadCached(*blob, chunk, end, *operation)) {
      operation->PartDone(absl::OkStatus(), end - chunk);
      chunk = end;
      continue;
    }
    hit = false;
    end = chunk;
    while (end < last && !blob->Covers(end, offset, size)) ++end;
    for (const uint32_t present : engine_->Want(blob, chunk, end, operation)) {
      engine_->ReadPresent(blob, present, operation);
    }
    if (!was_here) FetchAhead(blob, chunk, end);
    chunk = end;
  }
  if (hit) ++read_hits_;
  operation->PartDone(absl::OkStatus());
}

void BlobFiller::FetchAhead(const std::shared_ptr<LayerBlob>& blob, uint32_t first, uint32_t last) {
  const auto [begin, end] = blob->sequential_reads.OnMiss(blob->layer().chunks, first, last);
  // What would not be kept is not worth it.
  if (begin == end || !engine_->caching()) return;
  FillAsync(blob, begin, end, [](const absl::Status&) {});  // he meets with it himself
}

bool BlobFiller::ReadCached(LayerBlob& blob, uint32_t first, uint32_t last,
                            ReadOperation& operation) {
  // Between two chunks there are only holes, which read as zeros.
  const uint64_t from = std::max(operation.offset(), blob.layer().chunks[first].blob_offset);
  const ChunkExtent end = blob.ExtentOf(last - 1);
  const uint64_t to = std::min(operation.end(), end.offset + end.size_bytes);
  std::vector<uint32_t> wrong;
  const absl::Status status = blob.ReadChecked(from, to - from, operation.At(from), &wrong);
  if (status.ok() && wrong.empty()) return true;
  // Chunks that come instead do not cover what is behind them up to the next block.
  std::memset(operation.At(from), 0, to - from);
  if (!status.ok()) {
    for (uint32_t chunk = first; chunk < last; ++chunk) wrong.push_back(chunk);
  }
  engine_->DropSpoilt(blob, wrong, status);
  return false;
}

absl::Status BlobFiller::Flush() {
  absl::Status first;
  for (std::shared_ptr<LayerBlob>& blob : LoadedBlobs()) {
    if (blob->cache().dirty()) first.Update(blob->cache().Flush());
    blob.reset();  // one that is removed meanwhile keeps its space no longer
  }
  return first;
}

std::vector<std::shared_ptr<LayerBlob>> BlobFiller::LoadedBlobs() const {
  std::vector<std::shared_ptr<LayerBlob>> blobs;
  MutexLock lock(&mutex_);
  blobs.reserve(blobs_.size());
  for (const auto& [id, blob] : blobs_) blobs.push_back(blob);
  return blobs;
}

std::vector<LayerFaults> BlobFiller::DescribeFaults() const {
  std::vector<LayerFaults> faults;
  for (const auto& blob : LoadedBlobs()) {
    LayerFaults one;
    {
      MutexLock lock(&blob->mutex);
      one.in_store = blob->faults_in_store.Describe();
      one.on_disk = blob->faults_on_disk.Describe();
    }
    if (!one.in_store.has_value() && !one.on_disk.has_value()) continue;
    one.record = blob->record();
    one.images = ImagesForLog(blob->id());
    faults.push_back(std::move(one));
  }
  return faults;
}

void BlobFiller::FlushLoop() {
  bool failing = false;
  for (;;) {
    {
      MutexLock lock(&mutex_);
      if (!stopping_) (void)changed_.WaitFor(&mutex_, options_.flush_interval);
      if (stopping_) return;
    }
    if (records_.recent().Age()) (void)malloc_trim(0);  // many small blocks, seldom
    engine_->LookAtWrites();
    for (const auto& blob : LoadedBlobs()) {
      engine_->TellFaults(*blob);
      LookForFile(*blob);
    }
    const absl::Status flushed = Flush();
    if (!flushed.ok() && !failing) {
      Log(LogLevel::kWarning, "blob caches cannot be flushed, ignoring",
          {{"error", flushed.ToString()}});
    }
    failing = !flushed.ok();
  }
}

absl::Status BlobFiller::Remove(uint64_t blob_id) {
  std::shared_ptr<LayerBlob> forgotten;
  {
    // A load that has seen its row is awaited: it makes files.
    MutexLock loading(&loading_);
    MutexLock lock(&mutex_);
    if (const auto found = blobs_.find(blob_id); found != blobs_.end()) {
      forgotten = std::move(found->second);
      blobs_.erase(found);
    }
    sealed_on_disk_.erase(blob_id);
    told_deleted_.erase(blob_id);
    cut_.erase(blob_id);
  }
  if (forgotten != nullptr) {
    forgotten->cache().Discard();
    engine_->Abandon(forgotten);
  }
  return BlobCache::Remove(StemOf(blob_id));
}

absl::Status BlobFiller::RemoveAllBut(const std::vector<uint64_t>& keep) {
  const std::string directory = options_.root + "/blobs";
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  for (const std::string& name : names) {
    const std::string_view whole = WithoutAside(name);
    const auto data = IdOfName(whole, ".data"), map = IdOfName(whole, ".map");
    if (!data.has_value() && !map.has_value()) continue;
    const uint64_t id = data.has_value() ? *data : *map;
    if (whole == name && std::find(keep.begin(), keep.end(), id) != keep.end()) continue;
    RETURN_IF_ERROR(RemoveFile(directory + "/" + name));
  }
  return absl::OkStatus();
}

int64_t BlobFiller::AllocatedBytes(uint64_t blob_id) const {
  return slacker::AllocatedBytes(StemOf(blob_id) + ".data");
}

bool BlobFiller::IsComplete(const BlobRow& row) {
  // Spares most blobs the loading.
  if (static_cast<uint64_t>(AllocatedBytes(row.id)) < row.size_bytes) return false;
  const auto blob = Load(row.id);
  return blob.ok() && (*blob)->cache().IsFull();
}

bool BlobFiller::IsSealed(const BlobRow& row) {
  if (const auto blob = FindLoaded(row.id); blob != nullptr) return blob->cache().IsSealed();
  {
    MutexLock lock(&mutex_);
    const auto found = sealed_on_disk_.find(row.id);
    if (found != sealed_on_disk_.end()) return found->second;
  }
  // Only a load changes what it says.
  const bool sealed = BlobCache::IsSealedOnDisk(StemOf(row.id), row.record, row.size_bytes);
  MutexLock lock(&mutex_);
  const auto loaded = blobs_.find(row.id);
  if (loaded != blobs_.end()) return loaded->second->cache().IsSealed();
  return sealed_on_disk_.emplace(row.id, sealed).first->second;
}

std::optional<BlobFiller::FileHold> BlobFiller::HoldSealed(const BlobRow& row) {
  {
    MutexLock lock(&mutex_);
    int& holds = file_holds_[row.id];
    if (holds < 0) return std::nullopt;
    ++holds;
  }
  FileHold hold(this, row.id, 1);
  if (!IsSealed(row) || IsCut(row)) return std::nullopt;
  return hold;
}

std::optional<BlobFiller::FileHold> BlobFiller::TakeFile(uint64_t blob_id) {
  MutexLock lock(&mutex_);
  int& holds = file_holds_[blob_id];
  if (holds != 0) return std::nullopt;
  holds = -1;
  return FileHold(this, blob_id, -1);
}

void BlobFiller::EndHold(uint64_t blob_id, int hold) {
  MutexLock lock(&mutex_);
  const auto found = file_holds_.find(blob_id);
  found->second -= hold;
  if (found->second == 0) file_holds_.erase(found);
}

absl::StatusOr<std::string> BlobFiller::ReadCachedChunk(uint64_t blob_id, uint32_t chunk) {
  const auto blob = FindLoaded(blob_id);
  if (blob == nullptr) return NotFound("blob " + std::to_string(blob_id) + " is not in use");
  const GracePeriod::Use reading = blob->cache().Reading();
  if (!blob->cache().Has(chunk)) {
    return NotFound("chunk " + std::to_string(chunk) + " is not in the cache");
  }
  const Chunk& wanted = blob->layer().chunks[chunk];
  std::string bytes(wanted.size_bytes, '\0');
  RETURN_IF_ERROR(blob->cache().Read(wanted.blob_offset, bytes.size(), bytes.data()));
  return bytes;
}

void BlobFiller::DropChunk(uint64_t blob_id, uint32_t chunk) {
  if (const auto blob = FindLoaded(blob_id); blob != nullptr) {
    engine_->DropSpoilt(*blob, {chunk}, absl::OkStatus());
  }
}

FillStats BlobFiller::Stats() const {
  const FillCounters& fills = engine_->counters();
  FillStats stats;
  stats.store_requests = transfers_->requests;
  stats.store_bytes = transfers_->bytes;
  stats.chunks_filled = fills.chunks_filled;
  stats.chunks_recovered = fills.chunks_recovered;
  stats.chunks_copied = fills.chunks_copied;
  stats.chunks_damaged = fills.chunks_damaged;
  stats.chunks_spoilt = fills.chunks_spoilt;
  stats.false_pages = fills.false_pages;
  stats.retries = fills.retries;
  stats.stalled = fills.stalled;
  stats.failed_writes = engine_->failed_writes();
  stats.caches_cut = caches_cut_;
  stats.caches_deleted = caches_deleted_;
  stats.reads = reads_;
  stats.read_hits = read_hits_;
  stats.served_bytes = served_bytes_;
  return stats;
}

}  // namespace slacker
