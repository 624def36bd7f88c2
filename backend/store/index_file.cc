#include "backend/store/index_file.h"

#include <algorithm>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/references.h"

namespace slacker {
namespace {

constexpr uint64_t kFirstReadBytes = 64 << 10;  // most indexes of one pack are not longer
constexpr uint64_t kMaxReadBytes = 64 << 20;    // more than a bucket has

bool IsDamaged(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsNotFound(status);
}

}  // namespace

absl::StatusOr<IndexFile> IndexFile::Open(ReadBackend* backend, std::string name,
                                          const Digest& id) {
  ASSIGN_OR_RETURN(const ObjectInfo info, backend->Stat(name));
  const uint64_t first = std::min(info.size_bytes, kFirstReadBytes);
  ASSIGN_OR_RETURN(std::string end, backend->Read(name, info.size_bytes - first, first));
  const auto length = IndexDirectoryBytes(end);
  if (!length.ok()) return Annotate(length.status(), name);
  if (*length > info.size_bytes) return DataLoss(name + ": truncated");
  if (*length > end.size()) {
    end.clear();
    for (uint64_t have = 0; have < *length; have = end.size()) {
      ASSIGN_OR_RETURN(const std::string more,
                       backend->Read(name, info.size_bytes - *length + have,
                                     std::min(*length - have, kMaxReadBytes)));
      if (more.empty()) return DataLoss(name + ": truncated");
      end += more;
    }
  }
  auto directory =
      DecodeIndexDirectory(std::string_view(end).substr(end.size() - *length), id, info.size_bytes);
  if (!directory.ok()) return Annotate(directory.status(), name);
  return IndexFile(backend, std::move(name), *std::move(directory));
}

absl::StatusOr<std::optional<PackedChunk>> IndexFile::Find(const Digest& digest) const {
  const uint32_t bucket = directory_.BucketOf(digest);
  const uint64_t begin = directory_.BucketOffset(bucket);
  ASSIGN_OR_RETURN(const std::string bytes,
                   backend_->Read(name_, begin, directory_.BucketOffset(bucket + 1) - begin));
  const auto rows = DecodeIndexBucket(bytes, directory_, bucket);
  if (!rows.ok()) return Annotate(rows.status(), name_);
  const auto row = std::lower_bound(
      rows->begin(), rows->end(), digest,
      [](const PackedChunk& chunk, const Digest& wanted) { return chunk.digest < wanted; });
  if (row == rows->end() || row->digest != digest) return std::nullopt;
  return *row;
}

absl::StatusOr<std::vector<PackedChunk>> IndexFile::ReadBuckets(uint32_t first, uint32_t end,
                                                                uint64_t* damaged) const {
  std::vector<PackedChunk> all;
  absl::StatusOr<std::string> bytes;
  uint64_t begin = 0;
  uint32_t read_end = first;
  for (uint32_t bucket = first; bucket < end; ++bucket) {
    if (all.size() >= kMaxRowsAtOnce) {
      *damaged += end - bucket;
      break;
    }
    if (bucket == read_end) {
      begin = directory_.BucketOffset(bucket);
      while (read_end < end && directory_.BucketOffset(read_end + 1) - begin <= kMaxReadBytes) {
        ++read_end;
      }
      bytes = backend_->Read(name_, begin, directory_.BucketOffset(read_end) - begin);
      if (!bytes.ok() && !IsDamaged(bytes.status())) return bytes.status();
    }
    const uint64_t at = directory_.BucketOffset(bucket) - begin;
    const uint64_t length = directory_.BucketOffset(bucket + 1) - begin - at;
    absl::StatusOr<std::vector<PackedChunk>> decoded = DataLoss("truncated");
    if (bytes.ok() && at + length <= bytes->size()) {
      decoded = DecodeIndexBucket(std::string_view(*bytes).substr(at, length), directory_, bucket);
    }
    if (!decoded.ok()) {
      ++*damaged;
      continue;
    }
    all.insert(all.end(), decoded->begin(), decoded->end());
  }
  return all;
}

absl::StatusOr<IndexCatalog> OpenIndexes(Backend& backend) {
  IndexCatalog catalog;
  ASSIGN_OR_RETURN(const auto condemned, CondemnedNames(backend));
  // Before the packs: a merge that ends meanwhile is found, or its sources are.
  ASSIGN_OR_RETURN(const auto names, backend.List(kIndexesPrefix));
  ASSIGN_OR_RETURN(const auto pack_names, backend.List(kPacksPrefix));
  std::vector<Digest> with_index;
  for (const std::string& name : pack_names) {
    if (const auto pack = ParsePackName(name); pack.ok()) {
      if (!condemned.contains(TrashName(name))) catalog.packs.insert(*pack);
    } else if (const auto indexed = ParsePackIndexName(name); indexed.ok()) {
      with_index.push_back(*indexed);
    }
  }
  std::set<Digest> covered;
  for (const std::string& name : names) {
    const auto id = ParseIndexName(name);
    if (!id.ok()) continue;
    auto file = IndexFile::Open(&backend, name, *id);
    if (!file.ok() && !IsDamaged(file.status())) return file.status();
    if (!file.ok()) {
      Log(LogLevel::kWarning, "index cannot be read, those of its packs are used, ignoring",
          {{"object", name}, {"error", Message(file.status())}});
      continue;
    }
    for (const IndexedPack& pack : file->directory().packs) covered.insert(pack.id);
    catalog.merged.push_back(*std::move(file));
  }
  std::sort(catalog.merged.begin(), catalog.merged.end(), [](const auto& a, const auto& b) {
    return a.directory().rows() > b.directory().rows();
  });
  for (const Digest& pack : with_index) {
    if (catalog.packs.contains(pack) && !covered.contains(pack)) catalog.loose.push_back(pack);
  }
  return catalog;
}

}  // namespace slacker
