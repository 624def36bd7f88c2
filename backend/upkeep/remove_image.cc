#include "backend/upkeep/remove_image.h"

#include <set>
#include <string>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/reserve.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

// With their prefixes, as far as there are manifests to tell them.
absl::StatusOr<std::set<Digest>> AllPrefixes(Backend& backend, const std::vector<Digest>& chains) {
  std::set<Digest> all(chains.begin(), chains.end());
  for (const Digest& chain : chains) {
    ASSIGN_OR_RETURN(const auto names,
                     backend.List(std::string(kManifestsPrefix) + chain.ToHex() + "/"));
    for (const std::string& name : names) {
      const auto manifest = ReadAnyManifest(backend, name);
      if (absl::IsDataLoss(manifest.status()) || absl::IsNotFound(manifest.status())) continue;
      RETURN_IF_ERROR(manifest.status());
      for (const Digest& prefix : PrefixChains(*manifest)) all.insert(prefix);
    }
  }
  return all;
}

// Grants first: what has none is for nobody.
absl::StatusOr<std::vector<Condemned>> ObjectsOf(Backend& backend, const std::set<Digest>& chains,
                                                 const Marks& marks) {
  std::vector<Condemned> objects;
  for (const std::string_view prefix : {kGrantsPrefix, kManifestsPrefix}) {
    for (const Digest& chain : chains) {
      if (marks.chains.contains(chain)) continue;
      ASSIGN_OR_RETURN(const auto names, backend.List(std::string(prefix) + chain.ToHex() + "/"));
      for (const std::string& name : names) {
        objects.push_back({.name = name, .id = IdentifyObject(name)});
      }
    }
  }
  return objects;
}

absl::Status RemoveAll(Backend& backend, const std::vector<ImageEntry>& entries,
                       const std::set<Digest>& all, bool full, RemovedImages* removed) {
  for (const ImageEntry& entry : entries) {
    RETURN_IF_ERROR(backend.Remove(ImageName(entry.name, entry.platform)));
    SLACKER_FAILPOINT("rm.entry_removed");
  }
  ASSIGN_OR_RETURN(const int64_t now, StoreNowOrBefore(backend));
  const MarkOptions look = {.now = now, .packs = false, .lenient = true};
  ASSIGN_OR_RETURN(const Marks before, Mark(backend, look));
  ASSIGN_OR_RETURN(const std::vector<Condemned> objects, ObjectsOf(backend, all, before));
  // Where there is no room for more names the next collection does it, and those that there are give
  // theirs to what is moved.
  for (const Condemned& object : objects) {
    RETURN_IF_ERROR(full ? Reprieve(backend, object.name) : Condemn(backend, object.name));
  }
  SLACKER_FAILPOINT("rm.condemned");
  ASSIGN_OR_RETURN(const Marks marks, Mark(backend, look));
  std::vector<Condemned> gone;
  absl::Status status;
  for (const Condemned& object : objects) {
    if (marks.MayPublish(object.id)) continue;  // published again meanwhile
    gone.push_back(object);
    status = MoveToRemoved(backend, object.name, now).status();
    if (!status.ok()) break;
    ++(object.id.kind == ObjectKind::kGrant ? removed->grants : removed->manifests);
    SLACKER_FAILPOINT("rm.removed");
  }
  // Also after an error: it may have been carried out all the same.
  status.Update(LookAgain(backend, now, gone).status());
  RETURN_IF_ERROR(status);
  if (marks.HasUnreadableIntent()) {
    return Unavailable("an intent cannot be read (" + marks.unreadable[0] +
                       "): manifests that it may rely on are left until gc takes them");
  }
  for (const Digest& chain : all) removed->kept_chains += marks.chains.contains(chain) ? 1 : 0;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RemovedImages> RemoveImages(Backend& backend, const std::vector<ImageEntry>& entries,
                                           const std::vector<Digest>& chains) {
  RemovedImages removed;
  removed.entries = entries.size();
  ASSIGN_OR_RETURN(const std::set<Digest> all, AllPrefixes(backend, chains));
  absl::Status status = RemoveAll(backend, entries, all, /*full=*/false, &removed);
  if (absl::IsResourceExhausted(status)) {
    ASSIGN_OR_RETURN(const bool more_room, UseReserve(backend));
    if (more_room) status = RemoveAll(backend, entries, all, /*full=*/false, &removed);
    if (absl::IsResourceExhausted(status)) {
      status = RemoveAll(backend, entries, all, /*full=*/true, &removed);
    }
  }
  RETURN_IF_ERROR(status);
  return removed;
}

}  // namespace slacker
