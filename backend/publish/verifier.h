// Verification: is what is published still what was published?
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

struct Damage {
  std::string object;  // name in the store; of a chunk its own digest and its record
  std::string what;
  // Names of the published images that need it, where somebody asked (upkeep/image_users.h).
  std::vector<std::string> images = {};
  // Whether nothing in the store leads there; where somebody asked, as above.
  bool unused = false;
};

struct VerifyReport {
  uint64_t manifests = 0;
  uint64_t signatures = 0;          // of trusted keys, right
  uint64_t unknown_signatures = 0;  // of other keys: nobody can tell
  uint64_t layers = 0;              // each record once, however many chains have it
  uint64_t chunks = 0;
  uint64_t content_bytes = 0;  // of the chunks
  uint64_t loose_records = 0;  // that no manifest names; VerifyStore only, as the next three
  uint64_t loose_parts = 0;    // tar parts and locations without a sound record
  uint64_t packs = 0;          // with an index
  uint64_t loose_packs = 0;    // without
  std::vector<Damage> damages;
  // With keys. VerifyStore: published chains that nodes with these keys pull the ordinary way all the
  // same, as folders of their objects. And boot packs whose pages they do not believe. Not damage: there
  // is nothing to repair, but to sign or to remove.
  std::vector<Damage> untrusted;
};

// Recomputes the diff ID of every layer of one published chain, or of everything published, from
// the store alone: the manifest, those of the chains below it (without which nobody pulls it lazily), then of every
// layer its record, tar part and locations, every chunk against its digest, the tar rebuilt of all this against the diff ID, and the record against the one that this tar
// gives (so that nobody need be believed: not about modes, owners and names either); of signatures those that the keys of
// `trust` can prove. Damage does not
// end the verification but goes into the report; an error is returned only when the store does not
// answer, and NOT_FOUND when the chain is not published. Memory is bounded by the largest record, what publishing
// its layer takes, and some 16 MiB of chunks.
// `trust`: VerifyChain looks at the manifest that counts with it.
absl::StatusOr<VerifyReport> VerifyChain(const std::shared_ptr<ReadBackend>& backend,
                                         const Digest& chain_id, const Trust& trust = {});
// Beside all manifests: records that no manifest names (an interrupted publication leaves them) are
// sound as far as they are there; every pack index is sound, and its pack has every chunk that it
// lists, wanted by a layer or not; packs without an index are what their names say, tars and locations without
// a record what they say themselves; every image entry is sound and leads to a manifest, and the chains below
// that have theirs; what says that a chain ends in a layer is true.
// Others may publish, remove and collect meanwhile: damage is what was found twice, and a damaged store is
// read twice.
// `observer`: called often, on the same thread; must be quick. May be null.
struct VerifyProgress {
  std::string_view
      below;  // where what is looked at lies: "manifests/", with all that these lead to; "packs/"; …
  uint64_t done = 0, objects = 0;  // of those that lie there
  uint64_t read_bytes = 0;         // of chunks and packs, since the beginning
};
using VerifyObserver = std::function<void(const VerifyProgress&)>;
absl::StatusOr<VerifyReport> VerifyStore(const std::shared_ptr<Backend>& backend,
                                         const Trust& trust = {},
                                         const VerifyObserver& observer = nullptr);

}  // namespace slacker
