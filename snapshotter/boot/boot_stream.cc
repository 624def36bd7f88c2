#include "snapshotter/boot/boot_stream.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/store/boot_pack.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

// Waiting is cut into slices, so that a clock that is not the system's is looked at too.
constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(10);

bool IsOf(const BootTable& table, const std::vector<Digest>& records) {
  return std::equal(
      table.records.begin(), table.records.end(), records.begin(), records.end(),
      [](const auto& stands, const Digest& record) { return stands.record == record; });
}

std::vector<Digest> RecordsOf(const std::vector<BlobRow>& layers) {
  std::vector<Digest> records;
  for (const BlobRow& layer : layers) records.push_back(layer.record);
  return records;
}

}  // namespace

struct BootStreams::Counters {
  std::atomic<uint64_t> packs = 0, packs_ignored = 0, records = 0, chunks = 0, chunks_present = 0;
};

struct BootStreams::Stream {
  explicit Stream(const Digest& chain) : chain_id(chain) {}

  const Digest chain_id;
  std::atomic<bool> cancelled = false;
  std::atomic<bool> ended = false;  // set by the worker's thread

  Mutex mutex;
  CondVar changed;
  bool arrived ABSL_GUARDED_BY(mutex) = false;  // the first part, or that there is none
  // Both are written once, before `arrived`, and given up by the worker's thread.
  std::shared_ptr<const std::string> first ABSL_GUARDED_BY(mutex);
  std::shared_ptr<const BootTable> table ABSL_GUARDED_BY(mutex);
  bool placed ABSL_GUARDED_BY(mutex) = false;
  std::vector<BlobRow> layers ABSL_GUARDED_BY(mutex);

  // Of the worker's thread alone.
  bool running = false;
  std::vector<std::shared_ptr<LayerBlob>> blobs;  // null: without content
  std::vector<const std::vector<Chunk>*> tables;  // parallel
  size_t next_window = 0;
  std::vector<std::shared_ptr<Read>> reads;  // under way
  uint64_t chunks_brought = 0, bytes_read = 0;
};

// Windows that are fetched together, and what of them was announced.
struct BootStreams::Read {
  uint64_t offset = 0, bytes = 0;
  std::vector<const BootTable::Window*> windows;
  std::vector<std::pair<std::shared_ptr<LayerBlob>, FillEngine::Announcement>> announced;
};

// What runs on the thread; outlives BootStreams in the callbacks of reads.
class BootStreams::Worker : public std::enable_shared_from_this<Worker> {
 public:
  Worker(std::shared_ptr<ReadBackend> backend, BlobFiller* filler)
      : backend_(std::move(backend)),
        filler_(filler),
        pool_(std::make_unique<ThreadPool>("slk-boot", 1)) {}

