#include "backend/upkeep/fsck.h"

#include <algorithm>
#include <utility>

#include "backend/base/status.h"
#include "backend/store/index_file.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/requests.h"
#include "backend/store/reserve.h"
#include "backend/store/start_trace.h"
#include "backend/upkeep/mark.h"
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

// What nodes have left, and who serves it.
absl::Status CheckRequest(Backend& backend, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string bytes, backend.ReadWhole(name, kMaxRequestBytes));
  const std::string request = name.substr(0, name.find('.'));
  if (name == RequestFailureName(request)) return DecodeRequestFailure(bytes).status();
  if (name == RequestClaimName(request)) return DecodeRequestClaim(bytes).status();
  return DecodeRequest(bytes, name).status();
}

absl::Status CheckTrace(Backend& backend, const std::string& name, const Digest& chain) {
  ASSIGN_OR_RETURN(const std::string bytes, backend.ReadWhole(name, kMaxTraceBytes));
  if (name == MergedTraceName(chain)) return DecodeTrace(bytes, chain).status();
  return DecodeNamedTrace(bytes, name, chain).status();
}

void AddDamage(const std::string& object, const std::string& what, FsckReport* report) {
  std::vector<Damage>& damages = report->verified.damages;
  const bool known = std::any_of(damages.begin(), damages.end(), [&object](const Damage& damage) {
    return damage.object == object;
  });
  if (!known) damages.push_back({object, what});
}

// Whether something has the name that is no object, and so cannot even be looked at.
absl::StatusOr<bool> IsStray(Backend& backend, const std::string& name) {
  const absl::Status there = backend.Stat(name).status();
  if (!absl::IsNotFound(there)) return there.ok() ? absl::StatusOr<bool>(false) : there;
  // Or has it gone meanwhile?
  const size_t slash = name.rfind('/');
  ASSIGN_OR_RETURN(const auto names,
                   backend.List(slash == name.npos ? "" : name.substr(0, slash + 1)));
  if (!std::binary_search(names.begin(), names.end(), name)) return false;
  return absl::IsNotFound(backend.Stat(name).status());
}

// The directory on the way to `name` that has an object's name; "" if there is none.
std::string DirectoryInTheWay(std::string_view name) {
  for (size_t slash = name.find('/'); slash != name.npos; slash = name.find('/', slash + 1)) {
    if (IsObjectName(name.substr(0, slash))) return std::string(name.substr(0, slash));
  }
  return "";
}

absl::Status FindUnnamed(Backend& backend, FsckReport* report) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kManifestsPrefix));
  // In this order: what is published meanwhile is in use by now.
  ASSIGN_OR_RETURN(const Marks marks, Mark(backend, {.packs = false, .lenient = true}));
  report->unnamed.clear();
  for (const std::string& name : names) {
    const auto parsed = ParseManifestName(name);
    if (!parsed.ok() || marks.chains.contains(parsed->chain_id)) continue;
    std::string folder = std::string(kManifestsPrefix) + parsed->chain_id.ToHex();
    if (report->unnamed.empty() || report->unnamed.back() != folder) {
      report->unnamed.push_back(std::move(folder));
    }
  }
  return absl::OkStatus();
}

// What the verification of a store leaves out.
absl::Status CheckOthers(Backend& backend, FsckReport* report) {
  ASSIGN_OR_RETURN(const auto names, backend.List(""));
  report->foreign.clear();
  std::string in_the_way;
  for (const std::string& name : names) {
    if (!in_the_way.empty() && name.starts_with(in_the_way + "/")) continue;
    in_the_way = DirectoryInTheWay(name);
    if (!in_the_way.empty()) {
      AddDamage(in_the_way, "a directory, and no object", report);
      continue;
    }
    const ObjectId id = IdentifyObject(name);
    absl::Status status;
    if (IsForeign(name)) report->foreign.push_back(name);
    if (id.kind != ObjectKind::kForeign && id.kind != ObjectKind::kQuarantine) {
      ASSIGN_OR_RETURN(const bool stray, IsStray(backend, name));
      if (stray) status = DataLoss("a link, a pipe or the like, and no object");
    }
    if (status.ok() && id.kind == ObjectKind::kMergedIndex) {
      status = CheckMergedIndex(backend, name, id.digest);
    }
    if (status.ok() && (id.kind == ObjectKind::kIntent || id.kind == ObjectKind::kLease)) {
      status = CheckReferences(backend, name);
    }
    if (status.ok() && id.kind == ObjectKind::kFromNodes) status = CheckRequest(backend, name);
    if (status.ok() && id.kind == ObjectKind::kTrace && IsObjectName(name)) {
      status = CheckTrace(backend, name, id.digest);
    }
    if (absl::IsNotFound(status)) continue;  // removed meanwhile
    if (absl::IsDataLoss(status) || absl::IsResourceExhausted(status)) {
      AddDamage(name, Message(status), report);
      continue;
    }
    RETURN_IF_ERROR(status);
  }
  return FindUnnamed(backend, report);
}

absl::StatusOr<int64_t> Now(Backend& backend) {
  auto now = StoreNow(backend);
  if (!absl::IsResourceExhausted(now.status())) return now;
  ASSIGN_OR_RETURN(const bool more_room, UseReserve(backend));
  return more_room ? StoreNow(backend) : now;
}

}  // namespace

absl::StatusOr<FsckReport> CheckStore(const std::shared_ptr<Backend>& backend, const Trust& trust,
                                      bool repair, const VerifyObserver& observer) {
  FsckReport report;
  for (int round = 0;; ++round) {
    int64_t began = 0;
    if (repair) {
      ASSIGN_OR_RETURN(began, Now(*backend));
    }
    ASSIGN_OR_RETURN(report.verified, VerifyStore(backend, trust, observer));
    RETURN_IF_ERROR(CheckOthers(*backend, &report));
    if (report.verified.damages.empty()) report.left.clear();
    if (!repair || report.verified.damages.empty() || round == kRounds) return report;
    const size_t before = report.repaired.size();
    report.left.clear();
    Repairer repairer(backend, began, &report);
    absl::Status mended = repairer.Run();
    if (absl::IsResourceExhausted(mended)) {
      ASSIGN_OR_RETURN(const bool more_room, UseReserve(*backend));
      report.left.clear();
      if (more_room) mended = repairer.Run();
    }
    if (absl::IsAborted(mended)) continue;  // a collection was faster
    RETURN_IF_ERROR(mended);
    if (report.repaired.size() == before && !repairer.met_others()) return report;
  }
}

}  // namespace slacker
