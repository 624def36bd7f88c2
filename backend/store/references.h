// What somebody relies on in a store: an object that keeps maintenance from removing it. Bytes:
// docs/formats.md, "References".
//
// intents/<random>           a publication, or a compaction, under way
// leases/<node>/images       the images that a node has
//
// The handshake of publishers with maintenance (docs/adr/0015): whoever is going to refer to objects
// that it has found, or written before, declares them in an intent; then it looks whether one of
// them is condemned (its name is below trash/) or gone, and only then writes the reference.
// Maintenance condemns first, then looks at all references and intents, then removes. Whoever comes
// second sees the other one.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"

namespace slacker {

inline constexpr uint64_t kMaxReferencesBytes = 16 << 20;

struct StoreReferences {
  std::set<Digest> chains;
  std::set<Digest> records;
  std::set<Digest> packs;
};

std::string EncodeReferences(const StoreReferences& references);
// DATA_LOSS unless these are undamaged references.
absl::StatusOr<StoreReferences> DecodeReferences(std::string_view bytes);

// leases/<node>/images. `node`: 32 hex digits.
std::string LeaseName(std::string_view node);

// One intent. Destroying it leaves the object to Clear, or to maintenance after a day.
// Thread-compatible.
class Intent {
 public:
  explicit Intent(Backend* backend);

  // Adds to what is declared, durably.
  absl::Status Declare(const StoreReferences& more);
  // Looks at every pack and record declared. UNAVAILABLE when maintenance is removing, or has
  // removed, one of them: starting again stores it anew. Tar part and locations of a record count
  // as the record; what has just been removed is brought back from the trash.
  absl::Status Check();
  // Only the packs: before records are written.
  absl::Status CheckPacks();
  // Best effort.
  void Clear();

  const StoreReferences& declared() const { return declared_; }

 private:
  Backend* const backend_;
  const std::string name_;
  StoreReferences declared_;
  bool written_ = false;
};

// Replaces an object that maintenance may be removing: should it be condemned, its copy is replaced
// first, so that it is this content which comes back. REQUIRES: an intent declares what it belongs to.
absl::Status ReplaceDespiteTrash(Backend& backend, const std::string& name,
                                 std::string_view content);
// Copies an object that is not there back from the trash. NOT_FOUND when it is not in the trash.
absl::Status RestoreFromTrash(Backend& backend, const std::string& name);
// Copies `from` to `to` piece by piece, unless `to` is there.
absl::Status CopyObject(Backend& backend, const std::string& from, const std::string& to);

}  // namespace slacker
