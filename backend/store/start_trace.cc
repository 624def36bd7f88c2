#include "backend/store/start_trace.h"

#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/store/manifest_codec.h"

namespace slacker {
namespace {

constexpr std::string_view kTraceMagic = "SLKS";
constexpr uint32_t kTraceVersion = 1;
constexpr size_t kTraceDigestBytes = 32;
constexpr size_t kHexDigits = 64;
constexpr uint64_t kMaxStep = uint64_t{1} << 33;  // between two pages, zigzag
constexpr std::string_view kMerged = "merged";

uint64_t ZigZag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

absl::Status Malformed(const char* what) { return DataLoss(std::string("trace: ") + what); }

// Ranges of one layer that overlap none of those before: found by where they begin and end.
class SeenPages {
 public:
  // False: one of them was there.
  bool Add(const TraceRange& range) {
    Ends& ends = layers_[range.layer];
    const auto after = ends.lower_bound(range.first);
    const uint32_t end = range.first + range.count;
    if (after != ends.end() && after->first < end) return false;
    if (after != ends.begin() && std::prev(after)->second > range.first) return false;
    ends.emplace_hint(after, range.first, end);
    return true;
  }

 private:
  using Ends = std::map<uint32_t, uint32_t>;
  absl::flat_hash_map<uint32_t, Ends> layers_;
};

std::string Encode(const StartTrace& trace) {
  std::string bytes(kTraceMagic);
  Encoder out(&bytes);
  out.U32(kTraceVersion);
  out.Hash(trace.chain_id);
  out.Varint(trace.starts);
  out.Varint(trace.records.size());
  for (const Digest& record : trace.records) out.Hash(record);
  out.Varint(trace.ranges.size());
  absl::flat_hash_map<uint32_t, uint32_t> next;
  for (const TraceRange& range : trace.ranges) {
    out.Varint(range.layer);
    out.Varint(ZigZag(int64_t{range.first} - int64_t{next[range.layer]}));
    out.Varint(range.count);
    out.Varint(range.starts);
    next[range.layer] = range.first + range.count;
  }
  out.Hash(Sha256::Of(bytes));
  return bytes;
}

absl::StatusOr<StartTrace> DecodeBody(Decoder in) {
  StartTrace trace;
  trace.chain_id = in.Hash();
  trace.starts = static_cast<uint32_t>(in.VarintUpTo(kMaxTraceStarts));
  const uint64_t layers = in.VarintUpTo(kMaxLayers);
  if (!in.ok() || trace.starts == 0 || layers == 0 || layers > in.remaining() / kTraceDigestBytes) {
    return Malformed("bad layers");
  }
  for (uint64_t i = 0; i < layers; ++i) trace.records.push_back(in.Hash());
  const uint64_t ranges = in.VarintUpTo(kMaxTracePages);
  absl::flat_hash_map<uint32_t, uint32_t> next;
  SeenPages seen;
  uint64_t left = kMaxTracePages;
  for (uint64_t i = 0; i < ranges; ++i) {
    TraceRange range;
    range.layer = static_cast<uint32_t>(in.VarintUpTo(layers - 1));
    const int64_t first = int64_t{next[range.layer]} + UnZigZag(in.VarintUpTo(kMaxStep));
    range.count = static_cast<uint32_t>(in.VarintUpTo(left));
    range.starts = static_cast<uint32_t>(in.VarintUpTo(trace.starts));
    if (!in.ok() || range.count == 0 || range.starts == 0 || first < 0 ||
        first + range.count > int64_t{std::numeric_limits<uint32_t>::max()}) {
      return Malformed("bad range");
    }
    range.first = static_cast<uint32_t>(first);
    if (!seen.Add(range)) return Malformed("a page twice");
    left -= range.count;
    next[range.layer] = range.first + range.count;
    trace.ranges.push_back(range);
  }
  if (!in.done()) return Malformed("bad length");
  return trace;
}

}  // namespace

absl::StatusOr<StartTrace> DecodeNamedTrace(std::string_view bytes, std::string_view name,
                                            const Digest& chain_id) {
  if (name != TracesPrefix(chain_id) + Sha256::Of(bytes).ToHex()) {
    return Malformed("not what its name says");
  }
  return DecodeTrace(bytes, chain_id);
}

uint64_t PagesOf(const StartTrace& trace) {
  uint64_t pages = 0;
  for (const TraceRange& range : trace.ranges) pages += range.count;
  return pages;
}

absl::StatusOr<std::string> EncodeTrace(const StartTrace& trace) {
  std::string bytes = Encode(trace);
  const absl::Status good = DecodeTrace(bytes, trace.chain_id).status();
  if (!good.ok()) return InvalidArgument(Message(good));
  return bytes;
}

absl::StatusOr<StartTrace> DecodeTrace(std::string_view bytes, const Digest& chain_id) {
  if (bytes.size() > kMaxTraceBytes) return Malformed("too large");
  if (bytes.size() < kTraceMagic.size() + sizeof(uint32_t) + kTraceDigestBytes)
    return Malformed("too short");
  const std::string_view body = bytes.substr(0, bytes.size() - kTraceDigestBytes);
  Decoder in(body);
  if (in.Raw(kTraceMagic.size()) != kTraceMagic) return Malformed("not one");
  if (in.U32() != kTraceVersion) return Malformed("of a version that is not known here");
  if (AsText(Sha256::Of(body).bytes) != bytes.substr(body.size())) {
    return Malformed("fails its checksum");
  }
  ASSIGN_OR_RETURN(StartTrace trace, DecodeBody(in));
  if (trace.chain_id != chain_id) return Malformed("of another chain");
  return trace;
}

std::string TracesPrefix(const Digest& chain_id) {
  return std::string(kTracesPrefix) + chain_id.ToHex() + "/";
}
std::string MergedTraceName(const Digest& chain_id) {
  return TracesPrefix(chain_id) + std::string(kMerged);
}

absl::Status LeaveTrace(Backend& backend, const StartTrace& trace) {
  ASSIGN_OR_RETURN(const std::string bytes, EncodeTrace(trace));
  const std::string prefix = TracesPrefix(trace.chain_id);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(prefix));
  if (names.size() > kMaxTracesOfImage) {
    return ResourceExhausted("enough traces of this image wait in the store");
  }
  return backend.Put(prefix + Sha256::Of(bytes).ToHex(), bytes);
}

