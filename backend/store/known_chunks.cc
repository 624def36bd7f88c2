#include "backend/store/known_chunks.h"

#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {

struct KnownChunks::Loaded {
  struct Row {
    uint64_t offset = 0;
    uint32_t pack = 0;  // index into packs
    uint32_t stored_bytes = 0;
    bool compressed = false;
  };
  std::vector<IndexedPack> packs;
  absl::flat_hash_map<Digest, Row> loose;
  std::vector<IndexFile> merged;
};

KnownChunks::KnownChunks(Backend* backend, absl::flat_hash_set<std::string> condemned,
                         uint64_t max_loose_chunks)
    : backend_(backend), max_loose_chunks_(max_loose_chunks), condemned_(std::move(condemned)) {}

KnownChunks::~KnownChunks() = default;

void KnownChunks::Forget() {
  MutexLock lock(&mutex_);
  loaded_ = nullptr;
}

void KnownChunks::Renew(absl::flat_hash_set<std::string> condemned) {
  MutexLock lock(&mutex_);
  condemned_ = std::move(condemned);
  loaded_ = nullptr;
  pack_bytes_.clear();
}

bool KnownChunks::IsCondemned(const std::string& name) const {
  MutexLock lock(&mutex_);
  return condemned_.contains(TrashName(name));
}

absl::StatusOr<bool> KnownChunks::HasPack(const std::string& name, uint64_t min_bytes) {
  if (IsCondemned(name)) return false;
  {
    MutexLock lock(&mutex_);
    const auto known = pack_bytes_.find(name);
    if (known != pack_bytes_.end()) return known->second >= min_bytes;
  }
  const auto info = backend_->Stat(name);
  if (!info.ok() && !absl::IsNotFound(info.status())) return info.status();
  const uint64_t bytes = info.ok() ? info->size_bytes : 0;
  if (bytes < min_bytes) {
    Log(LogLevel::kWarning, "pack is missing or cut short, its chunks are stored again, ignoring",
        {{"object", name}});
  }
  MutexLock lock(&mutex_);
  pack_bytes_.emplace(name, bytes);
  return bytes >= min_bytes;
}

absl::StatusOr<std::shared_ptr<const KnownChunks::Loaded>> KnownChunks::Load() {
  for (bool merged = false;; merged = true) {
    ASSIGN_OR_RETURN(IndexCatalog catalog, OpenIndexes(*backend_));
    auto loaded = std::make_shared<Loaded>();
    bool too_many = false;
    for (const Digest& pack : catalog.loose) {
      if (IsCondemned(PackName(pack))) continue;  // another pack may have what it has
      const std::string name = PackIndexName(pack);
      const auto bytes = backend_->ReadWhole(name, kMaxPackIndexBytes);
      if (absl::IsNotFound(bytes.status())) continue;  // removed meanwhile
      if (!bytes.ok() && !absl::IsDataLoss(bytes.status()) &&
          !absl::IsResourceExhausted(bytes.status())) {
        return bytes.status();
      }
      const auto index = bytes.ok() ? DecodePackIndex(*bytes, pack) : bytes.status();
      if (!index.ok()) {
        Log(LogLevel::kWarning, "pack index cannot be read, its chunks are stored again, ignoring",
            {{"object", name}, {"error", Message(index.status())}});
        continue;
      }
      too_many = loaded->loose.size() + index->chunks.size() > max_loose_chunks_;
      if (too_many) break;
      const auto number = static_cast<uint32_t>(loaded->packs.size());
      loaded->packs.push_back({pack, index->pack_bytes});
      for (const PackedChunk& chunk : index->chunks) {
        loaded->loose.try_emplace(
            chunk.digest, Loaded::Row{chunk.offset, number, chunk.stored_bytes, chunk.compressed});
      }
    }
    // After a merge there is nothing loose but what others wrote meanwhile: leave the rest out.
    if (too_many && !merged) {
      loaded.reset();
      RETURN_IF_ERROR(MergeIndexes(*backend_, catalog).status());
      continue;
    }
    loaded->merged = std::move(catalog.merged);
    return loaded;
  }
}

absl::StatusOr<std::shared_ptr<const KnownChunks::Loaded>> KnownChunks::Get() {
  {
    MutexLock lock(&mutex_);
    while (loading_) changed_.Wait(&mutex_);
    if (loaded_ != nullptr) return loaded_;
    loading_ = true;
  }
  auto loaded = Load();
  MutexLock lock(&mutex_);
  loading_ = false;
  if (loaded.ok()) loaded_ = *loaded;
  changed_.SignalAll();
  return loaded;
}

absl::StatusOr<std::optional<KnownChunk>> KnownChunks::FindIn(const Loaded& loaded,
                                                              const Digest& digest, bool* stale) {
  if (const auto row = loaded.loose.find(digest); row != loaded.loose.end()) {
    const IndexedPack& pack = loaded.packs[row->second.pack];
    ASSIGN_OR_RETURN(const bool whole, HasPack(PackName(pack.id), pack.bytes));
    if (whole) {
      return KnownChunk{pack.id, row->second.offset, row->second.stored_bytes,
                        row->second.compressed};
    }
  }
  for (const IndexFile& file : loaded.merged) {
    const auto found = file.Find(digest);
    if (absl::IsNotFound(found.status())) *stale = true;
    if (absl::IsNotFound(found.status()) || absl::IsDataLoss(found.status())) {
      WarnOnce(file.name(), found.status());
      continue;
    }
    RETURN_IF_ERROR(found.status());
    if (!found->has_value()) continue;
    const PackedChunk& chunk = **found;
    const IndexedPack& pack = file.directory().packs[chunk.pack];
    ASSIGN_OR_RETURN(const bool whole, HasPack(PackName(pack.id), pack.bytes));
    if (whole) return KnownChunk{pack.id, chunk.offset, chunk.stored_bytes, chunk.compressed};
  }
  return std::nullopt;
}

void KnownChunks::WarnOnce(const std::string& index, const absl::Status& status) {
  {
    MutexLock lock(&mutex_);
    if (!warned_.insert(index).second) return;
  }
  Log(LogLevel::kWarning, "part of an index cannot be read, its chunks are stored again, ignoring",
      {{"object", index}, {"error", Message(status)}});
}

absl::StatusOr<std::optional<KnownChunk>> KnownChunks::Find(const Digest& digest) {
  ASSIGN_OR_RETURN(const auto loaded, Get());
  bool stale = false;
  ASSIGN_OR_RETURN(const auto found, FindIn(*loaded, digest, &stale));
  if (found.has_value() || !stale) return found;
  {
    // An index was removed because another one stands for it by now.
    MutexLock lock(&mutex_);
    if (loaded_ == loaded) loaded_ = nullptr;
  }
  ASSIGN_OR_RETURN(const auto again, Get());
  return FindIn(*again, digest, &stale);
}

}  // namespace slacker
