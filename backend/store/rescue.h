// Chunks of a layer that is being published, in packs that maintenance is removing. A pack stays for
// the grace after it was condemned (references.h), so that its chunks can be stored once more without
// the layer's source, which may be a registry far away. Blocks on the store.
#pragma once

#include <set>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/record/paged_bytes.h"
#include "backend/store/known_chunks.h"
#include "backend/store/pack_writer.h"
#include "backend/store/store.h"

namespace slacker {

// Of the chunks `digests`, which are at `locations`, those in `gone` packs get another place in
// `packs`: where the store has them besides, as compaction leaves it, else in a pack of the publication,
// copied there after a look at their digests. They are in the store, durably, afterwards; `known` knows
// what is condemned by now. Memory: one read of at most 4 MiB and
// some 50 bytes for each chunk in a gone pack, beside what `packs` queues. ABORTED: a
// chunk is nowhere else, and cannot be copied, because its pack is gone or damaged; whoever has its
// content must add it to another publication. REQUIRES: all were added to `packs`, which has nothing on its way.
absl::Status RescueChunks(Backend& backend, const std::set<Digest>& gone, const PagedBytes& digests,
                          const Locations& locations, KnownChunks* known, PackWriter* packs);

// The same for a whole layer of which there is nothing but what the store has: its record, and locations of which
// some lead into packs that are `gone`, or nowhere. `packs` has none of its chunks yet. Answers where all of
// them are. Memory: the record's table of chunks, and some 100 bytes for each of them. ABORTED as above, and
// DATA_LOSS or NOT_FOUND when record or locations cannot be read.
absl::StatusOr<Locations> RescueLayer(const StoreReader& reader, Backend& backend,
                                      const Digest& record, const std::set<Digest>& gone,
                                      KnownChunks* known, PackWriter* packs);

}  // namespace slacker
