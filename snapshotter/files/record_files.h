// Layer records that this node keeps, in one directory:
//   <hex>      the record object, byte for byte as in the store
//   <hex>.loc  where its chunks are, so that a restart asks the store nothing; replaceable
//
// The bytes of `.loc`, little-endian: "SLKLOC1\0"; u32 number of packs; each u16 length, name; u32
// number of chunks; each u32 pack, u64 offset, u32 stored bytes, u8 compressed; SHA-256 of all
// before.
//
// Thread-safe: writers take turns.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/mutex.h"
#include "backend/store/store.h"
#include "snapshotter/files/recent_layers.h"

namespace slacker {

class RecordFiles {
 public:
  explicit RecordFiles(std::string directory) : directory_(std::move(directory)) {}

  // NOT_FOUND: not on this node. DATA_LOSS: what is there is not this record.
  absl::StatusOr<Layer> Load(const Digest& record) const;
  bool Has(const Digest& record) const;
  // What was decoded a moment ago need not be loaded.
  RecentLayers& recent() { return recent_; }
  const RecentLayers& recent() const { return recent_; }
  // Durable after Sync.
  absl::Status Save(const Digest& record, std::string_view stored);
  // Everything that was saved before, whoever saved it. Does nothing when that was done.
  absl::Status Sync();

  // NOT_FOUND: none kept. DATA_LOSS: damaged, or not for a record of `chunk_count` chunks.
  absl::StatusOr<Locations> LoadLocations(const Digest& record, size_t chunk_count) const;
  absl::Status SaveLocations(const Digest& record, const Locations& locations);

  // Removes every file of a record that is not of `keep`, and what a crash left of any. Names that are
  // none of ours stay.
  absl::Status RemoveAllBut(const std::set<Digest>& keep);

  std::string PathOf(const Digest& record) const { return directory_ + "/" + record.ToHex(); }

 private:
  const std::string directory_;
  RecentLayers recent_;
  Mutex writing_;  // one writer at a time: asides have fixed names; taken for the write only
  bool unsynced_ ABSL_GUARDED_BY(writing_) = false;
};

}  // namespace slacker
