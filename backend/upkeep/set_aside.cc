#include "backend/upkeep/set_aside.h"

#include <algorithm>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/objects.h"
#include "backend/upkeep/trash.h"

namespace slacker {
namespace {

constexpr std::string_view kMadeAnew = "made anew";
// An object is dated when its last byte is written, and has its name some time later, when it is on the disk;
// and clocks have seconds.
constexpr int64_t kWritingSeconds = 10;

}  // namespace

void SetAside::Note(const std::string& object, const std::string& what) {
  report_->repaired.push_back({object, what});
}

void SetAside::NoteMadeAnew(const std::string& object, const std::string& with) {
  Note(object, std::string(kMadeAnew) + with);
}

absl::Status SetAside::MakeWay(const std::string& name) {
  const absl::Status there = backend_->Stat(name).status();
  if (!absl::IsNotFound(there)) return there;
  const auto place = MoveToQuarantine(*backend_, name);
  if (absl::IsNotFound(place.status())) return absl::OkStatus();
  RETURN_IF_ERROR(place.status());
  // An object after all: somebody has just written it.
  if (backend_->Stat(*place).ok()) return PutBack(*place, name);
  Note(name, "what had its name, and was no object, was moved to quarantine/");
  return absl::OkStatus();
}

absl::Status SetAside::PutBack(const std::string& place, const std::string& name) {
  met_others_ = true;
  RETURN_IF_ERROR(CopyObject(*backend_, place, name));
  return backend_->Remove(place);
}

absl::Status SetAside::MoveAsideIfOld(const std::string& name, const std::string& why) {
  const auto info = backend_->Stat(name);
  if (absl::IsNotFound(info.status())) return absl::OkStatus();  // it has gone
  RETURN_IF_ERROR(info.status());
  if (began_ - info->modified_unix_seconds >= kDaySeconds) return MoveAside(name, why);
  report_->left.push_back({name, "written within the last day: whoever did may do so again"});
  return absl::OkStatus();
}

absl::StatusOr<bool> SetAside::IsAnew(const std::string& place, const std::string& name) {
  const bool own = std::any_of(
      report_->repaired.begin(), report_->repaired.end(), [&name](const Damage& repaired) {
        return repaired.object == name && repaired.what.starts_with(kMadeAnew);
      });
  if (own) return false;
  const auto info = backend_->Stat(place);
  if (absl::IsNotFound(info.status())) return false;
  RETURN_IF_ERROR(info.status());
  return info->modified_unix_seconds >= began_ - kWritingSeconds;
}

absl::StatusOr<bool> SetAside::IsNeeded(const std::string& place, const std::string& name,
                                        const Still& still) {
  // What was moved may be another one than was looked at.
  ASSIGN_OR_RETURN(const bool anew, IsAnew(place, name));
  if (anew) return true;
  if (IdentifyObject(name).kind == ObjectKind::kImage) {
    ASSIGN_OR_RETURN(const bool has_manifest, RestoreManifest(place, name));
    if (has_manifest) return true;
  }
  if (still == nullptr) return false;
  ASSIGN_OR_RETURN(const bool holds, still());
  return !holds;
}

absl::Status SetAside::MoveAsideIf(const std::string& name, const std::string& why,
                                   const Still& still) {
  ASSIGN_OR_RETURN(const bool anew, IsAnew(name, name));
  met_others_ = met_others_ || anew;
  if (anew) {
    report_->left.push_back({name, "written a moment ago: check again"});
    return absl::OkStatus();
  }
  const auto place = MoveToQuarantine(*backend_, name);
  SLACKER_FAILPOINT("fsck.moved");
  if (place.ok()) {
    const auto stays = IsNeeded(*place, name, still);
    // As long as nobody can tell it is where it was.
    if (!stays.ok()) (void)PutBack(*place, name);  // if that fails, too: the first error tells more
    RETURN_IF_ERROR(stays.status());
    if (*stays) return PutBack(*place, name);
    Note(name, "moved to quarantine/ (" + why + ")");
    return absl::OkStatus();
  }
  if (!absl::IsNotFound(place.status())) return place.status();
  // What may have been removed by mistake, or by a collection that died, is not lost.
  const absl::Status restored = RestoreRemoved(*backend_, name);
  if (restored.ok()) Note(name, "brought back: it had been removed");
  return absl::IsNotFound(restored) ? absl::OkStatus() : restored;
}

absl::StatusOr<bool> SetAside::RestoreManifest(const std::string& place, const std::string& image) {
  const auto bytes = backend_->ReadWhole(place, kMaxImageEntryBytes);
  if (IsLost(bytes.status())) return false;
  RETURN_IF_ERROR(bytes.status());
  const auto entry = DecodeImageEntry(*bytes);
  if (!entry.ok()) return false;
  const std::string folder = std::string(kManifestsPrefix) + entry->chain_id.ToHex() + "/";
  ASSIGN_OR_RETURN(const auto present, backend_->List(folder));
  // Published again meanwhile: nothing to mend, unless it is another image's entry.
  if (!present.empty()) return image == ImageName(entry->name, entry->platform);
  ASSIGN_OR_RETURN(const Removed removed, ListRemoved(*backend_));
  bool restored = false;
  for (const auto& [object, names] : removed) {
    if (!object.starts_with(folder)) continue;
    RETURN_IF_ERROR(RestoreRemoved(*backend_, object));
    Note(object, "brought back: it had been removed");
    restored = true;
  }
  return restored;
}

}  // namespace slacker
