#include "snapshotter/fill/layer_blob.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr uint64_t kBlockBytes = 4096;  // chunks begin at multiples of it

}  // namespace

absl::StatusOr<std::shared_ptr<LayerBlob>> LayerBlob::Open(const BlobRow& row, std::string stem,
                                                           const RecordFiles& records) {
  std::shared_ptr<LayerBlob> blob(new LayerBlob(row));
  if (const auto recent = records.recent().Find(row.record); recent != nullptr) {
    blob->TakeContent(*recent, recent->chunks);
  } else {
    auto layer = records.Load(row.record);
    if (absl::IsNotFound(layer.status())) return DataLoss(Message(layer.status()));
    RETURN_IF_ERROR(layer.status());
    blob->TakeContent(*layer, std::move(layer->chunks));
    blob->layer_.chunks.shrink_to_fit();
  }
  if (blob->layer_.blob_size_bytes != row.size_bytes) {
    return DataLoss("the database knows another size of blob " + std::to_string(row.id));
  }
  blob->last_uses_ = std::vector<std::atomic<uint32_t>>(blob->layer_.chunks.size());
  ASSIGN_OR_RETURN(blob->cache_,
                   BlobCache::Open(std::move(stem), row.record, row.size_bytes,
                                   static_cast<uint32_t>(blob->layer_.chunks.size())));
  return blob;
}

void LayerBlob::TakeContent(const Layer& layer, TableVector<Chunk> chunks) {
  layer_.diff_id = layer.diff_id;
  layer_.chunk_size = layer.chunk_size;
  layer_.blob_size_bytes = layer.blob_size_bytes;
  layer_.chunks = std::move(chunks);
}

bool LayerBlob::Covers(uint32_t chunk, uint64_t offset, uint64_t size) const {
  if (cache_->Has(chunk)) return true;
  const ChunkExtent extent = ExtentOf(chunk);
  uint64_t at = std::max(extent.offset, offset / kBlockBytes * kBlockBytes);
  const uint64_t end = std::min(extent.offset + extent.size_bytes, offset + size);
  for (; at < end; at += kBlockBytes) {
    if (cache_->SumOf(at) == PageSums::kUnknown) return false;
  }
  return true;
}

uint64_t LayerBlob::CachedBytes(uint32_t chunk) const {
  const ChunkExtent extent = ExtentOf(chunk);
  if (cache_->Has(chunk)) return extent.size_bytes;
  uint64_t bytes = 0;
  for (uint64_t at = 0; at < extent.size_bytes; at += kBlockBytes) {
    if (cache_->SumOf(extent.offset + at) != PageSums::kUnknown) bytes += kBlockBytes;
  }
  return bytes;
}

std::vector<ChunkPages> LayerBlob::PiecesOf(uint64_t first_page, uint64_t count) const {
  std::vector<ChunkPages> pieces;
  const uint64_t pages = size_bytes() / kBlockBytes;
  if (first_page > pages || count > pages - first_page) return pieces;
  const auto [first, last] = ChunksIn(first_page * kBlockBytes, count * kBlockBytes);
  for (uint32_t chunk = first; chunk < last; ++chunk) {
    const ChunkExtent extent = ExtentOf(chunk);
    const uint64_t begin = std::max(first_page, extent.offset / kBlockBytes);
    const uint64_t end =
        std::min(first_page + count, (extent.offset + extent.size_bytes) / kBlockBytes);
    pieces.push_back({chunk, begin, end - begin});
  }
  return pieces;
}

bool LayerBlob::HasOtherPages(uint32_t chunk, std::string_view bytes) const {
  uint64_t offset = layer_.chunks[chunk].blob_offset;
  for (; !bytes.empty(); offset += kBlockBytes) {
    const std::string_view part = bytes.substr(0, kBlockBytes);
    bytes.remove_prefix(part.size());
    const uint32_t sum = cache_->SumOf(offset);
    if (sum == PageSums::kUnknown) continue;  // nearly always: every chunk that comes is looked at
    std::string page(part);
    page.resize(kBlockBytes, '\0');
    if (PageSums::Sum(page) != sum) return true;
  }
  return false;
}

bool LayerBlob::ClaimIfWhole(uint32_t chunk) {
  const ChunkExtent extent = ExtentOf(chunk);
  for (uint64_t at = 0; at < extent.size_bytes; at += kBlockBytes) {
    if (cache_->SumOf(extent.offset + at) == PageSums::kUnknown) return true;
  }
  std::string bytes(extent.size_bytes, '\0');
  if (!cache_->Read(extent.offset, bytes.size(), bytes.data()).ok())
    return true;  // found when read
  if (!IsChunk(chunk, bytes)) return false;
  cache_->MarkFilled(chunk, extent.offset, bytes);
  return true;
}

