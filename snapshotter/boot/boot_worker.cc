// A stream from its first part to its end: the table, and what its windows are verified against.
#include "snapshotter/boot/boot_worker.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/store/names.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

std::vector<Digest> RecordsOf(const std::vector<BlobRow>& layers) {
  std::vector<Digest> records;
  for (const BlobRow& layer : layers) records.push_back(layer.record);
  return records;
}

// What the unpacking would refuse, before all of it is announced: readers would wait for it.
absl::Status CheckWindows(const BootTable& table,
                          const std::vector<const TableVector<Chunk>*>& tables) {
  for (const BootTable::Window& window : table.windows) {
    uint64_t bytes = 0;
    for (const ChunkRun& run : window.runs) {
      if (window.pages.has_value()) continue;  // the table is refused if they are too many
      const TableVector<Chunk>& chunks = *tables[run.layer];
      const uint64_t end = std::min<uint64_t>(uint64_t{run.first} + run.count, chunks.size());
      for (uint64_t chunk = run.first; chunk < end; ++chunk) bytes += chunks[chunk].size_bytes;
    }
    if (bytes > kMaxBootWindowBytes) return DataLoss("boot pack: a window has too much");
  }
  return absl::OkStatus();
}

}  // namespace

bool IsOf(const BootTable& table, const std::vector<Digest>& records) {
  return std::equal(
      table.records.begin(), table.records.end(), records.begin(), records.end(),
      [](const auto& stands, const Digest& record) { return stands.record == record; });
}

bool BootStreams::Worker::Run(std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (stopping_) return false;
  pool_->Add(std::move(task));
  return true;
}

void BootStreams::Worker::Stop() {
  std::unique_ptr<ThreadPool> pool;
  MutexLock lock(&mutex_);
  stopping_ = true;
  pool = std::move(pool_);
}

void BootStreams::Worker::AskFirst(const std::shared_ptr<Stream>& stream) {
  backend_->ReadAsync(BootPackName(stream->chain_id), 0, kBootFirstReadBytes,
                      [self = shared_from_this(), stream](absl::StatusOr<std::string> bytes) {
                        (void)self->Run([self, stream, bytes = std::move(bytes)]() mutable {
                          self->TakeFirst(stream, std::move(bytes));
                        });
                      });
}

void BootStreams::Worker::Ignore(const Stream& stream, const absl::Status& status) {
  ++counters_.packs_ignored;
  Log(LogLevel::kWarning, "a boot pack is of no use; what it has is fetched when needed, ignoring",
      {{"chain", stream.chain_id.ToString()}, {"error", Message(status)}});
}

absl::StatusOr<BootTable> BootStreams::Worker::DecodeTable(const Stream& stream,
                                                           std::string_view beginning) const {
  ASSIGN_OR_RETURN(BootTable table, DecodeBootTable(beginning, stream.chain_id));
  RETURN_IF_ERROR(CheckBootSignature(beginning, keys_));
  return table;
}

void BootStreams::Worker::TakeFirst(const std::shared_ptr<Stream>& stream,
                                    absl::StatusOr<std::string> bytes) {
  if (!bytes.ok()) return SetFirst(stream, "", bytes.status());
  if (bytes->size() < kBootHeadBytes) return SetFirst(stream, "", DataLoss("boot pack: too short"));
  const auto needed = BootTableBytes(*bytes);
  if (!needed.ok()) return SetFirst(stream, "", needed.status());
  if (bytes->size() >= *needed || bytes->size() < kBootFirstReadBytes) {
    auto table = DecodeTable(*stream, *bytes);
    return SetFirst(stream, *std::move(bytes), std::move(table));
  }
  // A long trace: the rest of its table.
  const uint64_t have = bytes->size();
  auto first = std::make_shared<const std::string>(*std::move(bytes));
  backend_->ReadAsync(BootPackName(stream->chain_id), have, *needed - have,
                      [self = shared_from_this(), stream, first](absl::StatusOr<std::string> rest) {
                        (void)self->Run([self, stream, first, rest = std::move(rest)]() {
                          auto table = rest.ok() ? self->DecodeTable(*stream, *first + *rest)
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

void BootStreams::Worker::NoteUnfinished(const Digest& chain_id) {
  // Not synced: what a power cut takes with it comes when it is read.
  const std::string path = directory_ + "/" + chain_id.ToHex();
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) {
    Log(LogLevel::kWarning, "a boot pack will not be resumed by the next slackerd, ignoring",
        {{"chain", chain_id.ToString()}, {"error", Message(ErrnoError(errno, "open " + path))}});
  }
}

void BootStreams::Worker::ForgetUnfinished(const Digest& chain_id) {
  (void)RemoveFile(directory_ + "/" + chain_id.ToHex());  // then it is begun once more, for nothing
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
    ForgetUnfinished(stream.chain_id);
    stream.ended = true;
    return false;
  }
  stream.running = true;
  if (table->HasPages()) on_windows_(stream.chain_id, 0);
  NoteUnfinished(stream.chain_id);
  static const TableVector<Chunk> kNoChunks;
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
  if (status.ok() && !stream.cancelled) status = CheckWindows(*table, stream.tables);
  if (!status.ok()) End(stream, status);
  return status.ok();
}

void BootStreams::Worker::End(Stream& stream, const absl::Status& status) {
  ForgetUnfinished(stream.chain_id);
  for (const std::shared_ptr<Read>& read : stream.reads) Withdraw(*read);
  stream.reads.clear();
  if (!status.ok()) {
    Ignore(stream, status);
  } else {
    Log(LogLevel::kInfo, stream.cancelled ? "a boot pack was called off" : "a boot pack was read",
        {{"chain", stream.chain_id.ToString()},
         {"chunks", std::to_string(stream.chunks_brought)},
         {"pages", std::to_string(stream.pages_brought)},
         {"bytes", std::to_string(stream.bytes_read)}});
  }
  stream.blobs.clear();
  stream.tables.clear();
  {
    MutexLock lock(&stream.mutex);
    stream.first = nullptr;
    stream.over = true;
    if (stream.table_taken || stream.cancelled || !status.ok()) stream.table = nullptr;
  }
  if (stream.cancelled || !status.ok()) on_windows_(stream.chain_id, std::nullopt);
  stream.ended = true;  // last: who sees it finds everything counted and let go of
}

}  // namespace slacker
