#include "backend/upkeep/trash.h"

#include <set>

#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/mark.h"

namespace slacker {
namespace {

constexpr uint64_t kStepBytes = 4 << 20;

absl::StatusOr<bool> Equal(Backend& backend, const std::string& a, const std::string& b) {
  for (uint64_t at = 0;; at += kStepBytes) {
    ASSIGN_OR_RETURN(const std::string left, backend.Read(a, at, kStepBytes));
    ASSIGN_OR_RETURN(const std::string right, backend.Read(b, at, kStepBytes));
    if (left != right) return false;
    if (left.size() < kStepBytes) return true;
  }
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

bool IsCopiedToTrash(ObjectKind kind) {
  return IsCondemnable(kind) && kind != ObjectKind::kPack && kind != ObjectKind::kPackIndex;
}

absl::StatusOr<std::vector<Condemned>> ListTrash(Backend& backend) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kTrashPrefix));
  std::vector<Condemned> condemned;
  for (const std::string& name : names) {
    if (name == kClockName) continue;
    const auto info = backend.Stat(name);
    if (absl::IsNotFound(info.status())) continue;
    RETURN_IF_ERROR(info.status());
    std::string object = name.substr(kTrashPrefix.size());
    const ObjectId id = IdentifyObject(object);
    condemned.push_back({std::move(object), id, info->modified_unix_seconds});
  }
  return condemned;
}

absl::Status Condemn(Backend& backend, const std::string& name) {
  if (!IsCopiedToTrash(IdentifyObject(name).kind)) return backend.Put(TrashName(name), "");
  // A copy of what it was when it was condemned before.
  const auto same = Equal(backend, name, TrashName(name));
  if (!same.ok() && !absl::IsNotFound(same.status())) return same.status();
  if (same.ok() && *same) return absl::OkStatus();
  if (same.ok()) RETURN_IF_ERROR(backend.Remove(TrashName(name)));
  const absl::Status copied = CopyObject(backend, name, TrashName(name));
  return absl::IsNotFound(copied) ? absl::OkStatus() : copied;
}

absl::Status Reprieve(Backend& backend, const std::string& name) {
  return backend.Remove(TrashName(name));
}

absl::StatusOr<bool> RemoveCopied(Backend& backend, const std::string& name) {
  const auto same = Equal(backend, name, TrashName(name));
  if (absl::IsNotFound(same.status())) return true;
  RETURN_IF_ERROR(same.status());
  if (*same) RETURN_IF_ERROR(backend.Remove(name));
  return same;
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
      const absl::Status restored = RestoreFromTrash(backend, condemned.name);
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