  bool has_store() const { return backend_ != nullptr; }
  const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }

  // False after Stop.
  bool Run(std::function<void()> task) {
    MutexLock lock(&mutex_);
    if (stopping_) return false;
    pool_->Add(std::move(task));
    return true;
  }
  void Stop() {
    std::unique_ptr<ThreadPool> pool;
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
      pool = std::move(pool_);
    }
  }

  void AskFirst(const std::shared_ptr<Stream>& stream) {
    backend_->ReadAsync(BootPackName(stream->chain_id), 0, kBootFirstReadBytes,
                        [self = shared_from_this(), stream](absl::StatusOr<std::string> bytes) {
                          (void)self->Run([self, stream, bytes = std::move(bytes)]() mutable {
                            self->TakeFirst(stream, std::move(bytes));
                          });
                        });
  }

  void Ignore(const Stream& stream, const absl::Status& status) {
    ++counters_.packs_ignored;
    Log(LogLevel::kWarning,
        "a boot pack is of no use; what it has is fetched when needed, ignoring",
        {{"chain", stream.chain_id.ToString()}, {"error", Message(status)}});
  }

  // On the thread: goes on with a stream, if there is something to be done.
  void Advance(const std::shared_ptr<Stream>& stream);
  // On the thread: what is announced will not come.
  void Abandon(const std::shared_ptr<Stream>& stream);

 private:
  void TakeFirst(const std::shared_ptr<Stream>& stream, absl::StatusOr<std::string> bytes);
  void Arrived(const std::shared_ptr<Stream>& stream, std::shared_ptr<const std::string> first,
               absl::StatusOr<std::string> bytes);
  void SetFirst(const std::shared_ptr<Stream>& stream, std::string bytes,
                absl::StatusOr<BootTable> table);
  bool Prepare(Stream& stream);
  std::shared_ptr<Read> PlanRead(Stream& stream, const BootTable& table, uint64_t first_bytes);
  size_t Announce(Stream& stream, const BootTable::Window& window, Read* read);
  void Ask(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Read>& read);
  absl::Status Take(Stream& stream, const std::shared_ptr<Read>& read, std::string_view bytes);
  void Withdraw(Read& read);
  void End(Stream& stream, const absl::Status& status);

  const std::shared_ptr<ReadBackend> backend_;
  BlobFiller* const filler_;  // used on the thread only
  Counters counters_;
  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<ThreadPool> pool_;
};

void BootStreams::Worker::TakeFirst(const std::shared_ptr<Stream>& stream,
                                    absl::StatusOr<std::string> bytes) {
  if (!bytes.ok()) return SetFirst(stream, "", bytes.status());
  if (bytes->size() < kBootHeadBytes) return SetFirst(stream, "", DataLoss("boot pack: too short"));
  const auto needed = BootTableBytes(*bytes);
  if (!needed.ok()) return SetFirst(stream, "", needed.status());
  if (bytes->size() >= *needed || bytes->size() < kBootFirstReadBytes) {
    auto table = DecodeBootTable(*bytes, stream->chain_id);
    return SetFirst(stream, *std::move(bytes), std::move(table));
  }
  // A long trace: the rest of its table.
  const uint64_t have = bytes->size();
  auto first = std::make_shared<const std::string>(*std::move(bytes));
  backend_->ReadAsync(BootPackName(stream->chain_id), have, *needed - have,
                      [self = shared_from_this(), stream, first](absl::StatusOr<std::string> rest) {
                        (void)self->Run([self, stream, first, rest = std::move(rest)]() {
                          auto table = rest.ok() ? DecodeBootTable(*first + *rest, stream->chain_id)
                                                 : rest.status();
                          self->SetFirst(stream, *first, std::move(table));
                        });
                      });
}

void BootStreams::Worker::SetFirst(const std::shared_ptr<Stream>& stream, std::string bytes,
                                   absl::StatusOr<BootTable> table) {
  if (table.ok()) {
    ++counters_.packs;
  } else if (!absl::IsNotFound(table.status())) {
    Ignore(*stream, table.status());
  }
  {
    MutexLock lock(&stream->mutex);
    stream->arrived = true;
    if (table.ok()) {
      stream->first = std::make_shared<const std::string>(std::move(bytes));
      stream->table = std::make_shared<const BootTable>(*std::move(table));
    }
    stream->changed.SignalAll();
  }
  Advance(stream);
}

