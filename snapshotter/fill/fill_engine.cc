#include "snapshotter/fill/fill_engine.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/fill/fill_run.h"

namespace slacker {
namespace {

// Null: nobody waits for it any more, or it is on its way out of the cache.
std::shared_ptr<Fill> FindOpen(LayerBlob& blob, uint32_t chunk) {
  MutexLock lock(&blob.mutex);
  const auto found = blob.fills.find(chunk);
  if (found == blob.fills.end() || found->second->settled || found->second->evicting)
    return nullptr;
  return found->second;
}

// Whether a chunk need not be fetched for this. Who does not read wants all of it.
bool IsHere(const LayerBlob& blob, uint32_t chunk, const ReadOperation& operation) {
  if (!operation.has_reader()) return blob.cache().Has(chunk);
  return blob.Covers(chunk, operation.offset(), operation.end() - operation.offset());
}

}  // namespace

std::shared_ptr<FillEngine> FillEngine::Start(std::shared_ptr<ReadBackend> backend,
                                              RecordFiles* records, const Clock* clock,
                                              const Options& options) {
  std::shared_ptr<FillEngine> engine(new FillEngine(std::move(backend), records, clock, options));
  engine->watcher_ = std::thread([raw = engine.get()] {
    (void)pthread_setname_np(pthread_self(), "slk-watch");  // only a label
    raw->Watch();
  });
  return engine;
}

FillEngine::FillEngine(std::shared_ptr<ReadBackend> backend, RecordFiles* records,
                       const Clock* clock, const Options& options)
    : records_(records),
      clock_(clock),
      options_(options),
      reader_(backend == nullptr ? nullptr : std::make_unique<StoreReader>(std::move(backend))),
      outage_(clock),
      write_outage_(clock),
      fetch_pool_(std::make_unique<ThreadPool>("slk-fetch", options.fetch_threads)),
      disk_pool_(std::make_unique<ThreadPool>("slk-disk", 2)) {}

FillEngine::~FillEngine() = default;

void FillEngine::Stop() {
  std::deque<Watched> open;
  std::unordered_map<Digest, RecordFetch> records;
  {
    MutexLock lock(&mutex_);
    if (stopping_) return;
    stopping_ = true;
    open.swap(watched_);
    records.swap(record_fetches_);
    queue_.clear();
    retries_.clear();
    led_.clear();
    changed_.SignalAll();
  }
  watcher_.join();
  for (const Watched& watched : open) {
    for (size_t i = 0; i < watched.fills.size(); ++i) {
      (void)SettleFill(*watched.blob, watched.first + static_cast<uint32_t>(i),
                       Cancelled("the daemon stops"), watched.fills[i].get());
    }
  }
  for (const auto& [record, fetch] : records) {
    for (const auto& done : fetch.waiters) done(Cancelled("the daemon stops"));
  }
  disk_pool_.reset();
}

void FillEngine::WaitForStore() { fetch_pool_.reset(); }

bool FillEngine::RunOnDiskThread(std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (stopping_) return false;
  disk_pool_->Add(std::move(task));
  return true;
}

std::vector<uint32_t> FillEngine::Want(const std::shared_ptr<LayerBlob>& blob, uint32_t first,
                                       uint32_t last,
                                       const std::shared_ptr<ReadOperation>& operation) {
  std::vector<uint32_t> present;
  std::vector<std::pair<uint32_t, std::shared_ptr<const std::string>>> arrived;
  std::vector<std::pair<std::shared_ptr<Run>, FillList>> runs;
  std::vector<std::pair<uint32_t, std::shared_ptr<Fill>>> first_read;  // on their way already
  const TimePoint deadline = clock_->Monotonic() + options_.stall_timeout;
  {
    MutexLock lock(&blob->mutex);
    for (uint32_t chunk = first; chunk < last; ++chunk) {
      if (IsHere(*blob, chunk, *operation)) {
        present.push_back(chunk);
        continue;
      }
      std::shared_ptr<Fill>& fill = blob->fills[chunk];
      if (fill != nullptr && fill->settled) {
        arrived.emplace_back(chunk, fill->bytes);
        continue;
      }
      const bool is_new = fill == nullptr;
      if (is_new) fill = std::make_shared<Fill>();
      if (is_new || (!fill->coming.empty() && !IsComing(*blob, chunk, *fill, *operation))) {
        fill->coming.clear();  // all of it is from now on
        fill->not_before = deadline;
        if (runs.empty() || !runs.back().first->Accepts(chunk)) {
          runs.emplace_back(std::make_shared<Run>(), FillList());
          runs.back().first->blob = blob;
        }
        runs.back().first->Append(chunk);
        runs.back().second.push_back(fill);
      } else if (operation->has_reader() && !fill->has_reader) {
        fill->not_before = deadline;
        first_read.emplace_back(chunk, fill);
      }
      fill->has_reader = fill->has_reader || operation->has_reader();
      fill->waiters.push_back(operation);
    }
  }
  WatchAnew(blob, first_read, deadline);
  for (auto& [run, fills] : runs) Submit(std::move(run), std::move(fills));
  for (const auto& [chunk, bytes] : arrived) {
    operation->Take(blob->layer().chunks[chunk].blob_offset, *bytes);
    operation->PartDone(absl::OkStatus());
  }
  return present;
}

// Its first reader waits as long as anybody: the time before does not count.
void FillEngine::WatchAnew(const std::shared_ptr<LayerBlob>& blob,
                           const std::vector<std::pair<uint32_t, std::shared_ptr<Fill>>>& fills,
                           TimePoint deadline) {
  if (fills.empty()) return;
  MutexLock lock(&mutex_);
  for (const auto& [chunk, fill] : fills) {
    watched_.push_back({deadline, blob, chunk, {fill}});
  }
  changed_.Signal();
}

void FillEngine::Submit(std::shared_ptr<Run> run, FillList fills) {
  absl::Status refused;
  {
    MutexLock lock(&mutex_);
    if (stopping_) {
      refused = Cancelled("the daemon stops");
    } else if (run->blob->cache().discarded()) {
      refused = Abandoned();
    } else {
      watched_.push_back(
          {clock_->Monotonic() + options_.stall_timeout, run->blob, run->first, std::move(fills)});
      queue_.push_back(std::move(run));
      Pump();
      changed_.Signal();
      return;
    }
  }
  for (uint32_t i = 0; i < run->count; ++i) {
    (void)SettleFill(*run->blob, run->first + i, refused, fills[i].get());
  }
}

void FillEngine::Pump() {
  while (!stopping_ && !queue_.empty()) {
    std::shared_ptr<Run>& next = queue_.front();
    if (bytes_in_flight_ > 0 && bytes_in_flight_ + next->bytes > options_.max_bytes_in_flight) {
      return;
    }
    bytes_in_flight_ += next->bytes;
    fetch_pool_->Add([self = shared_from_this(), run = std::move(next)] { self->Fetch(run); });
    queue_.pop_front();
  }
}

void FillEngine::Release(uint64_t bytes) {
  MutexLock lock(&mutex_);
  bytes_in_flight_ -= bytes;
  Pump();
}

void FillEngine::Written(uint64_t bytes, bool brought) {
  if (brought) {
    MutexLock lock(&mutex_);
    brought_unwritten_bytes_ -= bytes;
    brought_written_.SignalAll();
  }
  Release(bytes);
}

void FillEngine::Fetch(const std::shared_ptr<Run>& run) {
  LayerBlob& blob = *run->blob;
  std::vector<uint32_t> missing, needed;
  for (uint32_t chunk = run->first; chunk < run->first + run->count; ++chunk) {
    const std::shared_ptr<Fill> fill = FindOpen(blob, chunk);
    if (fill == nullptr || Recover(*run, chunk, *fill)) {
      Release(ChunkSize(blob, chunk));
    } else {
      missing.push_back(chunk);
    }
  }
  // First of all, or whoever leads could end between the look for a copy and this.
  for (const uint32_t chunk : Lead(*run, missing)) {
    const std::shared_ptr<Fill> fill = FindOpen(blob, chunk);
    if (fill == nullptr) {
      Release(ChunkSize(blob, chunk));  // given up meanwhile
      EndLead(blob, chunk);
    } else if (!CopyFromNode(*run, chunk, *fill)) {
      needed.push_back(chunk);
    }
  }
  if (needed.empty()) return;
  absl::StatusOr<std::shared_ptr<const Locations>> locations =
      Unavailable("no store is configured");
  if (reader_ != nullptr) {
    const StoreOutage::Question question = outage_.Ask();
    locations = blob.FindLocations(*reader_, *records_, run->stale);
    if (!locations.ok()) outage_.Note(locations.status(), question.asked());
  }
  if (!locations.ok()) {
    std::vector<std::pair<uint32_t, absl::Status>> failed;
    for (const uint32_t chunk : needed) {
      failed.emplace_back(chunk, locations.status());
      Release(ChunkSize(blob, chunk));
      EndLead(blob, chunk);
    }
    return Failed(*run, std::move(failed));
  }
  std::vector<std::shared_ptr<Attempt>> attempts;
  for (const uint32_t chunk : needed) {
    if (attempts.empty() || !attempts.back()->run.Accepts(chunk)) {
      attempts.push_back(std::make_shared<Attempt>());
      attempts.back()->run = run->Empty();
      attempts.back()->locations = *locations;
    }
    attempts.back()->run.Append(chunk);
  }
  for (const auto& attempt : attempts) {
    attempt->question = outage_.Ask();  // ended by its last answer, with which the engine lives
    {
      MutexLock lock(&attempt->mutex);
      attempt->open = attempt->run.count;
    }
    reader_->ReadChunksAsync(blob.layer(), *attempt->locations, attempt->run.first,
                             attempt->run.count,
                             [self = shared_from_this(), attempt](auto chunk, auto bytes) {
                               self->Arrived(attempt, chunk, std::move(bytes));
                             });
  }
}

// `fill` is looked for before the bytes are read, and the chunk claimed only while that fill is the
// one under way: for as long as it is, nobody can take them out again.
bool FillEngine::Recover(const Run& run, uint32_t chunk, const Fill& fill) {
  LayerBlob& blob = *run.blob;
  const Chunk& wanted = blob.layer().chunks[chunk];
  const bool ours = blob.cache().IsOurs();
  if (run.attempt > 0 || !blob.cache().MayHold(wanted.blob_offset)) return false;
  // What memory has of it may be right where the disk is not.
  absl::StatusOr<std::string> bytes = blob.ReadChunkFromDisk(chunk);
  if (!bytes.ok()) return false;
  bytes->resize(wanted.size_bytes);
  const auto content = std::make_shared<const std::string>(*std::move(bytes));
  if (SettleFill(blob, chunk, content, &fill)) {
    ++counters_.chunks_recovered;
    if (ours) {
      blob.cache().MarkFilled(chunk, wanted.blob_offset, *content);
      local_.Note(wanted.digest, blob.id(), chunk);
    }
    ForgetFill(blob, chunk);
  }
  return true;
}

void FillEngine::Arrived(const std::shared_ptr<Attempt>& attempt, uint32_t chunk,
                         absl::StatusOr<std::string> bytes) {
  const std::shared_ptr<LayerBlob>& blob = attempt->run.blob;
  const uint32_t size = ChunkSize(*blob, chunk);
  if (bytes.ok() && bytes->size() != size) bytes = DataLoss("a chunk of another size");
  const absl::Status status = bytes.status();
  outage_.Note(status, attempt->question.asked());
  if (status.ok()) {
    auto content = std::make_shared<const std::string>(*std::move(bytes));
    if (SettleFill(*blob, chunk, content)) {
      ++counters_.chunks_filled;
      WriteBehind(blob, chunk, std::move(content));
    } else {
      Release(size);  // given up meanwhile
      EndLead(*blob, chunk);
    }
  } else {
    Release(size);
    EndLead(*blob, chunk);
  }
  std::vector<std::pair<uint32_t, absl::Status>> failed;
  {
    MutexLock lock(&attempt->mutex);
    if (!status.ok()) attempt->failed.emplace_back(chunk, status);
    if (--attempt->open > 0) return;
    failed.swap(attempt->failed);
  }
  attempt->question = {};
  if (failed.empty()) return;
  Run run = attempt->run;
  run.stale = attempt->locations;
  Failed(run, std::move(failed));
}

void FillEngine::RefuseFalsePages(LayerBlob& blob, uint32_t chunk) {
  (void)blob.cache().Drop(blob.ExtentOf(chunk));  // false whether they are claimed still or not
  ++counters_.false_pages;
  Log(LogLevel::kWarning,
      "a boot pack had other bytes than its image; whoever signed it is not to be trusted",
      {{"images", options_.name_images(blob.id())},
       {"blob", std::to_string(blob.id())},
       {"index", std::to_string(chunk)}});
}

void FillEngine::DropSpoilt(LayerBlob& blob, std::vector<uint32_t> chunks,
                            const absl::Status& status) {
  // What somebody else took out while it was read had nothing to be compared with: no damage, or that
  // one has told.
  std::erase_if(chunks,
                [&blob](uint32_t chunk) { return !blob.cache().Drop(blob.ExtentOf(chunk)); });
  if (chunks.empty() || blob.cache().discarded()) return;
  counters_.chunks_spoilt += chunks.size();
  const std::string error =
      status.ok() ? "its bytes are not those that were written" : Message(status);
  bool begins = false;
  {
    MutexLock lock(&blob.mutex);
    for (const uint32_t chunk : chunks) {
      begins = blob.faults_on_disk.Note(chunk, error, clock_->Monotonic()) || begins;
      blob.faults_on_disk.NoteRight(chunk);  // nobody gets it from there any more
    }
  }
  if (!begins) return;
  Log(LogLevel::kWarning, "the disk has damaged a blob cache; chunks of it are fetched again",
      {{"images", options_.name_images(blob.id())},
       {"record", blob.record().ToString()},
       {"blob", std::to_string(blob.id())},
       {"index", std::to_string(chunks.front())},
       {"error", error}});
}

// Failed precondition: a process that is dying still has the file.
void FillEngine::NoteWrite(const LayerBlob& blob, const absl::Status& written) {
  if (!absl::IsFailedPrecondition(written)) write_outage_.Note(written, blob.id());
}

void FillEngine::WriteBehind(const std::shared_ptr<LayerBlob>& blob, uint32_t chunk,
                             std::shared_ptr<const std::string> bytes, bool brought,
                             const std::optional<ChunkOf>& from) {
  const uint64_t size = bytes->size();
  const bool accepted = RunOnDiskThread(
      [self = shared_from_this(), blob, chunk, size, brought, from, bytes = std::move(bytes)] {
        // Pages that lie go first, whatever becomes of the bytes that say so.
        if (blob->HasOtherPages(chunk, *bytes)) self->RefuseFalsePages(*blob, chunk);
        if (self->caching_) {  // without: who asked has his answer
          const Chunk& written = blob->layer().chunks[chunk];
          const absl::Status status =
              from.has_value() ? blob->cache().WriteFrom({&from->blob->cache(), from->chunk,
                                                          from->blob->ExtentOf(from->chunk).offset},
                                                         chunk, written.blob_offset, *bytes)
                               : blob->cache().Write(chunk, written.blob_offset, *bytes);
          self->NoteWrite(*blob, status);
          if (status.ok()) self->local_.Note(written.digest, blob->id(), chunk);
        }
        ForgetFill(*blob, chunk);
        self->EndLead(*blob, chunk);
        self->Written(size, brought);
      });
  if (accepted) return;
  ForgetFill(*blob, chunk);
  EndLead(*blob, chunk);
  Written(size, brought);
}

}  // namespace slacker
