#include "backend/upkeep/stale_references.h"

#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/objects.h"

namespace slacker {
namespace {

// Of publications that died: one that lives declares again before it commits.
absl::Status RemoveOldIntents(Backend& backend, int64_t now, bool dry_run,
                              std::vector<std::string>* actions,
                              std::vector<std::string>* dropped) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kIntentsPrefix));
  for (const std::string& name : names) {
    const auto info = backend.Stat(name);
    if (absl::IsNotFound(info.status())) continue;
    RETURN_IF_ERROR(info.status());
    if (now - info->modified_unix_seconds < kDaySeconds) continue;
    actions->push_back("remove " + name);
    dropped->push_back(name);
    if (!dry_run) RETURN_IF_ERROR(backend.Remove(name));
  }
  return absl::OkStatus();
}

absl::Status SetAside(Backend& backend, const std::string& name, int64_t now) {
  const auto place = MoveToQuarantine(backend, name);
  if (absl::IsNotFound(place.status())) return absl::OkStatus();
  RETURN_IF_ERROR(place.status());
  const auto aside = backend.Stat(*place);
  // Written anew at the last moment.
  if (aside.ok() && now - aside->modified_unix_seconds < kDaySeconds) {
    return CopyObject(backend, *place, name);
  }
  return absl::OkStatus();
}

// A node writes its lease anew every few hours: one that is still unreadable after a day is of
// nobody who could say what he needs.
absl::Status SetAsideUnreadableLeases(Backend& backend, int64_t now, bool dry_run,
                                      std::vector<std::string>* actions,
                                      std::vector<std::string>* dropped) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kLeasesPrefix));
  for (const std::string& name : names) {
    const auto info = backend.Stat(name);
    if (absl::IsNotFound(info.status())) continue;
    RETURN_IF_ERROR(info.status());
    const auto bytes = backend.ReadWhole(name, kMaxReferencesBytes);
    const absl::Status read = bytes.ok() ? DecodeReferences(*bytes).status() : bytes.status();
    if (!absl::IsDataLoss(read) && !absl::IsResourceExhausted(read)) continue;
    if (now - info->modified_unix_seconds < kDaySeconds) continue;
    actions->push_back("set aside " + name);
    dropped->push_back(name);
    if (!dry_run) RETURN_IF_ERROR(SetAside(backend, name, now));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> DropStaleReferences(Backend& backend, int64_t now,
                                                             bool dry_run,
                                                             std::vector<std::string>* actions) {
  std::vector<std::string> dropped;
  RETURN_IF_ERROR(RemoveOldIntents(backend, now, dry_run, actions, &dropped));
  RETURN_IF_ERROR(SetAsideUnreadableLeases(backend, now, dry_run, actions, &dropped));
  return dropped;
}

}  // namespace slacker
