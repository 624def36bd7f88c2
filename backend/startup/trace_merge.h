// What several starts of one image say together, and which chunks that means.
//
// Merging. Pages keep the order in which the first of the traces had them; what is new stands at the
// end. A page counts in as many starts as it was read in. Of many starts only the proportions are
// kept, so that what has not been read for long is forgotten.
//
// What is *usual* are pages of at least a quarter of the starts: an image that is used for two or
// three different things has the pages of each. Thread-safe.
#pragma once

#include <span>
#include <vector>

#include "backend/record/layer.h"
#include "backend/store/boot_pack.h"
#include "backend/store/start_trace.h"

namespace slacker {

// Beyond so many starts the older ones count half.
inline constexpr uint32_t kRememberedStarts = 16;

// REQUIRES: traces of one chain with the same records, of which `base` is the older one.
StartTrace MergeTraces(const StartTrace& base, const StartTrace& added);

// The usual pages of a trace, in its order.
std::vector<TraceRange> UsualRanges(const StartTrace& trace);

// The chunks that have the usual pages, in the order of the trace, none twice; no more than
// `max_bytes` of them. Pages that the layers do not have are left out. `layers`: bottom first.
std::vector<ChunkRun> ChunksOfTrace(const StartTrace& trace, std::span<const Layer* const> layers,
                                    uint64_t max_bytes);

// The usual pages themselves, as runs of pages: all of them, since a trace has no more than
// kMaxTracePages.
std::vector<ChunkRun> PagesOfTrace(const StartTrace& trace, std::span<const Layer* const> layers);

}  // namespace slacker