absl::StatusOr<StartTrace> ReadMergedTrace(ReadBackend& backend, const Digest& chain_id) {
  const auto bytes = backend.ReadWhole(MergedTraceName(chain_id), kMaxTraceBytes);
  if (absl::IsResourceExhausted(bytes.status())) return Malformed("too large");
  RETURN_IF_ERROR(bytes.status());
  return DecodeTrace(*bytes, chain_id);
}

absl::StatusOr<std::vector<StoredTrace>> ListTraces(Backend& backend, const Digest& chain_id) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(TracesPrefix(chain_id)));
  std::vector<StoredTrace> traces;
  for (const std::string& name : names) {
    if (name == MergedTraceName(chain_id)) continue;
    if (traces.size() == kMaxTracesOfImage) break;
    const auto bytes = backend.ReadWhole(name, kMaxTraceBytes);
    if (absl::IsNotFound(bytes.status())) continue;
    if (absl::IsUnavailable(bytes.status()) || absl::IsDeadlineExceeded(bytes.status())) {
      return bytes.status();
    }
    if (absl::IsResourceExhausted(bytes.status())) {
      traces.push_back({name, Malformed("too large")});
    } else if (bytes.ok()) {
      traces.push_back({name, DecodeNamedTrace(*bytes, name, chain_id)});
    } else {
      traces.push_back({name, bytes.status()});
    }
  }
  return traces;
}

absl::StatusOr<std::vector<Digest>> ListTracedChains(Backend& backend) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(std::string(kTracesPrefix)));
  std::set<Digest> chains;
  for (std::string_view name : names) {
    name.remove_prefix(kTracesPrefix.size());
    const auto chain = Digest::FromHex(name.substr(0, kHexDigits));
    if (!chain.ok() || name == chain->ToHex() + "/" + std::string(kMerged)) continue;
    chains.insert(*chain);
  }
  return std::vector<Digest>(chains.begin(), chains.end());
}

}  // namespace slacker
