#include "backend/upkeep/repair.h"

#include <utility>

#include "backend/base/status.h"
#include "backend/upkeep/objects.h"

namespace slacker {
namespace {

constexpr std::string_view kChunkOf = " of records/";  // "chunk sha256:… of records/…"

}  // namespace

absl::Status Repairer::Run() {
  Work work;
  for (const Damage& damage : damages_) RETURN_IF_ERROR(Sort(damage, &work));
  // Indexes first: they tell where the chunks of damaged locations are.
  for (const Digest& pack : work.indexes) RETURN_IF_ERROR(packs_.RebuildIndex(pack));
  for (const Digest& pack : work.packs) RETURN_IF_ERROR(packs_.RebuildIndex(pack));
  for (const Digest& record : work.locations) RETURN_IF_ERROR(locations_.Rebuild(record));
  for (const Digest& pack : work.packs) RETURN_IF_ERROR(packs_.Empty(pack));
  return packs_.RebuildMergedIndexes(std::move(work.merged));
}

absl::Status Repairer::Sort(const Damage& damage, Work* work) {
  if (const size_t of = damage.object.find(kChunkOf); of != std::string::npos) {
    const auto record = Digest::FromHex(damage.object.substr(of + kChunkOf.size()));
    if (record.ok()) work->locations.insert(*record);
    return absl::OkStatus();
  }
  const ObjectId id = IdentifyObject(damage.object);
  if (id.kind != ObjectKind::kForeign) RETURN_IF_ERROR(aside_.MakeWay(damage.object));
  switch (id.kind) {
    case ObjectKind::kLocations:
      work->locations.insert(id.digest);
      return absl::OkStatus();
    case ObjectKind::kPackIndex:
      work->indexes.insert(id.digest);
      return absl::OkStatus();
    case ObjectKind::kPack:
      work->packs.insert(id.digest);
      return absl::OkStatus();
    case ObjectKind::kMergedIndex:
      work->merged.insert(damage.object);
      return absl::OkStatus();
    case ObjectKind::kForeign:
    case ObjectKind::kTrash:
    case ObjectKind::kQuarantine:
      return absl::OkStatus();
    case ObjectKind::kImage: {
      ASSIGN_OR_RETURN(const bool restored, aside_.RestoreManifest(damage.object, damage.object));
      return restored ? absl::OkStatus() : aside_.MoveAside(damage.object, damage.what);
    }
    case ObjectKind::kFromNodes:
    case ObjectKind::kTrace:
    case ObjectKind::kIntent:
    case ObjectKind::kLease:
      return aside_.MoveAsideIfOld(damage.object, damage.what);
    default:
      return aside_.MoveAside(damage.object, damage.what);
  }
}

}  // namespace slacker
