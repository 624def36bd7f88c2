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
#include "backend/upkeep/remove_image.h"
#include "backend/upkeep/stale_references.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

class Collector {
 public:
  // `run`: its ID, set when there is none yet.
  Collector(Backend* backend, const GcOptions& options, std::string* run)
      : backend_(backend), options_(options), run_(run) {}

  absl::StatusOr<GcReport> Run() {
    RETURN_IF_ERROR(LookAtClock());
    ASSIGN_OR_RETURN(const auto dropped,
                     DropStaleReferences(*backend_, now_, options_.dry_run, &report_.actions));
    // A dry run still finds them, and is to go on as if it did not.
    if (options_.dry_run) dropped_.insert(dropped.begin(), dropped.end());
    ASSIGN_OR_RETURN(const auto unfinished,
                     FinishRemovals(*backend_, now_, std::min(options_.grace_seconds, kDaySeconds),
                                    options_.dry_run));
    for (const std::string& name : unfinished) report_.actions.push_back("finish " + name);
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
    ASSIGN_OR_RETURN(now_, StoreNowOrBefore(*backend_));
    if (run_->empty()) *run_ = NewMaintenanceId(now_);
    return absl::OkStatus();
  }

  absl::Status Pass() {
    report_.in_use = report_.young = report_.waiting = {};
    report_.foreign.clear();
    // All of this before the marks: what is removed was condemned, and by a mark that nobody else takes
    // away, when all references were looked at.
    ASSIGN_OR_RETURN(std::vector<Condemned> trash, ListTrash(*backend_));
    ASSIGN_OR_RETURN(removed_, ListRemoved(*backend_));
    std::vector<Condemned> due;
    const absl::Status judged = JudgeAll(&trash, &due);
    if (!judged.ok()) Unclaim(trash);
    RETURN_IF_ERROR(judged);
    RETURN_IF_ERROR(ForgetUncondemned(trash));
    RETURN_IF_ERROR(RemoveAll(due));
    return CondemnGarbage();
  }

  absl::Status JudgeAll(std::vector<Condemned>* trash, std::vector<Condemned>* due) {
    RETURN_IF_ERROR(ClaimDue(trash));
    RETURN_IF_ERROR(LookAtReferences());
    SLACKER_FAILPOINT("gc.marked");
    for (const Condemned& condemned : *trash) RETURN_IF_ERROR(Judge(condemned, due));
    return absl::OkStatus();
  }

  // Nothing is removed after all: others need not wait until the claims are old. Best effort.
  void Unclaim(const std::vector<Condemned>& trash) {
    for (const Condemned& condemned : trash) {
      if (!Keep(condemned).ok()) return;
    }
  }

  // What was removed when there was no room to condemn it. It need not be condemned to be safe to delete, but
  // to stay for the grace.
  absl::Status ForgetUncondemned(const std::vector<Condemned>& trash) {
    if (options_.grace_seconds > 0 || options_.dry_run || !marks_.unreadable.empty()) {
      return absl::OkStatus();
    }
    absl::flat_hash_set<std::string> condemned = trashed_;
    for (const Condemned& each : trash) condemned.insert(each.name);
    std::vector<std::string> names;
    for (const auto& [name, places] : removed_) {
      const ObjectId id = IdentifyObject(name);
      if (condemned.contains(name) || marks_.Has(id)) continue;
      names.push_back(name);
    }
    for (const std::string& name : names) RETURN_IF_ERROR(ForgetRemoved(name));
    return absl::OkStatus();
  }

  bool IsDue(const Condemned& condemned) const {
    // Without grace also what the store's clock, as far as it is known, has not come to yet.
    if (options_.grace_seconds > 0 && now_ - condemned.since < options_.grace_seconds) return false;
    return condemned.run.empty() || condemned.run == *run_ ||
           IsAbandoned(condemned, now_, std::min(options_.grace_seconds, kDaySeconds));
  }

  // Leaves those out that another run was faster with.
  absl::Status ClaimDue(std::vector<Condemned>* trash) {
    trashed_.clear();
    for (Condemned& condemned : *trash) {
      if (options_.dry_run || !IsDue(condemned)) continue;
      ASSIGN_OR_RETURN(const bool claimed, Claim(*backend_, *run_, &condemned));
      SLACKER_FAILPOINT("gc.claimed");
      if (claimed) continue;
      trashed_.insert(condemned.name);
      condemned.mark.clear();
    }
    std::erase_if(*trash, [](const Condemned& condemned) { return condemned.mark.empty(); });
    return absl::OkStatus();
  }