// Loads what the windows are verified against. False when there is nothing to stream.
bool BootStreams::Worker::Prepare(Stream& stream) {
  std::vector<BlobRow> layers;
  std::shared_ptr<const BootTable> table;
  {
    MutexLock lock(&stream.mutex);
    if (!stream.placed || !stream.arrived) return false;
    layers = stream.layers;
    table = stream.table;
  }
  if (stream.running) return true;
  if (table == nullptr) {
    stream.ended = true;
    return false;
  }
  stream.running = true;
  static const std::vector<Chunk> kNoChunks;
  absl::Status status;
  if (!IsOf(*table, RecordsOf(layers))) status = DataLoss("boot pack: of other records");
  for (const BlobRow& layer : layers) {
    if (!status.ok() || stream.cancelled) break;
    std::shared_ptr<LayerBlob> blob;
    if (layer.size_bytes > 0) {
      auto loaded = filler_->Find(layer.id);
      status = loaded.status();
      if (loaded.ok()) blob = *std::move(loaded);
    }
    stream.tables.push_back(blob == nullptr ? &kNoChunks : &blob->layer().chunks);
    stream.blobs.push_back(std::move(blob));
  }
  if (!status.ok()) End(stream, status);
  return status.ok();
}

size_t BootStreams::Worker::Announce(Stream& stream, const BootTable::Window& window, Read* read) {
  size_t announced = 0;
  for (const ChunkRun& run : window.runs) {
    const std::shared_ptr<LayerBlob>& blob = stream.blobs[run.layer];
    const size_t chunks = stream.tables[run.layer]->size();
    // What there is not the unpacking will find out.
    if (blob == nullptr || run.first > chunks || run.count > chunks - run.first) continue;
    FillEngine::Announcement made = filler_->engine().Announce(blob, run.first, run.count);
    announced += made.size();
    counters_.chunks_present += run.count - made.size();
    if (!made.empty()) read->announced.emplace_back(blob, std::move(made));
  }
  return announced;
}

// The next windows of which something is wanted, as far as they are neighbours; null at the end.
// Those within the first part make a read of their own.
std::shared_ptr<BootStreams::Read> BootStreams::Worker::PlanRead(Stream& stream,
                                                                 const BootTable& table,
                                                                 uint64_t first_bytes) {
  auto read = std::make_shared<Read>();
  for (; stream.next_window < table.windows.size(); ++stream.next_window) {
    const BootTable::Window& window = table.windows[stream.next_window];
    const uint64_t end = window.offset + window.stored_bytes;
    const bool is_here = end <= first_bytes;
    if (!read->windows.empty()) {
      const bool was_here = read->offset + read->bytes <= first_bytes;
      if (was_here != is_here || end - read->offset > kBootReadBytes) break;
    }
    if (Announce(stream, window, read.get()) == 0) {
      if (read->windows.empty()) continue;
      ++stream.next_window;
      break;
    }
    if (read->windows.empty()) read->offset = window.offset;
    read->bytes = end - read->offset;
    read->windows.push_back(&window);
  }
  return read->windows.empty() ? nullptr : read;
}

void BootStreams::Worker::Advance(const std::shared_ptr<Stream>& stream) {
  if (stream->ended || !Prepare(*stream)) return;
  std::shared_ptr<const std::string> first;
  std::shared_ptr<const BootTable> table;
  {
    MutexLock lock(&stream->mutex);
    first = stream->first;
    table = stream->table;
  }
  while (!stream->cancelled && stream->reads.size() < kBootReadsInFlight) {
    const std::shared_ptr<Read> read = PlanRead(*stream, *table, first->size());
    if (read == nullptr) break;
    if (read->offset + read->bytes > first->size()) {
      Ask(stream, read);
      continue;
    }
    const absl::Status taken =
        Take(*stream, read, std::string_view(*first).substr(read->offset, read->bytes));
    if (!taken.ok()) return End(*stream, taken);
  }
  if (stream->reads.empty()) End(*stream, absl::OkStatus());
}

