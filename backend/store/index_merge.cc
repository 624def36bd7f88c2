#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/index_file.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr uint64_t kRowsAtOnce = 256 << 10;
// A merged index is merged again when it is at most so many times as large as what comes to it:
// each row is written a few times in the store's life.
constexpr uint64_t kGrowth = 2;

class Merge {
 public:
  explicit Merge(Backend* backend) : backend_(backend) {}

  absl::StatusOr<IndexMerge> Run(const IndexCatalog& catalog) {
    RETURN_IF_ERROR(Choose(catalog));
    if (sources_.size() < 2) return IndexMerge{};
    std::vector<IndexedPack> packs;
    for (const auto& [id, pack] : packs_) {
      numbers_.emplace(id, static_cast<uint32_t>(packs.size()));
      packs.push_back(pack);
    }
    const Digest id = MergedIndexId(packs);
    result_.written = IndexName(id);
    if (std::erase(result_.superseded, result_.written) > 0) {
      result_.written.clear();  // one of them stands for all the others already
      RETURN_IF_ERROR(RemoveSuperseded());
      return std::move(result_);
    }
    // One of this name that was not among the sources is damaged.
    RETURN_IF_ERROR(backend_->Remove(result_.written));
    IndexEncoder encoder(id, std::move(packs), rows_);
    RETURN_IF_ERROR(Write(&encoder));
    SLACKER_FAILPOINT("merge.after_index");
    RETURN_IF_ERROR(RemoveSuperseded());
    return std::move(result_);
  }

 private:
  void Add(const IndexFile& file, const IndexCatalog& catalog) {
    for (const IndexedPack& pack : file.directory().packs) {
      if (catalog.packs.contains(pack.id)) packs_.emplace(pack.id, pack);
    }
    rows_ += file.directory().rows();
    sources_.push_back(file);
  }

  absl::Status Choose(const IndexCatalog& catalog) {
    for (const Digest& pack : catalog.loose) {
      const auto file = IndexFile::Open(backend_, PackIndexName(pack), pack);
      if (absl::IsDataLoss(file.status()) || absl::IsNotFound(file.status())) {
        ++result_.damaged_parts;
        continue;
      }
      RETURN_IF_ERROR(file.status());
      Add(*file, catalog);
    }
    if (sources_.empty()) return absl::OkStatus();
    for (auto file = catalog.merged.rbegin(); file != catalog.merged.rend(); ++file) {
      if (file->directory().rows() > kGrowth * rows_) break;
      Add(*file, catalog);
      result_.superseded.push_back(file->name());
    }
    return absl::OkStatus();
  }

  absl::Status RemoveSuperseded() {
    for (const std::string& name : result_.superseded) RETURN_IF_ERROR(backend_->Remove(name));
    return absl::OkStatus();
  }

  absl::Status Write(IndexEncoder* encoder) {
    ASSIGN_OR_RETURN(const auto object, backend_->Create(result_.written));
    const uint32_t bits = encoder->bits();
    // So many parts, each of whole buckets, that one has about kRowsAtOnce rows.
    uint32_t part_bits = 0;
    while (part_bits < bits && rows_ >> part_bits > kRowsAtOnce) ++part_bits;
    for (uint32_t part = 0; part < uint32_t{1} << part_bits; ++part) {
      ASSIGN_OR_RETURN(const std::vector<PackedChunk> rows, Collect(part, part_bits));
      encoder->Add(rows);
      result_.chunks += rows.size();
      RETURN_IF_ERROR(object->Append(encoder->TakeBytes()));
    }
    RETURN_IF_ERROR(object->Append(encoder->Finish()));
    SLACKER_FAILPOINT("merge.before_index");
    return object->Commit();
  }

  // All rows whose digest begins with these bits, each once.
  absl::StatusOr<std::vector<PackedChunk>> Collect(uint32_t part, uint32_t part_bits) {
    std::vector<PackedChunk> rows;
    for (const IndexFile& source : sources_) {
      const uint32_t bits = source.directory().bits;
      uint32_t first = 0;
      uint32_t end = 0;
      if (bits >= part_bits) {
        first = part << (bits - part_bits);
        end = (part + 1) << (bits - part_bits);
      } else {
        first = part >> (part_bits - bits);
        end = first + 1;
      }
      // What honest indexes have is spread evenly: others must not fill the memory.
      if (rows.size() >= IndexFile::kMaxRowsAtOnce) {
        ++result_.damaged_parts;
        continue;
      }
      uint64_t damaged = 0;
      ASSIGN_OR_RETURN(const std::vector<PackedChunk> read,
                       source.ReadBuckets(first, end, &damaged));
      if (bits >= part_bits || part % (1u << (part_bits - bits)) == 0) {
        result_.damaged_parts += damaged;
      }
      Take(source, read, part, part_bits, &rows);
    }
    std::sort(rows.begin(), rows.end(), [](const PackedChunk& a, const PackedChunk& b) {
      return std::pair(a.digest, a.pack) < std::pair(b.digest, b.pack);
    });
    const auto last = std::unique(
        rows.begin(), rows.end(),
        [](const PackedChunk& a, const PackedChunk& b) { return a.digest == b.digest; });
    rows.erase(last, rows.end());
    return rows;
  }

  void Take(const IndexFile& source, const std::vector<PackedChunk>& read, uint32_t part,
            uint32_t part_bits, std::vector<PackedChunk>* rows) const {
    IndexDirectory parts;  // only to ask for the first bits
    parts.bits = part_bits;
    for (PackedChunk chunk : read) {
      if (parts.BucketOf(chunk.digest) != part) continue;
      const auto number = numbers_.find(source.directory().packs[chunk.pack].id);
      if (number == numbers_.end()) continue;  // of a pack that is gone
      chunk.pack = number->second;
      rows->push_back(chunk);
    }
  }

  Backend* const backend_;
  std::vector<IndexFile> sources_;
  uint64_t rows_ = 0;
  std::map<Digest, IndexedPack> packs_;  // by ID
  std::map<Digest, uint32_t> numbers_;
  IndexMerge result_;
};

}  // namespace

absl::StatusOr<IndexMerge> MergeIndexes(Backend& backend, const IndexCatalog& catalog) {
  return Merge(&backend).Run(catalog);
}

}  // namespace slacker
