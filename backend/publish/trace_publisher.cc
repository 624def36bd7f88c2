#include "backend/publish/trace_publisher.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/startup/trace_merge.h"
#include "backend/store/boot_writer.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

std::vector<Digest> RecordsOf(const Manifest& manifest) {
  std::vector<Digest> records;
  for (const ManifestLayer& layer : manifest.layers) records.push_back(layer.record);
  return records;
}

// What counts so far; no starts when there is nothing that does.
absl::StatusOr<StartTrace> ReadBase(Backend& backend, const Digest& chain_id,
                                    const std::vector<Digest>& records) {
  auto base = ReadMergedTrace(backend, chain_id);
  const StartTrace none{chain_id, records, 0, {}};
  if (absl::IsNotFound(base.status()) || absl::IsDataLoss(base.status())) return none;
  RETURN_IF_ERROR(base.status());
  return base->records == records ? *std::move(base) : none;
}

bool IsOfTheStore(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// What nodes may believe of a boot pack.
enum class Pages { kNone, kUnsigned, kSigned };

absl::StatusOr<Pages> PagesFor(Backend& backend, const Digest& chain_id, const SigningKey* key) {
  if (key != nullptr) return Pages::kSigned;
  ASSIGN_OR_RETURN(const std::vector<std::string> manifests,
                   backend.List(std::string(kManifestsPrefix) + chain_id.ToHex() + "/"));
  const bool is_signed = std::ranges::any_of(manifests, [&](const std::string& name) {
    return name != ManifestName(chain_id, std::nullopt);
  });
  return is_signed ? Pages::kNone : Pages::kUnsigned;
}

// Packs once had no more of a trace than this: what is made of more is another pack today.
constexpr uint64_t kOnceMaxPages = (64 << 20) / kTracePageBytes;

// Equal ones give equal packs: how often pages were read does not matter, if they are usual.
absl::StatusOr<Digest> PlanId(const StartTrace& trace, Pages pages, const SigningKey* key) {
  StartTrace plan{trace.chain_id, trace.records, 1, UsualRanges(trace)};
  uint64_t count = 0;
  for (TraceRange& range : plan.ranges) {
    range.starts = 1;
    count += range.count;
  }
  ASSIGN_OR_RETURN(std::string encoded, EncodeTrace(plan));
  if (count > kOnceMaxPages) encoded += "all";
  if (pages != Pages::kNone) encoded += "pages";
  if (key != nullptr) encoded += AsText(key->public_key().id().bytes);
  return Sha256::Of(encoded);
}

absl::Status WriteTracedPack(const std::shared_ptr<Backend>& backend,
                             const std::vector<Digest>& records, const StartTrace& trace,
                             const SigningKey* key) {
  ASSIGN_OR_RETURN(const Pages pages, PagesFor(*backend, trace.chain_id, key));
  ASSIGN_OR_RETURN(const Digest made_of, PlanId(trace, pages, key));
  std::vector<PublicKey> keys;
  if (key != nullptr) keys.push_back(key->public_key());
  ASSIGN_OR_RETURN(const bool has, HasBootPack(*backend, trace.chain_id, records,
                                               BootOrigin::kTrace, made_of, keys));
  if (has) return absl::OkStatus();
  const StoreReader reader(backend);
  std::vector<Layer> layers;
  layers.reserve(records.size());  // pointed to
  std::vector<const Layer*> tables;
  std::vector<ChainLayer> chain_layers;
  for (const Digest& record : records) {
    ASSIGN_OR_RETURN(DecodedRecord decoded, reader.ReadLayer(record));
    layers.push_back(std::move(decoded.layer));
    tables.push_back(&layers.back());
    chain_layers.push_back({record, &layers.back()});
  }
  ChainReader chain(&reader, std::move(chain_layers));
  BootPlan plan;
  plan.origin = BootOrigin::kTrace;
  plan.made_of = made_of;
  if (pages == Pages::kNone) {
    plan.chunks = ChunksOfTrace(trace, tables, kMaxTracePages * kTracePageBytes);
  } else {
    plan.pages = PagesOfTrace(trace, tables);
  }
  return WriteBootPack(*backend, trace.chain_id, chain, plan, key);
}

}  // namespace

