#include "backend/upkeep/trash.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/mark.h"

namespace slacker {
namespace {

// The name of the object, of what is called `flat` below trash/ or removed/.
std::string ObjectOf(std::string_view flat) {
  std::string name(flat);
  std::replace(name.begin(), name.end(), '_', '/');
  return name;
}

}  // namespace

bool IsCondemnable(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kManifest:
    case ObjectKind::kGrant:
    case ObjectKind::kBootPack:
    case ObjectKind::kTrace:
    case ObjectKind::kLayerChain:
    case ObjectKind::kRecord:
    case ObjectKind::kTar:
    case ObjectKind::kLocations:
    case ObjectKind::kPack:
    case ObjectKind::kPackIndex:
    case ObjectKind::kLease:
      return true;
    default:
      return false;
  }
}

bool MayComeBack(ObjectKind kind) {
  return IsCondemnable(kind) && kind != ObjectKind::kPack && kind != ObjectKind::kPackIndex;
}

absl::StatusOr<std::vector<Condemned>> ListTrash(Backend& backend) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kTrashPrefix));
  std::vector<Condemned> condemned;
  for (const std::string& name : names) {
    if (name == kClockName || name == kReserveName) continue;
    if (IdentifyObject(name).kind != ObjectKind::kTrash) continue;  // not ours
    const auto info = backend.Stat(name);
    if (absl::IsNotFound(info.status())) continue;
    RETURN_IF_ERROR(info.status());
    std::string object = ObjectOf(name.substr(kTrashPrefix.size()));
    const ObjectId id = IdentifyObject(object);
    condemned.push_back({std::move(object), id, info->modified_unix_seconds});
  }
  return condemned;
}

absl::Status CondemnRemoved(Backend& backend) {
  // In this order: what is removed was condemned before, and stays so until it is forgotten.
  ASSIGN_OR_RETURN(const auto removed, backend.List(kRemovedPrefix));
  for (const std::string& name : removed) {
    const std::string object = ObjectOf(name.substr(kRemovedPrefix.size()));
    if (!IsCondemnable(IdentifyObject(object).kind)) continue;
    const absl::Status there = backend.Stat(TrashName(object)).status();
    if (absl::IsNotFound(there)) RETURN_IF_ERROR(Condemn(backend, object));
    if (!absl::IsNotFound(there)) RETURN_IF_ERROR(there);
  }
  return absl::OkStatus();
}

absl::Status Condemn(Backend& backend, const std::string& name) {
  return backend.Replace(TrashName(name), "");
}

absl::Status Reprieve(Backend& backend, const std::string& name) {
  // In this order: what was removed is never without its mark.
  if (MayComeBack(IdentifyObject(name).kind)) RETURN_IF_ERROR(backend.Remove(RemovedName(name)));
  return backend.Remove(TrashName(name));
}

absl::Status RemoveCondemned(Backend& backend, const std::string& name) {
  if (!MayComeBack(IdentifyObject(name).kind)) return backend.Remove(name);
  // One step, whatever has come to have the name since it was looked at.
  const absl::Status moved = backend.Move(name, RemovedName(name));
  return absl::IsNotFound(moved) ? absl::OkStatus() : moved;
}

absl::StatusOr<SecondLook> LookAgain(Backend& backend, int64_t now,
                                     const std::vector<Condemned>& removed) {
  SecondLook look;
  std::set<std::string> done;
  for (size_t before = 0; !removed.empty(); before = done.size()) {
    ASSIGN_OR_RETURN(const Marks marks,
                     Mark(backend, {.now = now, .packs = false, .lenient = true}));
    for (const Condemned& condemned : removed) {
      if (condemned.id.kind == ObjectKind::kLease || !marks.Has(condemned.id)) continue;
      if (!done.insert(condemned.name).second) continue;
      if (!marks.IsPublished(condemned.id)) {
        look.needed_by_nodes.push_back(condemned.name);
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
