// Looking for sound copies of chunks in the packs of a store. Thread-compatible; blocks on the store.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/pack_index.h"

namespace slacker {

// Of each chunk that is found: its pack, and where it is in that.
using FoundChunks = absl::flat_hash_map<Digest, std::pair<Digest, PackedChunk>>;

// Whether the chunk is in this pack, an object's name, under its digest. An error: the store did not answer.
absl::StatusOr<bool> IsSoundChunk(ReadBackend& backend, const std::string& pack,
                                  const PackedChunk& chunk);

// Adds those of `wanted` that are not found yet, by the indexes of the packs that they may be in; every one
// is read and verified. Indexes that cannot be read are passed over.
absl::Status FindSoundChunks(Backend& backend, std::set<Digest> wanted,
                             const std::function<bool(const Digest& pack)>& may_be_in,
                             FoundChunks* found);

}  // namespace slacker