  absl::Status LookAtReferences() {
    auto marks = Mark(*backend_, {.now = now_});
    if (absl::IsDataLoss(marks.status()) && !options_.dry_run && !removed_.empty()) {
      // A run that ended before it looked again may have removed what is missing.
      std::vector<Condemned> all;
      for (const auto& [name, names] : removed_) {
        all.push_back({.name = name, .id = IdentifyObject(name)});
      }
      ASSIGN_OR_RETURN(const SecondLook look, LookAgain(*backend_, now_, all));
      NoteRestored(look);
      if (!look.restored.empty()) marks = Mark(*backend_, {.now = now_});
    }
    RETURN_IF_ERROR(marks.status());
    marks_ = *std::move(marks);
    std::erase_if(marks_.unreadable,
                  [this](const std::string& name) { return dropped_.contains(name); });
    report_.unreadable = marks_.unreadable;
    return absl::OkStatus();
  }

  absl::Status Judge(const Condemned& condemned, std::vector<Condemned>* due) {
    const std::string& name = condemned.name;
    const auto info = backend_->Stat(name);
    if (!info.ok() && !absl::IsNotFound(info.status())) return info.status();
    const bool is_others = !condemned.run.empty() && !IsDue(condemned);
    // Its run has removed it, and may have died before it looked again.
    if (is_others && !info.ok() && InUse(condemned.id, info) && marks_.IsPublished(condemned.id)) {
      return Restore(name);
    }
    if (!is_others && InUse(condemned.id, info)) {
      // A chain that only nodes have: its image was removed, but this tells what they need.
      if (!info.ok() && !marks_.IsPublished(condemned.id)) return Keep(condemned);
      if (!info.ok()) RETURN_IF_ERROR(Restore(name));
      ++report_.reprieved;
      report_.actions.push_back("reprieve " + name);
      return Forget(condemned);
    }
    // Written anew since: it may be condemned anew.
    if (info.ok() && info->modified_unix_seconds > condemned.since) return Keep(condemned);
    trashed_.insert(name);
    if (!IsDue(condemned) || !marks_.unreadable.empty()) {
      if (info.ok()) Count(&report_.waiting, info->size_bytes);
      return Keep(condemned);
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
    if (!removed_.contains(name)) return absl::OkStatus();
    ++report_.restored;
    report_.actions.push_back("restore " + name);
    if (options_.dry_run) return absl::OkStatus();
    const absl::Status restored = RestoreRemoved(*backend_, name);
    return absl::IsNotFound(restored) ? absl::OkStatus() : restored;
  }

  void NoteRestored(const SecondLook& look) {
    report_.restored += look.restored.size();
    for (const std::string& name : look.restored) report_.actions.push_back("restore " + name);
  }

  // Condemned as before.
  absl::Status Keep(const Condemned& condemned) {
    return condemned.run == *run_ && !options_.dry_run ? Release(*backend_, condemned)
                                                       : absl::OkStatus();
  }

  // Not condemned any more; with what was removed of that name and had been seen before the marks, or
  // was looked at again since.
  absl::Status Forget(const Condemned& condemned) {
    if (options_.dry_run) return absl::OkStatus();
    // In this order: what was removed is never without its mark.
    RETURN_IF_ERROR(ForgetRemoved(condemned.name));
    return backend_->Remove(condemned.mark);
  }

  absl::Status ForgetRemoved(const std::string& name) {
    const auto found = removed_.find(name);
    if (found == removed_.end()) return absl::OkStatus();
    for (const std::string& removed : found->second) RETURN_IF_ERROR(backend_->Remove(removed));
    removed_.erase(found);
    return absl::OkStatus();
  }

  absl::Status RemoveAll(const std::vector<Condemned>& due) {
    if (options_.dry_run) return absl::OkStatus();
    std::vector<Condemned> tried;
    absl::Status removed;
    // Backwards: the index of a pack before the pack.
    for (auto it = due.rbegin(); removed.ok() && it != due.rend(); ++it) {
      SLACKER_FAILPOINT("gc.before_remove");
      tried.push_back(*it);
      removed = Remove(*it);
      SLACKER_FAILPOINT("gc.removed");
    }
    // A publisher that found something before it went has declared it by now; one that comes later
    // finds it missing. Also after an error: it may have been carried out all the same.
    const auto look = LookAgain(*backend_, now_, tried);
    SLACKER_FAILPOINT("gc.looked_again");
    RETURN_IF_ERROR(removed);
    RETURN_IF_ERROR(look.status());
    NoteRestored(*look);
    const absl::flat_hash_set<std::string> kept(look->needed_by_nodes.begin(),
                                                look->needed_by_nodes.end());
    for (const Condemned& condemned : tried) {
      RETURN_IF_ERROR(kept.contains(condemned.name) ? Keep(condemned) : Forget(condemned));
    }
    return absl::OkStatus();
  }

  absl::Status Remove(const Condemned& condemned) {
    const std::string& name = condemned.name;
    ASSIGN_OR_RETURN(std::string removed, MoveToRemoved(*backend_, name, now_));
    SLACKER_FAILPOINT("gc.moved");
    const ObjectKind kind = condemned.id.kind;
    if (kind == ObjectKind::kPack || kind == ObjectKind::kPackIndex) {
      // Publishers do not rely on packs that are condemned, and this one was all the time since before
      // the marks, if it still is.
      const absl::Status mine = backend_->Stat(condemned.mark).status();
      if (absl::IsNotFound(mine)) {
        const absl::Status restored = RestoreRemoved(*backend_, name);
        if (!absl::IsNotFound(restored)) RETURN_IF_ERROR(restored);
        return backend_->Remove(removed);
      }
      RETURN_IF_ERROR(mine);
      RETURN_IF_ERROR(backend_->Remove(removed));  // at once: others may need the room
      return ForgetRemoved(name);
    }
    if (kind == ObjectKind::kLease) {
      const auto info = backend_->Stat(removed);
      // Renewed at the last moment.
      if (InUse(condemned.id, info)) RETURN_IF_ERROR(RestoreRemoved(*backend_, name));
    }
    removed_[name].push_back(std::move(removed));
    return absl::OkStatus();
  }

  absl::Status CondemnGarbage() {
    const uint64_t before = report_.condemned.objects;
    std::vector<std::pair<std::string, uint64_t>> next;
    ASSIGN_OR_RETURN(const auto names, backend_->List(""));
    for (const std::string& name : names) {
      const ObjectId id = IdentifyObject(name);
      const bool is_foreign = IsForeign(name);
      if (is_foreign) report_.foreign.push_back(name);
      if (is_foreign || id.kind == ObjectKind::kTrash || id.kind == ObjectKind::kQuarantine ||
          trashed_.contains(name) || dropped_.contains(name)) {
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
        if (options_.dry_run && options_.grace_seconds == 0)
          next.push_back({name, info->size_bytes});
        SLACKER_FAILPOINT("gc.condemned");
      }
    }
    // A run would remove them in its next pass.
    if (!marks_.unreadable.empty()) next.clear();
    for (const auto& [name, bytes] : next) {
      Count(&report_.removed, bytes);
      report_.actions.push_back("remove " + name);
    }
    return absl::OkStatus();
  }

  static void Count(GcReport::Total* total, uint64_t bytes) {
    ++total->objects;
    total->bytes += bytes;
  }

  Backend* const backend_;
  const GcOptions options_;
  std::string* const run_;
  int64_t now_ = 0;
  Marks marks_;
  absl::flat_hash_set<std::string> trashed_;  // condemned already
  absl::flat_hash_set<std::string> dropped_;  // stale references that a dry run leaves
  Removed removed_;                           // that may go with their marks
  bool full_ = false;                         // there was no room to condemn something
  GcReport report_;
};

}  // namespace

absl::StatusOr<GcReport> CollectGarbage(Backend& backend, const GcOptions& options) {
  std::string run;
  auto report = Collector(&backend, options, &run).Run();
  if (options.dry_run) return report;
  if (absl::IsResourceExhausted(report.status())) {
    ASSIGN_OR_RETURN(const bool more_room, UseReserve(backend));
    if (more_room) report = Collector(&backend, options, &run).Run();
  }
  if (report.ok()) RETURN_IF_ERROR(KeepReserve(backend));
  return report;
}

}  // namespace slacker