absl::StatusOr<MergedTraces> PublishTraces(const std::shared_ptr<Backend>& backend,
                                           const Manifest& manifest,
                                           const std::vector<StartTrace>& added,
                                           const SigningKey* key) {
  const Digest& chain_id = manifest.chain_id;
  const std::vector<Digest> records = RecordsOf(manifest);
  ASSIGN_OR_RETURN(const std::vector<StoredTrace> left, ListTraces(*backend, chain_id));
  MergedTraces result;
  ASSIGN_OR_RETURN(result.merged, ReadBase(*backend, chain_id, records));
  for (const StoredTrace& stored : left) {
    if (!stored.trace.ok() && !absl::IsDataLoss(stored.trace.status())) {
      result.unreadable.push_back(stored.name);
      continue;
    }
    if (!stored.trace.ok() || stored.trace->records != records) {
      ++result.refused;
      continue;
    }
    result.merged = MergeTraces(result.merged, *stored.trace);
    ++result.taken;
  }
  for (const StartTrace& trace : added) {
    if (trace.records != records || trace.chain_id != chain_id) {
      return InvalidArgument("a trace of other records");
    }
    result.merged = MergeTraces(result.merged, trace);
    ++result.taken;
  }
  if (result.merged.starts > 0) {
    ASSIGN_OR_RETURN(const std::string encoded, EncodeTrace(result.merged));
    RETURN_IF_ERROR(WriteTracedPack(backend, records, result.merged, key));
    SLACKER_FAILPOINT("trace.after_boot_pack");
    if (result.taken > 0) {
      RETURN_IF_ERROR(backend->Replace(MergedTraceName(chain_id), encoded));
      SLACKER_FAILPOINT("trace.after_merged");
    }
  }
  for (const StoredTrace& stored : left) {
    if (std::ranges::count(result.unreadable, stored.name) > 0) continue;
    RETURN_IF_ERROR(backend->Remove(stored.name));
  }
  return result;
}

absl::StatusOr<bool> PublishMergedTrace(const std::shared_ptr<Backend>& backend,
                                        const Digest& chain_id, const std::vector<Digest>& records,
                                        const SigningKey* key) {
  ASSIGN_OR_RETURN(const StartTrace merged, ReadBase(*backend, chain_id, records));
  if (merged.starts == 0) return false;
  RETURN_IF_ERROR(WriteTracedPack(backend, records, merged, key));
  return true;
}

absl::Status PublishAllTraces(const std::shared_ptr<Backend>& backend, const Trust& trust,
                              const SigningKey* key, const TraceResult& on_result) {
  ASSIGN_OR_RETURN(const std::vector<Digest> chains, ListTracedChains(*backend));
  const StoreReader reader(backend, trust);
  for (const Digest& chain_id : chains) {
    auto manifest = reader.ReadManifest(chain_id);
    if (IsOfTheStore(manifest.status())) return manifest.status();
    if (absl::IsFailedPrecondition(manifest.status())) continue;  // somebody else's to merge
    absl::StatusOr<MergedTraces> result = manifest.ok()
                                              ? PublishTraces(backend, *manifest, {}, key)
                                              : absl::StatusOr<MergedTraces>(manifest.status());
    if (IsOfTheStore(result.status())) return result.status();
    // Hints at an image that is not there, or damaged, are of use to nobody.
    if (absl::IsNotFound(result.status()) || absl::IsDataLoss(result.status())) {
      const absl::Status removed = RemoveTraces(*backend, chain_id);
      if (IsOfTheStore(removed)) return removed;
      if (!removed.ok()) result = removed;
    }
    on_result(chain_id, result);
  }
  return absl::OkStatus();
}

absl::Status RemoveTraces(Backend& backend, const Digest& chain_id) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(TracesPrefix(chain_id)));
  for (const std::string& name : names) RETURN_IF_ERROR(backend.Remove(name));
  return absl::OkStatus();
}

}  // namespace slacker
