#include "backend/upkeep/trash.h"

#include <utility>

#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/mark.h"

namespace slacker {
namespace {

bool IsPack(ObjectKind kind) { return kind == ObjectKind::kPack || kind == ObjectKind::kPackIndex; }

}  // namespace

absl::StatusOr<std::vector<Condemned>> ListTrash(Backend& backend) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kTrashPrefix));
  std::vector<Condemned> condemned;
  for (const std::string& name : names) {
    if (name == kClockName || name == kReserveName || IsForeign(name)) continue;
    const auto info = backend.Stat(name);
    if (absl::IsNotFound(info.status())) continue;
    RETURN_IF_ERROR(info.status());
    FlatName flat = ParseFlatName(name);
    const ObjectId id = IdentifyObject(flat.object);
    condemned.push_back(
        {std::move(flat.object), id, info->modified_unix_seconds, name, std::move(flat.id)});
  }
  return condemned;
}

absl::StatusOr<Removed> ListRemoved(Backend& backend) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kRemovedPrefix));
  Removed removed;
  for (const std::string& name : names) {
    if (!IsForeign(name)) removed[ParseFlatName(name).object].push_back(name);
  }
  return removed;
}

absl::Status CondemnRemoved(Backend& backend) {
  // In this order: what is removed was condemned before, and stays so until it is forgotten.
  ASSIGN_OR_RETURN(const Removed removed, ListRemoved(backend));
  if (removed.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto condemned, CondemnedNames(backend));
  for (const auto& [object, names] : removed) {
    if (condemned.contains(TrashName(object)) || !IsCondemnable(IdentifyObject(object).kind)) {
      continue;
    }
    const absl::Status done = Condemn(backend, object);
    if (absl::IsResourceExhausted(done)) return absl::OkStatus();  // when there is room
    RETURN_IF_ERROR(done);
  }
  return absl::OkStatus();
}

absl::Status Condemn(Backend& backend, const std::string& name) {
  return backend.Replace(TrashName(name), "");
}

absl::Status Reprieve(Backend& backend, const std::string& name) {
  return backend.Remove(TrashName(name));
}

absl::Status ReprieveClaimed(Backend& backend, const std::set<std::string>& names) {
  ASSIGN_OR_RETURN(const auto trash, backend.List(kTrashPrefix));
  for (const std::string& mark : trash) {
    if (names.contains(ParseFlatName(mark).object)) RETURN_IF_ERROR(backend.Remove(mark));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Claim(Backend& backend, const std::string& run, Condemned* condemned) {
  if (condemned->run == run) return true;
  std::string claim = ClaimName(condemned->name, run);
  const absl::Status moved = backend.Move(condemned->mark, claim);
  if (absl::IsNotFound(moved)) return false;
  RETURN_IF_ERROR(moved);
  condemned->mark = std::move(claim);
  condemned->run = run;
  return true;
}

absl::Status Release(Backend& backend, const Condemned& condemned) {
  const absl::Status moved = backend.Move(condemned.mark, TrashName(condemned.name));
  return absl::IsNotFound(moved) ? absl::OkStatus() : moved;
}

bool IsAbandoned(const Condemned& condemned, int64_t now, int64_t after_seconds) {
  const int64_t age = now - TimeOfMaintenanceId(condemned.run);
  // Clocks that were set back.
  return age >= after_seconds || age < -kDaySeconds;
}

absl::StatusOr<std::string> MoveToRemoved(Backend& backend, const std::string& name, int64_t now) {
  std::string removed = RemovedName(name, NewMaintenanceId(now));
  const absl::Status moved = backend.Move(name, removed);
  if (!absl::IsNotFound(moved)) RETURN_IF_ERROR(moved);
  return removed;
}

absl::StatusOr<SecondLook> LookAgain(Backend& backend, int64_t now,
                                     const std::vector<Condemned>& removed) {
  SecondLook look;
  std::set<std::string> done;
  for (size_t before = 0; !removed.empty(); before = done.size()) {
    ASSIGN_OR_RETURN(const Marks marks,
                     Mark(backend, {.now = now, .packs = false, .lenient = true}));
    for (const Condemned& condemned : removed) {
      if (condemned.id.kind == ObjectKind::kLease || IsPack(condemned.id.kind)) continue;
      if (!marks.MayNeed(condemned.id) || !done.insert(condemned.name).second) continue;
      if (!marks.MayPublish(condemned.id)) {
        look.needed_by_nodes.push_back(condemned.name);
        continue;
      }
      const absl::Status there = backend.Stat(condemned.name).status();
      if (!absl::IsNotFound(there)) {
        RETURN_IF_ERROR(there);
        continue;
      }
      const absl::Status restored = RestoreRemoved(backend, condemned.name);
      if (absl::IsNotFound(restored)) continue;
      RETURN_IF_ERROR(restored);
      look.restored.push_back(condemned.name);
    }
    // A manifest that is back may lead to records.
    if (done.size() == before) break;
  }
  return look;
}

}  // namespace slacker
