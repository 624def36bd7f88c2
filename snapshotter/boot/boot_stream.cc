#include "snapshotter/boot/boot_stream.h"

#include <algorithm>
#include <utility>

#include "snapshotter/boot/boot_worker.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

// Waiting is cut into slices, so that a clock that is not the system's is looked at too.
constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(10);

}  // namespace

BootStreams::BootStreams(
    std::shared_ptr<ReadBackend> backend, BlobFiller* filler, const Clock* clock,
    std::string directory, std::vector<PublicKey> keys,
    std::function<void(const Digest& chain_id, std::optional<size_t> windows)> on_windows)
    : clock_(clock),
      directory_(std::move(directory)),
      transfers_(std::make_shared<TransferCounters>()),
      worker_(std::make_shared<Worker>(
          backend == nullptr ? nullptr
                             : std::make_shared<CountingBackend>(backend.get(), transfers_),
          filler, directory_, std::move(keys), std::move(on_windows))) {}

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

bool BootStreams::Begin(const Digest& chain_id) {
  if (!worker_->has_store()) return false;
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(&mutex_);
    std::shared_ptr<Stream>& entry = streams_[chain_id];
    if (entry != nullptr && !entry->cancelled) return false;
    entry = std::make_shared<Stream>(chain_id);
    stream = entry;
  }
  worker_->AskFirst(stream);
  return true;
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
  if (first == nullptr || table == nullptr || !IsOf(*table, records))
    return taken;  // Place tells about the latter
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

std::shared_ptr<const BootTable> BootStreams::TakeTable(const Digest& chain_id) {
  const std::shared_ptr<Stream> stream = Find(chain_id);
  if (stream == nullptr) return nullptr;
  MutexLock lock(&stream->mutex);
  std::shared_ptr<const BootTable> table = stream->table;
  if (std::exchange(stream->table_taken, true)) return nullptr;
  if (stream->over) stream->table = nullptr;
  return table;
}

void BootStreams::Cancel(const Digest& chain_id) {
  if (const auto stream = Find(chain_id); stream != nullptr) stream->cancelled = true;
}

void BootStreams::Forget(const Digest& chain_id) { Drop(chain_id, true); }

void BootStreams::GiveUp(const Digest& chain_id) { Drop(chain_id, false); }

void BootStreams::Drop(const Digest& chain_id, bool placed_too) {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(&mutex_);
    const auto found = streams_.find(chain_id);
    if (found != streams_.end()) {
      MutexLock own(&found->second->mutex);
      if (found->second->placed && !placed_too) return;
      stream = found->second;
      streams_.erase(found);
    }
  }
  if (stream != nullptr) stream->cancelled = true;
  (void)worker_->Run([worker = worker_, chain_id] { worker->ForgetUnfinished(chain_id); });
}

std::vector<Digest> BootStreams::Unfinished() const {
  std::vector<Digest> chains;
  const auto names = ListDirectory(directory_);
  if (!names.ok()) return chains;  // they are fetched when they are read
  for (const std::string& name : *names) {
    if (const auto chain = Digest::FromHex(name); chain.ok()) chains.push_back(*chain);
  }
  return chains;
}

BootStats BootStreams::Stats() const {
  const Counters& counters = static_cast<const Worker&>(*worker_).counters();
  return {transfers_->requests, transfers_->bytes, counters.packs,          counters.packs_ignored,
          counters.records,     counters.chunks,   counters.chunks_present, counters.pages};
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
