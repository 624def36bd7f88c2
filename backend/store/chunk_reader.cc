#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/store.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxRunBytes = 1 << 20;   // of merged neighbours
constexpr uint64_t kMaxGapBytes = 16 << 10;  // read and thrown away between neighbours

// One ReadChunksAsync; shared by its reads, and gone with the last of them.
struct Request {
  ReadBackend* backend;
  const Layer* layer;
  const Locations* locations;
  StoreReader::ChunkCallback done;
};

// Neighbours in one pack.
struct Extent {
  uint32_t pack = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
  std::vector<uint32_t> chunks;
};

uint64_t EndOf(const ChunkLocation& location) { return location.offset + location.stored_bytes; }

std::vector<Extent> MergeNeighbours(const Locations& locations, uint32_t first, uint32_t count) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < count; ++i) order.push_back(first + i);
  std::sort(order.begin(), order.end(), [&locations](uint32_t a, uint32_t b) {
    const ChunkLocation& left = locations.chunks[a];
    const ChunkLocation& right = locations.chunks[b];
    return std::pair(left.pack, left.offset) < std::pair(right.pack, right.offset);
  });
  std::vector<Extent> extents;
  for (const uint32_t chunk : order) {
    const ChunkLocation& at = locations.chunks[chunk];
    const bool fits = !extents.empty() && extents.back().pack == at.pack &&
                      at.offset <= extents.back().end + kMaxGapBytes &&
                      EndOf(at) - extents.back().begin <= kMaxRunBytes;
    if (!fits) extents.push_back({at.pack, at.offset, at.offset, {}});
    extents.back().end = std::max(extents.back().end, EndOf(at));
    extents.back().chunks.push_back(chunk);
  }
  return extents;
}

// The verified content of a chunk; DATA_LOSS otherwise.
absl::StatusOr<std::string> Unpack(const Chunk& chunk, const ChunkLocation& location,
                                   std::string_view stored) {
  if (stored.size() != location.stored_bytes) return DataLoss("the pack ends before it");
  std::string bytes;
  if (location.compressed) {
    RETURN_IF_ERROR(DecompressExactly(stored, chunk.size_bytes, &bytes));
  } else {
    bytes = stored;
  }
  if (bytes.size() != chunk.size_bytes || Sha256::Of(bytes) != chunk.digest) {
    return DataLoss("does not match its digest");
  }
  return bytes;
}

absl::Status Describe(const Request& request, uint32_t chunk, const absl::Status& status) {
  const ChunkLocation& location = request.locations->chunks[chunk];
  return Annotate(status, "chunk " + std::to_string(chunk) + " of layer " +
                              request.layer->diff_id.ToString() + " in " +
                              request.locations->packs[location.pack] + " at " +
                              std::to_string(location.offset));
}

// Reads one chunk again, alone: from each copy, until one is right. `failed`: of the copies before.
void Retry(const std::shared_ptr<const Request>& request, uint32_t chunk, int copy = 0,
           const absl::Status& failed = absl::OkStatus()) {
  const ChunkLocation& location = request->locations->chunks[chunk];
  request->backend->ReadCopyAsync(
      copy, request->locations->packs[location.pack], location.offset, location.stored_bytes,
      [request, chunk, copy, failed](absl::StatusOr<std::string> stored) {
        auto bytes = stored.ok() ? Unpack(request->layer->chunks[chunk],
                                          request->locations->chunks[chunk], *stored)
                                 : stored.status();
        if (bytes.ok()) return request->done(chunk, std::move(bytes));
        // One that does not answer may have it: better to ask again than to give it up.
        const bool worse = failed.ok() || absl::IsDataLoss(failed) || absl::IsNotFound(failed);
        const absl::Status status = worse ? bytes.status() : failed;
        if (copy + 1 < request->backend->Copies()) return Retry(request, chunk, copy + 1, status);
        request->done(chunk, Describe(*request, chunk, status));
      });
}

absl::StatusOr<std::string> UnpackFrom(const Request& request, const Extent& extent, uint32_t chunk,
                                       std::string_view read) {
  const ChunkLocation& location = request.locations->chunks[chunk];
  read.remove_prefix(std::min<uint64_t>(location.offset - extent.begin, read.size()));
  return Unpack(request.layer->chunks[chunk], location, read.substr(0, location.stored_bytes));
}

void Deliver(const std::shared_ptr<const Request>& request, const Extent& extent,
             const absl::StatusOr<std::string>& read) {
  for (const uint32_t chunk : extent.chunks) {
    if (!read.ok() && !absl::IsDataLoss(read.status())) {
      request->done(chunk, Describe(*request, chunk, read.status()));
      continue;
    }
    auto bytes = read.ok() ? UnpackFrom(*request, extent, chunk, *read) : read.status();
    if (bytes.ok()) {
      request->done(chunk, std::move(bytes));
    } else {
      Retry(request, chunk);
    }
  }
}

}  // namespace

void StoreReader::ReadChunksAsync(const Layer& layer, const Locations& locations, uint32_t first,
                                  uint32_t count, ChunkCallback done) const {
  SLACKER_CHECK(locations.chunks.size() == layer.chunks.size() && first <= layer.chunks.size() &&
                    count <= layer.chunks.size() - first,
                "chunks of this layer, and its own locations");
  const auto request =
      std::make_shared<const Request>(Request{backend_.get(), &layer, &locations, std::move(done)});
  // All is read from `locations` before the first read: the last answer may free it.
  struct Planned {
    std::string pack;
    Extent extent;
  };
  std::vector<Planned> plan;
  for (Extent& extent : MergeNeighbours(locations, first, count)) {
    plan.push_back({locations.packs[extent.pack], std::move(extent)});
  }
  for (Planned& planned : plan) {
    const uint64_t begin = planned.extent.begin;
    const uint64_t size = planned.extent.end - begin;
    backend_->ReadAsync(
        planned.pack, begin, size,
        [request, extent = std::move(planned.extent)](const absl::StatusOr<std::string>& read) {
          Deliver(request, extent, read);
        });
  }
}

}  // namespace slacker
