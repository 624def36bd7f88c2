// Boot packs of what starts were seen to read: merges the traces that nodes have left in a store
// (backend/store/start_trace.h), and others, and rewrites the boot pack of their image.
//
// For who may write the store's boot packs. Several may do it at once: at worst a trace counts
// twice. Traces that are no traces, or of records that the image does not have (any more), are
// removed. A process that dies in between leaves traces that are merged the next time. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/start_trace.h"
#include "backend/store/store.h"

namespace slacker {

struct MergedTraces {
  StartTrace merged;   // no starts: there is no trace of this image
  size_t taken = 0;    // traces that are new in it
  size_t refused = 0;  // removed because they are of no use
  std::vector<std::string> unreadable;  // left where they are
};

// Merges what nodes have left for this chain, and `added`, into its merged trace, and writes the boot
// pack unless it is there. Removes what it has taken. `manifest`: the chain's, verified. The pack has
// the pages themselves, signed with `key`, or unsigned where the manifest is not signed either; where
// it is and `key` is null, the chunks that have them.
// INVALID_ARGUMENT: `added` is of other records. Errors: the store's; DATA_LOSS: the image is
// damaged there.
absl::StatusOr<MergedTraces> PublishTraces(const std::shared_ptr<Backend>& backend,
                                           const Manifest& manifest,
                                           const std::vector<StartTrace>& added,
                                           const SigningKey* key);

// Makes the boot pack of what was merged before, of these records, unless it is there. False: nothing
// was.
absl::StatusOr<bool> PublishMergedTrace(const std::shared_ptr<Backend>& backend,
                                        const Digest& chain_id, const std::vector<Digest>& records,
                                        const SigningKey* key);

// The same for every image for which nodes have left traces and whose manifest `trust` believes.
// `on_result` is told of each. An error is the store's; an image that is damaged, or gone, loses its
// traces and does not keep the others from it, whatever else is wrong with it.
using TraceResult =
    std::function<void(const Digest& chain_id, const absl::StatusOr<MergedTraces>& result)>;
absl::Status PublishAllTraces(const std::shared_ptr<Backend>& backend, const Trust& trust,
                              const SigningKey* key, const TraceResult& on_result);

// Removes all traces of a chain. Its boot pack stays.
absl::Status RemoveTraces(Backend& backend, const Digest& chain_id);

}  // namespace slacker
