// Traces: what the start of a container was seen to read. Objects of the store and files of nodes
// (docs/formats.md, "Traces").
//
//   traces/<chain ID>/<SHA-256 of the object>   left by a node, for who makes boot packs
//   traces/<chain ID>/merged                    what those were merged to so far
//
// Model. Pages of 4 KiB of the image's layer blobs, in the order in which they were first read. A
// trace of several starts tells of each page in how many of them it was read.
//
// A trace proves nothing: it is a hint at what is worth sending early, and a false one costs bytes.
// Values; the functions are thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"

namespace slacker {

inline constexpr std::string_view kTracesPrefix = "traces/";
inline constexpr uint64_t kTracePageBytes = 4096;
inline constexpr uint64_t kMaxTraceBytes = 1 << 20;  // of an object
inline constexpr uint64_t kMaxTracePages = 1 << 16;  // 256 MiB
inline constexpr uint32_t kMaxTraceStarts = 64;
// More are not left by nodes, nor looked at.
inline constexpr size_t kMaxTracesOfImage = 16;

// Neighbouring pages of one blob, read one after the other.
struct TraceRange {
  uint32_t layer = 0;  // position in the chain, 0 = bottom
  uint32_t first = 0, count = 0;
  uint32_t starts = 1;  // how many of the trace's starts read them

  bool operator==(const TraceRange&) const = default;
};

struct StartTrace {
  Digest chain_id;
  std::vector<Digest> records;  // of the layers, bottom first: they say how the blobs are laid out
  uint32_t starts = 1;          // how many starts it tells of
  std::vector<TraceRange> ranges;  // no page twice
};

uint64_t PagesOf(const StartTrace& trace);

// INVALID_ARGUMENT for what DecodeTrace would refuse.
absl::StatusOr<std::string> EncodeTrace(const StartTrace& trace);
// DATA_LOSS unless the bytes are an undamaged trace of this chain. Whether the layers have the pages
// is not checked.
absl::StatusOr<StartTrace> DecodeTrace(std::string_view bytes, const Digest& chain_id);
// The same, of one that a node has left under `name`.
absl::StatusOr<StartTrace> DecodeNamedTrace(std::string_view bytes, std::string_view name,
                                            const Digest& chain_id);

std::string TracesPrefix(const Digest& chain_id);     // traces/<hex>/
std::string MergedTraceName(const Digest& chain_id);  // traces/<hex>/merged

// Leaves a trace in the store. RESOURCE_EXHAUSTED when kMaxTracesOfImage of its image wait there.
absl::Status LeaveTrace(Backend& backend, const StartTrace& trace);

// NOT_FOUND, DATA_LOSS.
absl::StatusOr<StartTrace> ReadMergedTrace(ReadBackend& backend, const Digest& chain_id);

// A trace as a node has left it.
struct StoredTrace {
  std::string name;
  // DATA_LOSS: not one, or not of its name. Any other error: it cannot be read.
  absl::StatusOr<StartTrace> trace;
};
// At most kMaxTracesOfImage; those that vanish meanwhile are left out.
absl::StatusOr<std::vector<StoredTrace>> ListTraces(Backend& backend, const Digest& chain_id);
// The chains for which nodes have left traces.
absl::StatusOr<std::vector<Digest>> ListTracedChains(Backend& backend);

}  // namespace slacker
