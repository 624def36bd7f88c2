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

#include "absl/container/flat_hash_set.h"
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

// One intent. It is taken away by its destructor, or by maintenance after a day. Thread-compatible.
class Intent {
 public:
  explicit Intent(Backend* backend);
  ~Intent();  // best effort
  Intent(const Intent&) = delete;
  Intent& operator=(const Intent&) = delete;

  // Adds to what is declared, durably.
  absl::Status Declare(const StoreReferences& more);
  // Looks at every pack and record declared, before something refers to them. ABORTED when maintenance is removing, or has removed, one of them:
  // storing it anew, or finding it elsewhere, and declaring that helps. Tar part and locations of a
  // record count as the record; what has just been removed is brought back.
  absl::Status Check();
  // Only the packs, before records are written; each once, as long as the declaration counts: whoever condemns
  // one later sees it.
  absl::Status CheckPacks();
  // The packs that were declared and cannot be relied on; they are not declared any more.
  const std::set<Digest>& gone() const { return gone_; }

  const StoreReferences& declared() const { return declared_; }

 private:
  // Whether what was declared, and looked at, is still believed by maintenance.
  bool Counts() const;

  Backend* const backend_;
  const std::string name_;
  StoreReferences declared_;
  std::set<Digest> checked_, gone_;  // packs
  int64_t written_nanos_ = 0;        // 0 = never
};

// trash/<name> of everything that is condemned, also of what a collection is removing just now.
absl::StatusOr<absl::flat_hash_set<std::string>> CondemnedNames(Backend& backend);

// Brings an object back that maintenance has removed a moment ago, unless it is there: of several that
// had the name the last one. NOT_FOUND when it was not removed, or has gone for good.
absl::Status RestoreRemoved(Backend& backend, const std::string& name);
// A name that somebody has given to other content is not taken away: OK, and nothing is copied.
absl::Status CopyObject(Backend& backend, const std::string& from, const std::string& to);

}  // namespace slacker
