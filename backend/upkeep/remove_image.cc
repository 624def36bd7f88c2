#include "backend/upkeep/remove_image.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "backend/base/codec.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/reserve.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

constexpr size_t kFingerprintDigits = 16;

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

// Which publication an entry is of: half an ID of maintenance (names.h).
std::string Fingerprint(const ImageEntry& entry) {
  std::string identity;
  Encoder out(&identity);
  out.Hash(entry.chain_id);
  out.Bytes(entry.manifest_digest);
  out.U64(static_cast<uint64_t>(entry.published_unix_seconds));
  return Sha256::Of(identity).ToHex().substr(0, kFingerprintDigits);
}

absl::Status PutBack(Backend& backend, const std::string& place, const std::string& name) {
  const absl::Status copied = CopyObject(backend, place, name);
  // Where there is no room for a copy there was none for another entry of that name.
  if (absl::IsResourceExhausted(copied) && absl::IsNotFound(backend.Stat(name).status())) {
    return backend.Move(place, name);
  }
  RETURN_IF_ERROR(copied);
  return backend.Remove(place);
}

// Whether `name` has nothing, or the entry of this fingerprint.
absl::StatusOr<bool> IsGoneOr(Backend& backend, const std::string& name,
                              std::string_view fingerprint) {
  const auto bytes = backend.ReadWhole(name, kMaxImageEntryBytes);
  if (absl::IsNotFound(bytes.status())) return true;
  if (!bytes.ok() && !IsLost(bytes.status())) return bytes.status();
  const auto found = bytes.ok() ? DecodeImageEntry(*bytes) : bytes.status();
  return found.ok() && Fingerprint(*found) == fingerprint;
}

// Looks at what was moved to `place`: whether it went, or had gone; another one than the place was made
// for is put back.
absl::StatusOr<bool> Settle(Backend& backend, const std::string& place) {
  const FlatName flat = ParseFlatName(place);
  const size_t of_entry = flat.id.size() - std::min(flat.id.size(), kFingerprintDigits);
  ASSIGN_OR_RETURN(const bool ours, IsGoneOr(backend, place, flat.id.substr(of_entry)));
  RETURN_IF_ERROR(ours ? backend.Remove(place) : PutBack(backend, place, flat.object));
  return ours;
}

// The same of an entry. Between looking at a name and removing it somebody may give it to another
// image: so it is moved first, and then looked at. The place says what is meant to go, for whoever finds
// it after a crash.
absl::StatusOr<bool> RemoveEntry(Backend& backend, const ImageEntry& entry, int64_t now,
                                 bool full) {
  const std::string name = ImageName(entry.name, entry.platform);
  const std::string time = NewMaintenanceId(now).substr(0, kFingerprintDigits);
  const std::string place = RemovedName(name, time + Fingerprint(entry));
  const absl::Status moved = backend.Move(name, place);
  if (full && absl::IsResourceExhausted(moved)) {
    // No room for the place's directory; then there is none either for who gives the name to another.
    ASSIGN_OR_RETURN(const bool ours, IsGoneOr(backend, name, Fingerprint(entry)));
    if (ours) RETURN_IF_ERROR(backend.Remove(name));
    return ours;
  }
  if (!absl::IsNotFound(moved)) RETURN_IF_ERROR(moved);
  SLACKER_FAILPOINT("rm.entry_moved");
  return Settle(backend, place);
}

absl::Status RemoveAll(Backend& backend, const std::vector<ImageEntry>& entries,
                       const std::set<Digest>& all, bool full, RemovedImages* removed) {
  ASSIGN_OR_RETURN(const int64_t now, StoreNowOrBefore(backend));
  removed->replaced = 0;
  for (const ImageEntry& entry : entries) {
    ASSIGN_OR_RETURN(const bool went, RemoveEntry(backend, entry, now, full));
    removed->replaced += went ? 0 : 1;
    SLACKER_FAILPOINT("rm.entry_removed");
  }
  removed->entries = entries.size() - removed->replaced;
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

absl::StatusOr<std::vector<std::string>> FinishRemovals(Backend& backend, int64_t now,
                                                        int64_t after_seconds, bool dry_run) {
  ASSIGN_OR_RETURN(const Removed removed, ListRemoved(backend));
  std::vector<std::string> finished;
  for (const auto& [name, places] : removed) {
    if (IdentifyObject(name).kind != ObjectKind::kImage) continue;
    for (const std::string& place : places) {
      const int64_t age = now - TimeOfMaintenanceId(ParseFlatName(place).id);
      if (age < after_seconds && age >= -kDaySeconds) continue;  // may be under way
      if (!dry_run) RETURN_IF_ERROR(Settle(backend, place).status());
      finished.push_back(place);
    }
  }
  return finished;
}

}  // namespace slacker