uint64_t LayerBlob::PaddedSize(uint32_t chunk) const {
  return (uint64_t{layer_.chunks[chunk].size_bytes} + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

bool LayerBlob::IsChunk(uint32_t chunk, std::string_view padded) const {
  const Chunk& wanted = layer_.chunks[chunk];
  const std::string_view rest = padded.substr(wanted.size_bytes);
  return Sha256::Of(padded.substr(0, wanted.size_bytes)) == wanted.digest &&
         rest.find_first_not_of('\0') == rest.npos;
}

absl::StatusOr<std::string> LayerBlob::ReadChunkFromDisk(uint32_t chunk) const {
  const uint64_t size = PaddedSize(chunk);
  const std::unique_ptr<char, void (*)(void*)> buffer(
      static_cast<char*>(std::aligned_alloc(kBlockBytes, size)), std::free);
  if (buffer == nullptr) return ResourceExhausted("no memory to verify a chunk");
  RETURN_IF_ERROR(cache_->ReadFromDisk(layer_.chunks[chunk].blob_offset, size, buffer.get()));
  std::string padded(buffer.get(), size);
  if (!IsChunk(chunk, padded)) {
    return DataLoss("chunk " + std::to_string(chunk) + " of blob " + std::to_string(id()) +
                    " is damaged on the disk");
  }
  return padded;
}

absl::Status LayerBlob::VerifyOnDisk(uint32_t chunk) {
  const GracePeriod::Use reading = cache_->Reading();
  if (!cache_->Has(chunk)) {
    return NotFound("chunk " + std::to_string(chunk) + " of blob " + std::to_string(id()) +
                    " is not in the cache");
  }
  ASSIGN_OR_RETURN(const std::string padded, ReadChunkFromDisk(chunk));
  NoteSumsIfUnknown(chunk, padded);
  return absl::OkStatus();
}

void LayerBlob::NoteSumsIfUnknown(uint32_t chunk, std::string_view padded) {
  const uint64_t offset = layer_.chunks[chunk].blob_offset;
  for (uint64_t at = 0; at < padded.size(); at += kBlockBytes) {
    if (cache_->SumOf(offset + at) == PageSums::kUnknown) {
      return cache_->NoteSums(chunk, offset, padded);
    }
  }
}

absl::Status LayerBlob::ReadChecked(uint64_t offset, uint64_t size, char* out,
                                    std::vector<uint32_t>* wrong) {
  const uint64_t from = offset / kBlockBytes * kBlockBytes;
  const uint64_t to = (offset + size + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  if (from != offset || to != offset + size) {  // the kernel asks for whole blocks
    std::string blocks(to - from, '\0');
    RETURN_IF_ERROR(ReadChecked(from, blocks.size(), blocks.data(), wrong));
    std::memcpy(out, blocks.data() + (offset - from), size);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(cache_->Read(offset, size, out));
  for (uint64_t at = 0; at < size;) {
    if (IsRight(offset + at, std::string_view(out + at, kBlockBytes))) {
      at += kBlockBytes;
      continue;
    }
    const uint32_t chunk = ChunksIn(offset + at, kBlockBytes).first;
    wrong->push_back(chunk);
    at = layer_.chunks[chunk].blob_offset + PaddedSize(chunk) - offset;
  }
  return absl::OkStatus();
}

bool LayerBlob::IsRight(uint64_t offset, std::string_view page) {
  const uint32_t sum = cache_->SumOf(offset);
  if (sum != PageSums::kUnknown) return PageSums::Sum(page) == sum;
  const uint32_t chunk = ChunksIn(offset, kBlockBytes).first;
  const uint64_t begin = layer_.chunks[chunk].blob_offset;
  std::string bytes(PaddedSize(chunk), '\0');
  if (!cache_->Read(begin, bytes.size(), bytes.data()).ok()) return false;
  if (!IsChunk(chunk, bytes)) return false;
  NoteSumsIfUnknown(chunk, bytes);
  return std::string_view(bytes).substr(offset - begin, kBlockBytes) == page;
}

absl::StatusOr<std::shared_ptr<const Locations>> LayerBlob::FindLocations(
    const StoreReader& reader, RecordFiles& records,
    const std::shared_ptr<const Locations>& stale) {
  bool from_store = false;
  {
    MutexLock lock(&locations_mutex_);
    while (locating_) located_.Wait(&locations_mutex_);
    if (locations_ != nullptr && locations_ != stale) return locations_;
    from_store = locations_ != nullptr;
    locating_ = true;
  }
  auto found = ReadLocations(reader, records, from_store);
  MutexLock lock(&locations_mutex_);
  locating_ = false;
  located_.SignalAll();
  if (found.ok()) locations_ = *found;
  return found;
}

absl::StatusOr<std::shared_ptr<const Locations>> LayerBlob::ReadLocations(const StoreReader& reader,
                                                                          RecordFiles& records,
                                                                          bool from_store) const {
  if (!from_store) {
    auto kept = records.LoadLocations(row_.record, layer_.chunks.size());
    if (kept.ok()) return std::make_shared<const Locations>(*std::move(kept));
  }
  ASSIGN_OR_RETURN(Locations read, reader.ReadLocations(row_.record, layer_.chunks.size()));
  if (absl::Status saved = records.SaveLocations(row_.record, read); !saved.ok()) {
    Log(LogLevel::kWarning, "cannot keep the locations of a layer's chunks, ignoring",
        {{"record", row_.record.ToString()}, {"error", saved.ToString()}});
  }
  return std::make_shared<const Locations>(std::move(read));
}

}  // namespace slacker
