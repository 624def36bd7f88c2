#include "backend/store/boot_writer.h"

#include <algorithm>
#include <future>
#include <iterator>
#include <semaphore>
#include <thread>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/base/thread_pool.h"
#include "backend/record/layer_codec.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/names.h"
#include "backend/store/object_stream.h"

namespace slacker {
namespace {

// A trace's pack is written once, by who has time, and read at every cold start: the best there is,
// some 4 MB/s on one core. A guess is made while somebody waits for the publication, holds more than
// is read, and lasts until the first traces: an eighth larger, at 50 MB/s.
int ZstdLevel(BootOrigin origin) { return origin == BootOrigin::kTrace ? 19 : 8; }
constexpr uint64_t kMaxRecordsBytes = 32 << 20;

// Cuts a trace into windows.
std::vector<std::vector<ChunkRun>> CutWindows(const std::vector<ChainLayer>& layers,
                                              const std::vector<ChunkRun>& chunks) {
  std::vector<std::vector<ChunkRun>> windows;
  uint64_t bytes = 0;
  uint32_t count = kMaxBootWindowChunks;  // of the last window: full
  for (const ChunkRun& run : chunks) {
    bool joined = false;  // to the window's last run
    for (uint32_t chunk = run.first; chunk < run.first + run.count; ++chunk) {
      const uint64_t size = layers[run.layer].layer->chunks[chunk].size_bytes;
      if (bytes + size > kMaxBootWindowBytes || count == kMaxBootWindowChunks) {
        windows.emplace_back();
        bytes = count = 0;
        joined = false;
      }
      bytes += size;
      ++count;
      if (joined) {
        ++windows.back().back().count;
      } else {
        windows.back().push_back({run.layer, chunk, 1});
        joined = true;
      }
    }
  }
  return windows;
}

// The same for pages.
std::vector<std::vector<ChunkRun>> CutPageWindows(const std::vector<ChunkRun>& pages) {
  std::vector<std::vector<ChunkRun>> windows;
  uint32_t room = 0;  // in the last window
  for (ChunkRun run : pages) {
    while (run.count > 0) {
      if (room == 0) {
        windows.emplace_back();
        room = static_cast<uint32_t>(kMaxBootWindowBytes / kBootPageBytes);
      }
      const uint32_t count = std::min(run.count, room);
      windows.back().push_back({run.layer, run.first, count});
      run.first += count;
      run.count -= count;
      room -= count;
    }
  }
  return windows;
}

absl::Status CheckRuns(const std::vector<ChainLayer>& layers, const std::vector<ChunkRun>& runs) {
  for (const ChunkRun& run : runs) {
    if (run.layer >= layers.size() || run.first > layers[run.layer].layer->chunks.size() ||
        run.count > layers[run.layer].layer->chunks.size() - run.first) {
      return InvalidArgument("a trace with chunks that there are not");
    }
  }
  return absl::OkStatus();
}

int CompressorThreads() {
  return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
}

absl::Status AppendRun(ChainReader& chain, const ChunkRun& run, bool pages, std::string* content) {
  if (pages) {
    ASSIGN_OR_RETURN(const std::string read, chain.ReadPages(run));
    *content += read;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> read, chain.Read(run));
  for (const std::string& bytes : read) *content += bytes;
  return absl::OkStatus();
}

absl::Status AddWindows(ChainReader& chain, const BootPlan& plan,
                        std::vector<NewBootPack::Window>* windows) {
  const int level = ZstdLevel(plan.origin);
  std::vector<std::vector<ChunkRun>> cut = CutWindows(chain.layers(), plan.chunks);
  const size_t of_chunks = cut.size();
  std::ranges::move(CutPageWindows(plan.pages), std::back_inserter(cut));
  windows->resize(cut.size());
  // Contents wait for the compressors, which are slow: not all of them at once.
  std::counting_semaphore<> room(2 * CompressorThreads());
  // Its end waits for all of them.
  ASSIGN_OR_RETURN(const auto compressors, ThreadPool::Make("boot-pack", CompressorThreads()));
  for (size_t i = 0; i < cut.size(); ++i) {
    NewBootPack::Window& window = (*windows)[i];
    window.runs = std::move(cut[i]);
    window.pages = i >= of_chunks;
    std::string content;
    room.acquire();
    for (const ChunkRun& run : window.runs) {
      RETURN_IF_ERROR(AppendRun(chain, run, window.pages, &content));
    }
    compressors->Add([&window, &room, level, content = std::move(content)]() mutable {
      window.compressed = CompressOrStore(content, level, &window.stored);
      window.stored.shrink_to_fit();
      std::string().swap(content);
      room.release();
    });
  }
  return absl::OkStatus();
}

absl::Status AddRecords(Backend& backend, const std::vector<ChainLayer>& layers,
                        std::vector<NewBootPack::Record>* records) {
  records->resize(layers.size());
  uint64_t left = kMaxRecordsBytes;
  for (size_t i = layers.size(); i-- > 0;) {
    NewBootPack::Record& record = (*records)[i];
    record.record = layers[i].record;
    if (left == 0) continue;
    const std::string name = RecordName(record.record);
    ASSIGN_OR_RETURN(const ObjectInfo info, backend.Stat(name));
    if (info.size_bytes > left) {
      left = 0;  // the top's are wanted first, so there is no use in those below
      continue;
    }
    record.object.reserve(info.size_bytes);
    auto bytes = std::make_unique<ObjectStream>(&backend, name, &record.object);
    RETURN_IF_ERROR(Annotate(CheckRecord(std::move(bytes), record.record), name));
    if (record.object.size() != info.size_bytes) return DataLoss(name + " was replaced meanwhile");
    left -= info.size_bytes;
  }
  return absl::OkStatus();
}

}  // namespace

ChainReader::ChainReader(const StoreReader* reader, std::vector<ChainLayer> layers)
    : reader_(reader), layers_(std::move(layers)), locations_(layers_.size()) {}

absl::StatusOr<std::vector<std::string>> ChainReader::Read(const ChunkRun& run) {
  RETURN_IF_ERROR(CheckRuns(layers_, {run}));
  const bool had_locations = locations_[run.layer].has_value();
  auto read = ReadOnce(run);
  if (!had_locations || !absl::IsNotFound(read.status())) return read;
  locations_[run.layer].reset();  // compaction has moved them meanwhile
  return ReadOnce(run);
}

absl::StatusOr<std::string> ChainReader::ReadPages(const ChunkRun& pages) {
  if (pages.layer >= layers_.size()) return InvalidArgument("pages of a layer that there is not");
  const Layer& layer = *layers_[pages.layer].layer;
  const uint64_t offset = pages.first * kBootPageBytes;
  std::string content(pages.count * kBootPageBytes, '\0');
  if (offset > layer.blob_size_bytes || content.size() > layer.blob_size_bytes - offset) {
    return InvalidArgument("pages that there are not");
  }
  const auto [first, last] = ChunksIn(layer.chunks, offset, content.size());
  ASSIGN_OR_RETURN(const std::vector<std::string> read, Read({pages.layer, first, last - first}));
  for (uint32_t chunk = first; chunk < last; ++chunk) {
    const uint64_t at = layer.chunks[chunk].blob_offset;
    const std::string& bytes = read[chunk - first];
    const uint64_t from = std::max(at, offset);
    const uint64_t to = std::min(at + bytes.size(), offset + content.size());
    content.replace(from - offset, to - from, bytes, from - at, to - from);
  }
  return content;
}

absl::StatusOr<std::vector<std::string>> ChainReader::ReadOnce(const ChunkRun& run) {
  const Layer& layer = *layers_[run.layer].layer;
  std::optional<Locations>& locations = locations_[run.layer];
  if (!locations.has_value()) {
    ASSIGN_OR_RETURN(locations,
                     reader_->ReadLocations(layers_[run.layer].record, layer.chunks.size()));
  }
  std::vector<std::promise<absl::StatusOr<std::string>>> promises(run.count);
  reader_->ReadChunksAsync(layer, *locations, run.first, run.count,
                           [&promises, &run](uint32_t chunk, absl::StatusOr<std::string> bytes) {
                             promises[chunk - run.first].set_value(std::move(bytes));
                           });
  std::vector<std::string> contents(run.count);
  absl::Status first;
  for (uint32_t i = 0; i < run.count; ++i) {
    auto bytes = promises[i].get_future().get();
    if (bytes.ok()) contents[i] = *std::move(bytes);
    first.Update(bytes.status());
  }
  RETURN_IF_ERROR(first);
  return contents;
}

absl::StatusOr<bool> HasBootPack(Backend& backend, const Digest& chain_id,
                                 const std::vector<Digest>& records, BootOrigin origin,
                                 const Digest& made_of, std::span<const PublicKey> keys) {
  const std::string name = BootPackName(chain_id);
  const auto beginning = backend.Read(name, 0, kMaxBootTableBytes);
  if (absl::IsNotFound(beginning.status()) || absl::IsDataLoss(beginning.status())) return false;
  RETURN_IF_ERROR(beginning.status());
  const auto table = beginning->size() < kBootHeadBytes ? DataLoss("short")
                                                        : DecodeBootTable(*beginning, chain_id);
  if (!table.ok() || table->records.size() != records.size()) return false;
  // Of a flipped bit in there the checksum knows nothing.
  if (!CheckBootSignature(*beginning, keys).ok()) return false;
  for (size_t i = 0; i < records.size(); ++i) {
    if (table->records[i].record != records[i]) return false;
  }
  const auto info = backend.Stat(name);
  if (absl::IsNotFound(info.status())) return false;
  RETURN_IF_ERROR(info.status());
  if (info->size_bytes != table->pack_bytes) return false;
  if (table->origin != origin) return table->origin == BootOrigin::kTrace;
  return table->made_of == made_of;
}

absl::Status WriteBootPack(Backend& backend, const Digest& chain_id, ChainReader& chain,
                           const BootPlan& plan, const SigningKey* key) {
  RETURN_IF_ERROR(CheckRuns(chain.layers(), plan.chunks));
  NewBootPack pack;
  pack.chain_id = chain_id;
  pack.origin = plan.origin;
  pack.made_of = plan.made_of;
  RETURN_IF_ERROR(AddRecords(backend, chain.layers(), &pack.records));
  RETURN_IF_ERROR(AddWindows(chain, plan, &pack.windows));
  ASSIGN_OR_RETURN(const std::string bytes, EncodeBootPack(std::move(pack), key));
  SLACKER_FAILPOINT("publish.before_boot_pack");
  RETURN_IF_ERROR(backend.Replace(BootPackName(chain_id), bytes));
  SLACKER_FAILPOINT("publish.after_boot_pack");
  return absl::OkStatus();
}

}  // namespace slacker