void BootStreams::Worker::Ask(const std::shared_ptr<Stream>& stream,
                              const std::shared_ptr<Read>& read) {
  stream->reads.push_back(read);
  SLACKER_FAILPOINT("boot.read");
  backend_->ReadAsync(BootPackName(stream->chain_id), read->offset, read->bytes,
                      [self = shared_from_this(), stream, read](absl::StatusOr<std::string> bytes) {
                        (void)self->Run([self, stream, read, bytes = std::move(bytes)] {
                          const auto under_way =
                              std::find(stream->reads.begin(), stream->reads.end(), read);
                          if (under_way == stream->reads.end()) return;  // abandoned
                          stream->reads.erase(under_way);
                          absl::Status taken = bytes.status();
                          if (taken.ok()) {
                            stream->bytes_read += bytes->size();
                            taken = self->Take(*stream, read, *bytes);
                          } else {
                            self->Withdraw(*read);
                          }
                          if (!taken.ok()) return self->End(*stream, taken);
                          self->Advance(stream);
                        });
                      });
}

absl::Status BootStreams::Worker::Take(Stream& stream, const std::shared_ptr<Read>& read,
                                       std::string_view bytes) {
  absl::Status status;
  size_t next = 0;  // of read->announced
  for (const BootTable::Window* window : read->windows) {
    std::string_view stored = bytes;
    stored.remove_prefix(std::min<uint64_t>(window->offset - read->offset, stored.size()));
    auto chunks = UnpackBootWindow(*window, stored.substr(0, window->stored_bytes), stream.tables);
    status = chunks.status();
    if (!status.ok()) break;
    // Announcements are in the order of the windows, and of the chunks in them.
    for (BootChunk& chunk : *chunks) {
      while (next < read->announced.size() && read->announced[next].second.empty()) ++next;
      if (next == read->announced.size()) break;
      auto& [blob, announced] = read->announced[next];
      if (blob != stream.blobs[chunk.layer] || announced.front().chunk != chunk.chunk) continue;
      filler_->engine().Bring(blob, announced.front(), std::move(chunk.bytes));
      announced.pop_front();
      ++counters_.chunks;
      ++stream.chunks_brought;
    }
    SLACKER_FAILPOINT("boot.window");
  }
  Withdraw(*read);
  return status;
}

void BootStreams::Worker::Withdraw(Read& read) {
  for (auto& [blob, announced] : read.announced) {
    if (!announced.empty()) filler_->engine().Withdraw(blob, announced);
  }
  read.announced.clear();
}

void BootStreams::Worker::Abandon(const std::shared_ptr<Stream>& stream) {
  for (const std::shared_ptr<Read>& read : stream->reads) Withdraw(*read);
  stream->reads.clear();
}

void BootStreams::Worker::End(Stream& stream, const absl::Status& status) {
  stream.ended = true;
  for (const std::shared_ptr<Read>& read : stream.reads) Withdraw(*read);
  stream.reads.clear();
  if (!status.ok()) {
    Ignore(stream, status);
  } else {
    Log(LogLevel::kInfo, stream.cancelled ? "a boot pack was called off" : "a boot pack was read",
        {{"chain", stream.chain_id.ToString()},
         {"chunks", std::to_string(stream.chunks_brought)},
         {"bytes", std::to_string(stream.bytes_read)}});
  }
  stream.blobs.clear();
  stream.tables.clear();
  MutexLock lock(&stream.mutex);
  stream.first = nullptr;
  stream.table = nullptr;
}

BootStreams::BootStreams(std::shared_ptr<ReadBackend> backend, BlobFiller* filler,
                         const Clock* clock)
    : clock_(clock),
      transfers_(std::make_shared<TransferCounters>()),
      worker_(std::make_shared<Worker>(
          backend == nullptr ? nullptr
                             : std::make_shared<CountingBackend>(backend.get(), transfers_),
          filler)) {}

BootStreams::~BootStreams() {
  {
    MutexLock lock(&mutex_);
    for (const auto& [chain_id, stream] : streams_) {
      stream->cancelled = true;
      (void)worker_->Run([worker = worker_, stream = stream] { worker->Abandon(stream); });
    }
  }
  worker_->Stop();
}

std::shared_ptr<BootStreams::Stream> BootStreams::Find(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  const auto found = streams_.find(chain_id);
  return found == streams_.end() ? nullptr : found->second;
}

