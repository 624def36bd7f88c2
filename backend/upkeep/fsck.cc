#include "backend/upkeep/fsck.h"

#include <utility>

#include "backend/base/status.h"
#include "backend/store/index_file.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/repair.h"

namespace slacker {
namespace {

// What has been mended may show what could not be seen before it.
constexpr int kRounds = 3;
constexpr uint64_t kRowsAtOnce = 256 << 10;

absl::Status CheckMergedIndex(Backend& backend, const std::string& name, const Digest& id) {
  ASSIGN_OR_RETURN(const IndexFile file, IndexFile::Open(&backend, name, id));
  const IndexDirectory& directory = file.directory();
  if (MergedIndexId(directory.packs) != id) return DataLoss("its packs are not those of its name");
  uint64_t damaged = 0;
  const auto buckets = static_cast<uint32_t>(directory.fan_out.size());
  for (uint32_t first = 0; first < buckets;) {
    uint32_t end = first + 1;
    const uint64_t before = first == 0 ? 0 : directory.fan_out[first - 1];
    while (end < buckets && directory.fan_out[end] - before <= kRowsAtOnce) ++end;
    RETURN_IF_ERROR(file.ReadBuckets(first, end, &damaged).status());
    first = end;
  }
  return damaged == 0 ? absl::OkStatus()
                      : DataLoss(std::to_string(damaged) + " of its parts are damaged");
}

absl::Status CheckReferences(Backend& backend, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string bytes, backend.ReadWhole(name, kMaxReferencesBytes));
  return DecodeReferences(bytes).status();
}

// What the verification of a store leaves out.
absl::Status CheckOthers(Backend& backend, FsckReport* report) {
  ASSIGN_OR_RETURN(const auto names, backend.List(""));
  report->foreign.clear();
  for (const std::string& name : names) {
    const ObjectId id = IdentifyObject(name);
    absl::Status status;
    if (id.kind == ObjectKind::kForeign) report->foreign.push_back(name);
    if (id.kind == ObjectKind::kMergedIndex) status = CheckMergedIndex(backend, name, id.digest);
    if (id.kind == ObjectKind::kIntent || id.kind == ObjectKind::kLease) {
      status = CheckReferences(backend, name);
    }
    if (absl::IsNotFound(status)) continue;  // removed meanwhile
    if (absl::IsDataLoss(status) || absl::IsResourceExhausted(status)) {
      report->verified.damages.push_back({name, Message(status)});
      continue;
    }
    RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FsckReport> CheckStore(const std::shared_ptr<Backend>& backend, const Trust& trust,
                                      bool repair) {
  FsckReport report;
  for (int round = 0;; ++round) {
    ASSIGN_OR_RETURN(report.verified, VerifyStore(backend, trust));
    RETURN_IF_ERROR(CheckOthers(*backend, &report));
    if (!repair || report.verified.damages.empty() || round == kRounds) return report;
    const size_t before = report.repaired.size();
    RETURN_IF_ERROR(Repairer(backend).Run(report.verified.damages, &report.repaired));
    if (report.repaired.size() == before) return report;
  }
}

}  // namespace slacker
