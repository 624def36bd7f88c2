#include "backend/store/rescue.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxRescueBytes = 4 << 20;
constexpr uint64_t kMaxGapBytes = 64 << 10;

// Copies chunks out of condemned packs, in the order in which they are given; neighbours in one read.
class ChunkCopier {
 public:
  ChunkCopier(Backend* backend, PackWriter* packs) : backend_(backend), packs_(packs) {}

  absl::Status Add(const Digest& digest, const std::string& pack, const ChunkLocation& at) {
    if (!run_.empty() && !Follows(pack, at)) RETURN_IF_ERROR(Copy());
    pack_ = pack;
    run_.push_back({digest, at});
    return absl::OkStatus();
  }

  // Those that were added, and not copied yet.
  absl::Status Copy() {
    if (run_.empty()) return absl::OkStatus();
    const uint64_t begin = run_.front().at.offset;
    const auto read = backend_->Read(pack_, begin, run_.back().End() - begin);
    if (absl::IsNotFound(read.status()) || absl::IsDataLoss(read.status())) return Lost();
    RETURN_IF_ERROR(read.status());
    for (const Item& item : run_) {
      const uint64_t offset = item.at.offset - begin;
      if (offset + item.at.stored_bytes > read->size()) return Lost();
      std::string_view content = std::string_view(*read).substr(offset, item.at.stored_bytes);
      std::string inflated;
      if (item.at.compressed) {
        if (!DecompressUpTo(content, kMaxChunkSize, &inflated).ok()) return Lost();
        content = inflated;
      }
      if (Sha256::Of(content) != item.digest) return Lost();
      RETURN_IF_ERROR(packs_->AddAgain(item.digest, content));
    }
    run_.clear();
    return absl::OkStatus();
  }

 private:
  struct Item {
    Digest digest;
    ChunkLocation at;
    uint64_t End() const { return at.offset + at.stored_bytes; }
  };

  bool Follows(const std::string& pack, const ChunkLocation& at) const {
    const uint64_t end = run_.back().End();
    return pack == pack_ && at.offset >= end && at.offset - end <= kMaxGapBytes &&
           at.offset + at.stored_bytes - run_.front().at.offset <= kMaxRescueBytes;
  }
  absl::Status Lost() const {
    return Aborted("maintenance of the store is removing " + pack_ + ", which a chunk is in");
  }

  Backend* const backend_;
  PackWriter* const packs_;
  std::string pack_;  // of the run
  std::vector<Item> run_;
};

absl::Status PlaceAgain(Backend& backend, const std::set<Digest>& gone, const PagedBytes& digests,
                        const Locations& locations, KnownChunks* known, PackWriter* packs) {
  std::vector<bool> is_gone;
  for (const std::string& name : locations.packs) {
    ASSIGN_OR_RETURN(const Digest pack, ParsePackName(name));
    is_gone.push_back(gone.contains(pack));
  }
  ASSIGN_OR_RETURN(auto condemned, CondemnedNames(backend));
  known->Renew(std::move(condemned));
  ChunkCopier copier(&backend, packs);
  absl::flat_hash_set<Digest> seen;
  PagedBytesReader rows(digests);
  for (const ChunkLocation& at : locations.chunks) {
    const Digest digest = Decoder(rows.Next(sizeof(Digest::bytes))).Hash();
    if (!is_gone[at.pack] || !seen.insert(digest).second) continue;
    ASSIGN_OR_RETURN(const std::optional<KnownChunk> found, known->Find(digest));
    if (found.has_value()) {
      packs->SetPlace(digest, *found);
    } else {
      RETURN_IF_ERROR(copier.Add(digest, locations.packs[at.pack], at));
    }
  }
  return copier.Copy();
}

}  // namespace

absl::Status RescueChunks(Backend& backend, const std::set<Digest>& gone, const PagedBytes& digests,
                          const Locations& locations, KnownChunks* known, PackWriter* packs) {
  const absl::Status placed = PlaceAgain(backend, gone, digests, locations, known, packs);
  // Whatever came of it: nothing is on its way when this returns.
  const absl::Status flushed = packs->Flush();
  RETURN_IF_ERROR(placed);
  return flushed;
}

absl::StatusOr<Locations> RescueLayer(const StoreReader& reader, Backend& backend,
                                      const Digest& record, const std::set<Digest>& gone,
                                      KnownChunks* known, PackWriter* packs) {
  ASSIGN_OR_RETURN(DecodedRecord decoded, reader.ReadLayer(record));
  decoded.layer.DropTree();
  const TableVector<Chunk>& chunks = decoded.layer.chunks;
  ASSIGN_OR_RETURN(const Locations locations, reader.ReadLocations(record, chunks.size()));
  PagedBytes digests;
  std::string row;
  for (size_t i = 0; i < chunks.size(); ++i) {
    const ChunkLocation& at = locations.chunks[i];
    ASSIGN_OR_RETURN(const Digest pack, ParsePackName(locations.packs[at.pack]));
    packs->SetPlace(chunks[i].digest, {pack, at.offset, at.stored_bytes, at.compressed});
    row.clear();
    Encoder(&row).Hash(chunks[i].digest);
    digests.Append(row);
  }
  RETURN_IF_ERROR(RescueChunks(backend, gone, digests, locations, known, packs));
  return packs->Locate(digests);
}

}  // namespace slacker
