// Puts boot packs into a store (docs/formats.md, "Boot packs").
//
// Everything comes out of the store itself and is verified on the way, so that anybody who may write
// there can make one again at any time. Thread-safe but for ChainReader.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/store/boot_pack.h"
#include "backend/store/store.h"

namespace slacker {

// A layer of a chain that is in a store; the decoded record outlives the users of this.
struct ChainLayer {
  Digest record;
  const Layer* layer = nullptr;
};

// The chunks of a chain, read from a store one run after the other. Thread-compatible.
class ChainReader {
 public:
  // `reader` outlives this. `layers`: bottom first.
  ChainReader(const StoreReader* reader, std::vector<ChainLayer> layers);

  const std::vector<ChainLayer>& layers() const { return layers_; }
  // The verified contents of the chunks of a run; the first error, if there is one. INVALID_ARGUMENT
  // when there are no such chunks.
  absl::StatusOr<std::vector<std::string>> Read(const ChunkRun& run);
  // The same of a run of pages: their bytes, zeros behind the ends of chunks included.
  absl::StatusOr<std::string> ReadPages(const ChunkRun& pages);

 private:
  absl::StatusOr<std::vector<std::string>> ReadOnce(const ChunkRun& run);

  const StoreReader* const reader_;
  const std::vector<ChainLayer> layers_;
  std::vector<std::optional<Locations>> locations_;  // parallel to layers_
};

// What a start touches, in order.
struct BootPlan {
  BootOrigin origin = BootOrigin::kGuess;
  Digest made_of;  // equal traces have equal ones
  std::vector<ChunkRun> chunks;
  std::vector<ChunkRun> pages;  // instead, or behind them: runs of pages, none twice
};

// Whether the store has a boot pack of this chain that need not be written: with these records, whole
// as far as its length tells, made of the same, or seen where ours is a guess, and, if it has pages,
// signed with one of `keys`. None: whether it is signed is not looked at.
absl::StatusOr<bool> HasBootPack(Backend& backend, const Digest& chain_id,
                                 const std::vector<Digest>& records, BootOrigin origin,
                                 const Digest& made_of, std::span<const PublicKey> keys);

// Writes the boot pack of a chain, whatever was there; pages are signed with `key` (null: unsigned). Records beyond 32 MiB in all (the lowest
// ones) are left out. Compresses on threads of its own. Memory: what is stored of the trace and
// of the records, and some MiB of contents. INVALID_ARGUMENT for a trace with
// chunks that there are not, RESOURCE_EXHAUSTED for one of too many pieces.
absl::Status WriteBootPack(Backend& backend, const Digest& chain_id, ChainReader& chain,
                           const BootPlan& plan, const SigningKey* key);

}  // namespace slacker
