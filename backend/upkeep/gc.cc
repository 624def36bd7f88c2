#include "backend/upkeep/gc.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "backend/base/clock.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/reserve.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

class Collector {
 public:
  Collector(Backend* backend, const GcOptions& options) : backend_(backend), options_(options) {}

  absl::StatusOr<GcReport> Run() {
    RETURN_IF_ERROR(LookAtClock());
    RETURN_IF_ERROR(RemoveOldIntents());
    RETURN_IF_ERROR(SetAsideUnreadableLeases());
    if (!options_.dry_run) RETURN_IF_ERROR(CondemnRemoved(*backend_));
    const bool at_once = options_.grace_seconds == 0 && !options_.dry_run;
    bool more = true;
    for (int pass = 1; more; ++pass) {
      const uint64_t before = report_.condemned.objects;
      RETURN_IF_ERROR(Pass());
      // What has just been condemned needs a second look before it goes; then there is room to condemn
      // the rest.
      more = at_once && report_.condemned.objects > before && marks_.unreadable.empty() &&
             (full_ || pass == 1);
      if (more) RETURN_IF_ERROR(LookAtClock());
    }
    return std::move(report_);
  }

 private:
  absl::Status LookAtClock() {
    if (options_.dry_run) {  // writes nothing
      now_ = SystemClock().WallNanos() / 1'000'000'000;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(now_, StoreNow(*backend_));
    return absl::OkStatus();
  }

  // Of publications that died: one that lives declares again before it commits.
  absl::Status RemoveOldIntents() {
    ASSIGN_OR_RETURN(const auto names, backend_->List(kIntentsPrefix));
    for (const std::string& name : names) {
      const auto info = backend_->Stat(name);
      if (absl::IsNotFound(info.status())) continue;
      RETURN_IF_ERROR(info.status());
      if (now_ - info->modified_unix_seconds < kDaySeconds) continue;
      report_.actions.push_back("remove " + name);
      if (!options_.dry_run) RETURN_IF_ERROR(backend_->Remove(name));
    }
    return absl::OkStatus();
  }

  // A node writes its lease anew every few hours: one that is still unreadable after a day is of
  // nobody who could say what he needs.
  absl::Status SetAsideUnreadableLeases() {
    ASSIGN_OR_RETURN(const auto names, backend_->List(kLeasesPrefix));
    for (const std::string& name : names) {
      const auto info = backend_->Stat(name);
      if (absl::IsNotFound(info.status())) continue;
      RETURN_IF_ERROR(info.status());
      const auto bytes = backend_->ReadWhole(name, kMaxReferencesBytes);
      const absl::Status read = bytes.ok() ? DecodeReferences(*bytes).status() : bytes.status();
      if (!absl::IsDataLoss(read) && !absl::IsResourceExhausted(read)) continue;
      if (now_ - info->modified_unix_seconds < kDaySeconds) continue;
      report_.actions.push_back("set aside " + name);
      if (options_.dry_run) continue;
      const absl::Status moved = backend_->Move(name, QuarantineName(name));
      if (!absl::IsNotFound(moved)) RETURN_IF_ERROR(moved);
    }
    return absl::OkStatus();
  }

  absl::Status Pass() {
    report_.in_use = report_.young = report_.waiting = {};
    report_.foreign.clear();
    // Before the marks: what is removed was condemned when all references were looked at.
    ASSIGN_OR_RETURN(const std::vector<Condemned> trash, ListTrash(*backend_));
    ASSIGN_OR_RETURN(marks_, Mark(*backend_, {.now = now_}));
    report_.unreadable = marks_.unreadable;
    SLACKER_FAILPOINT("gc.marked");
    trashed_.clear();
    std::vector<Condemned> due;
    for (const Condemned& condemned : trash) RETURN_IF_ERROR(Judge(condemned, &due));
    RETURN_IF_ERROR(RemoveAll(due));
    return CondemnGarbage();
  }

  absl::Status Judge(const Condemned& condemned, std::vector<Condemned>* due) {
    const std::string& name = condemned.name;
    if (!IsCondemnable(condemned.id.kind)) {
      report_.foreign.push_back(TrashName(name));
      return absl::OkStatus();
    }
    const auto info = backend_->Stat(name);
    if (!info.ok() && !absl::IsNotFound(info.status())) return info.status();
    const bool gone = !info.ok() && MayComeBack(condemned.id.kind);
    if (InUse(condemned.id, info)) {
      // A chain that only nodes have: its image was removed, but this tells what they need.
      if (gone && !marks_.IsPublished(condemned.id)) return absl::OkStatus();
      if (gone) RETURN_IF_ERROR(Restore(name));
      ++report_.reprieved;
      report_.actions.push_back("reprieve " + name);
      return options_.dry_run ? absl::OkStatus() : Reprieve(*backend_, name);
    }
    // Written anew since: it may be condemned anew.
    if (info.ok() && info->modified_unix_seconds > condemned.since) return absl::OkStatus();
    trashed_.insert(name);
    if (now_ - condemned.since < options_.grace_seconds || !marks_.unreadable.empty()) {
      if (info.ok()) Count(&report_.waiting, info->size_bytes);
      return absl::OkStatus();
    }
    if (info.ok()) {
      Count(&report_.removed, info->size_bytes);
      report_.actions.push_back("remove " + name);
    }
    due->push_back(condemned);
    return absl::OkStatus();
  }

  bool InUse(const ObjectId& id, const absl::StatusOr<ObjectInfo>& info) const {
    if (id.kind != ObjectKind::kLease) return marks_.Has(id);
    return info.ok() && now_ - info->modified_unix_seconds <= kLeaseSeconds;
  }

  absl::Status Restore(const std::string& name) {
    ++report_.restored;
    report_.actions.push_back("restore " + name);
    if (options_.dry_run) return absl::OkStatus();
    const absl::Status restored = RestoreRemoved(*backend_, name);
    return absl::IsNotFound(restored) ? absl::OkStatus() : restored;
  }

  absl::Status RemoveAll(const std::vector<Condemned>& due) {
    if (options_.dry_run) return absl::OkStatus();
    std::vector<Condemned> removed;
    // Backwards: the index of a pack before the pack.
    for (auto it = due.rbegin(); it != due.rend(); ++it) {
      SLACKER_FAILPOINT("gc.before_remove");
      RETURN_IF_ERROR(RemoveCondemned(*backend_, it->name));
      if (MayComeBack(it->id.kind)) removed.push_back(*it);
      SLACKER_FAILPOINT("gc.removed");
    }
    // A publisher that found something before it went has declared it by now; one that comes later
    // finds it missing.
    ASSIGN_OR_RETURN(const SecondLook look, LookAgain(*backend_, now_, removed));
    SLACKER_FAILPOINT("gc.looked_again");
    report_.restored += look.restored.size();
    const absl::flat_hash_set<std::string> kept(look.needed_by_nodes.begin(),
                                                look.needed_by_nodes.end());
    for (auto it = due.rbegin(); it != due.rend(); ++it) {
      if (!kept.contains(it->name)) RETURN_IF_ERROR(Reprieve(*backend_, it->name));
    }
    return absl::OkStatus();
  }

  absl::Status CondemnGarbage() {
    const uint64_t before = report_.condemned.objects;
    ASSIGN_OR_RETURN(const auto names, backend_->List(""));
    for (const std::string& name : names) {
      const ObjectId id = IdentifyObject(name);
      if (id.kind == ObjectKind::kForeign) report_.foreign.push_back(name);
      if (id.kind == ObjectKind::kForeign || id.kind == ObjectKind::kTrash ||
          id.kind == ObjectKind::kQuarantine || trashed_.contains(name)) {
        continue;
      }
      const auto info = backend_->Stat(name);
      if (absl::IsNotFound(info.status())) continue;
      RETURN_IF_ERROR(info.status());
      const int64_t age = now_ - info->modified_unix_seconds;
      if (InUse(id, info)) {
        Count(&report_.in_use, info->size_bytes);
      } else if (age < std::min(options_.grace_seconds, kDaySeconds)) {
        Count(&report_.young, info->size_bytes);
      } else {
        const absl::Status condemned =
            options_.dry_run ? absl::OkStatus() : Condemn(*backend_, name);
        // What has been condemned so far makes room, if it goes at once.
        full_ = full_ || absl::IsResourceExhausted(condemned);
        if (absl::IsResourceExhausted(condemned) && options_.grace_seconds == 0 &&
            report_.condemned.objects > before) {
          break;
        }
        RETURN_IF_ERROR(condemned);
        Count(&report_.condemned, info->size_bytes);
        report_.actions.push_back("condemn " + name);
        SLACKER_FAILPOINT("gc.condemned");
      }
    }
    return absl::OkStatus();
  }

  static void Count(GcReport::Total* total, uint64_t bytes) {
    ++total->objects;
    total->bytes += bytes;
  }

  Backend* const backend_;
  const GcOptions options_;
  int64_t now_ = 0;
  Marks marks_;
  absl::flat_hash_set<std::string> trashed_;  // condemned already
  bool full_ = false;                         // there was no room to condemn something
  GcReport report_;
};

}  // namespace

absl::StatusOr<GcReport> CollectGarbage(Backend& backend, const GcOptions& options) {
  auto report = Collector(&backend, options).Run();
  if (options.dry_run) return report;
  if (absl::IsResourceExhausted(report.status())) {
    ASSIGN_OR_RETURN(const bool more_room, UseReserve(backend));
    if (more_room) report = Collector(&backend, options).Run();
  }
  if (report.ok()) RETURN_IF_ERROR(KeepReserve(backend));
  return report;
}

}  // namespace slacker