void BootStreams::Begin(const Digest& chain_id) {
  if (!worker_->has_store()) return;
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(&mutex_);
    std::shared_ptr<Stream>& entry = streams_[chain_id];
    if (entry != nullptr && !entry->cancelled) return;
    entry = std::make_shared<Stream>(chain_id);
    stream = entry;
  }
  worker_->AskFirst(stream);
}

std::map<Digest, RecordObject> BootStreams::TakeRecords(const Digest& chain_id,
                                                        const std::vector<Digest>& records,
                                                        const std::vector<Digest>& wanted,
                                                        TimePoint deadline) {
  std::map<Digest, RecordObject> taken;
  const std::shared_ptr<Stream> stream = Find(chain_id);
  if (stream == nullptr) return taken;
  std::shared_ptr<const std::string> first;
  std::shared_ptr<const BootTable> table;
  {
    MutexLock lock(&stream->mutex);
    while (!stream->arrived) {
      const std::chrono::nanoseconds left = deadline - clock_->Monotonic();
      if (left <= std::chrono::nanoseconds::zero()) return taken;
      (void)stream->changed.WaitFor(&stream->mutex, std::min(left, kSlice));  // looked at above
    }
    first = stream->first;
    table = stream->table;
  }
  if (table == nullptr || !IsOf(*table, records)) return taken;  // Place tells about the latter
  for (const BootTable::Record& stands : table->records) {
    if (stands.bytes == 0 || stands.offset + stands.bytes > first->size() ||
        std::find(wanted.begin(), wanted.end(), stands.record) == wanted.end()) {
      continue;
    }
    RecordObject object;
    object.stored = first->substr(stands.offset, stands.bytes);
    auto layer = DecodeRecordObject(object.stored, stands.record);
    if (!layer.ok()) {
      worker_->Ignore(*stream, layer.status());
      stream->cancelled = true;
      break;
    }
    object.layer = *std::move(layer);
    ++worker_->counters().records;
    taken.emplace(stands.record, std::move(object));
  }
  return taken;
}

void BootStreams::Place(const Digest& chain_id, const std::vector<BlobRow>& layers) {
  const std::shared_ptr<Stream> stream = Find(chain_id);
  if (stream == nullptr) return;
  {
    MutexLock lock(&stream->mutex);
    if (std::exchange(stream->placed, true)) return;
    stream->layers = layers;
  }
  (void)worker_->Run([worker = worker_, stream] { worker->Advance(stream); });
}

void BootStreams::Cancel(const Digest& chain_id) {
  if (const auto stream = Find(chain_id); stream != nullptr) stream->cancelled = true;
}

void BootStreams::Forget(const Digest& chain_id) {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(&mutex_);
    const auto found = streams_.find(chain_id);
    if (found == streams_.end()) return;
    stream = std::move(found->second);
    streams_.erase(found);
  }
  stream->cancelled = true;
}

BootStats BootStreams::Stats() const {
  const Counters& counters = static_cast<const Worker&>(*worker_).counters();
  return {transfers_->requests, transfers_->bytes, counters.packs,         counters.packs_ignored,
          counters.records,     counters.chunks,   counters.chunks_present};
}

void BootStreams::WaitForTest() {
  Mutex mutex;
  CondVar changed;
  bool done = false;
  const bool accepted = worker_->Run([&] {
    MutexLock lock(&mutex);
    done = true;
    changed.SignalAll();
  });
  MutexLock lock(&mutex);
  while (accepted && !done) changed.Wait(&mutex);
}

bool BootStreams::IdleForTest() {
  MutexLock lock(&mutex_);
  return std::all_of(streams_.begin(), streams_.end(), [](const auto& named) {
    Stream& stream = *named.second;
    MutexLock own(&stream.mutex);
    return stream.ended || (stream.arrived && !stream.placed);
  });
}

}  // namespace slacker
