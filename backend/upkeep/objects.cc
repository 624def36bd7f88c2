#include "backend/upkeep/objects.h"

#include <algorithm>

#include "backend/base/random.h"
#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/start_trace.h"

namespace slacker {
namespace {

struct Prefix {
  std::string_view text;
  ObjectKind kind;
};

constexpr size_t kHexDigits = 64;
constexpr size_t kIdDigits = 32;
// Followed by a digest (of a chain; of heads it is the record), and maybe by more components.
constexpr Prefix kFolders[] = {{kManifestsPrefix, ObjectKind::kManifest},
                               {kGrantsPrefix, ObjectKind::kGrant},
                               {kBootPrefix, ObjectKind::kBootPack},
                               {kTracesPrefix, ObjectKind::kTrace},
                               {kHeadsPrefix, ObjectKind::kHead}};
// Followed by nothing but a digest.
constexpr Prefix kOfDigests[] = {
    {kRecordsPrefix, ObjectKind::kRecord},      {kTarsPrefix, ObjectKind::kTar},
    {kLocationsPrefix, ObjectKind::kLocations}, {kPacksPrefix, ObjectKind::kPack},
    {kIndexesPrefix, ObjectKind::kMergedIndex}, {kImagesPrefix, ObjectKind::kImage}};
constexpr Prefix kOthers[] = {
    {kIntentsPrefix, ObjectKind::kIntent}, {kLeasesPrefix, ObjectKind::kLease},
    {"requests/", ObjectKind::kFromNodes}, {kTrashPrefix, ObjectKind::kTrash},
    {kRemovedPrefix, ObjectKind::kTrash},  {kQuarantinePrefix, ObjectKind::kQuarantine}};

// Below trash/ and removed/ a name could be too long, or that of another object: with a "_", or with what
// looks like the ID of a collection.
bool SurvivesRemoval(std::string_view name) {
  const FlatName condemned = ParseFlatName(TrashName(name));
  return condemned.object == name && condemned.id.empty() && ValidateObjectName(name).ok() &&
         ValidateObjectName(RemovedName(name, std::string(kIdDigits, '0'))).ok();
}

}  // namespace

ObjectId IdentifyObject(std::string_view name) {
  for (const Prefix& prefix : kFolders) {
    if (!name.starts_with(prefix.text)) continue;
    const std::string_view rest = name.substr(prefix.text.size());
    const auto digest = Digest::FromHex(rest.substr(0, kHexDigits));
    if (!digest.ok() || (rest.size() > kHexDigits && rest[kHexDigits] != '/')) return {};
    return {prefix.kind, *digest};
  }
  if (const auto layer = ParseLayerChainName(name); layer.ok()) {
    return {ObjectKind::kLayerChain, layer->chain_id};
  }
  if (const auto pack = ParsePackIndexName(name); pack.ok()) return {ObjectKind::kPackIndex, *pack};
  for (const Prefix& prefix : kOfDigests) {
    const auto digest = ParseDigestName(name, prefix.text);
    if (digest.ok()) return {prefix.kind, *digest};
  }
  for (const Prefix& prefix : kOthers) {
    if (!name.starts_with(prefix.text)) continue;
    const bool flat = name.find('/', prefix.text.size()) == name.npos;
    if (prefix.kind != ObjectKind::kTrash || flat) return {prefix.kind, {}};
  }
  return {};
}

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
    case ObjectKind::kHead:
    case ObjectKind::kPack:
    case ObjectKind::kPackIndex:
    case ObjectKind::kLease:
      return true;
    default:
      return false;
  }
}

bool IsForeign(std::string_view name) {
  const ObjectKind kind = IdentifyObject(name).kind;
  if (kind == ObjectKind::kTrash) {
    if (name == kClockName || name == kReserveName) return false;
    const std::string object = ParseFlatName(name).object;
    const ObjectKind removed = IdentifyObject(object).kind;
    // Entries of images are never condemned, but moved there to be looked at.
    const bool entry = removed == ObjectKind::kImage && name.starts_with(kRemovedPrefix);
    return (!entry && !IsCondemnable(removed)) || !IsObjectName(object);
  }
  return kind == ObjectKind::kForeign || (IsCondemnable(kind) && !IsObjectName(name));
}

bool IsObjectName(std::string_view name) {
  const ObjectKind kind = IdentifyObject(name).kind;
  if (kind != ObjectKind::kTrash && !SurvivesRemoval(name)) return false;
  const auto slashes = std::count(name.begin(), name.end(), '/');
  switch (kind) {
    case ObjectKind::kManifest:
    case ObjectKind::kTrace:
    case ObjectKind::kHead:
    case ObjectKind::kLease:
      return slashes == 2;
    case ObjectKind::kGrant:
    case ObjectKind::kLayerChain:
      return slashes == 3;
    case ObjectKind::kForeign:
    case ObjectKind::kFromNodes:
    case ObjectKind::kQuarantine:
      return false;
    default:
      return slashes == 1;
  }
}

absl::StatusOr<bool> HasObjects(Backend& backend) {
  // Folder by folder, those first that no store is without: the whole of a store may be millions of names.
  for (const std::string_view folder : {kImagesPrefix, kTrashPrefix, kRecordsPrefix, kPacksPrefix,
                                        kManifestsPrefix, std::string_view()}) {
    ASSIGN_OR_RETURN(const auto names, backend.List(folder));
    for (const std::string& name : names) {
      if (IdentifyObject(name).kind != ObjectKind::kForeign) return true;
    }
  }
  return false;
}

bool IsLost(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsNotFound(status) || absl::IsResourceExhausted(status);
}

absl::StatusOr<std::string> MoveToQuarantine(Backend& backend, const std::string& name) {
  std::string place = QuarantineName(name);
  std::string another = place + "." + RandomHex();
  // Too long a name has another one there.
  if (!ValidateObjectName(another).ok()) place = another = QuarantineName(RandomHex());
  absl::Status moved;
  if (backend.Stat(place).ok()) {
    place = another;
    moved = backend.Move(name, place);
  } else {
    moved = backend.Move(name, place);
    // A directory has that name, which cannot be looked at.
    if (absl::IsInternal(moved)) moved = backend.Move(name, place = another);
  }
  RETURN_IF_ERROR(moved);
  return place;
}

absl::StatusOr<int64_t> StoreNowOrBefore(Backend& backend) {
  auto now = StoreNow(backend);
  if (!absl::IsResourceExhausted(now.status())) return now;
  const auto before = backend.Stat(kClockName);
  return before.ok() ? before->modified_unix_seconds : now;
}

absl::StatusOr<int64_t> StoreNow(Backend& backend) {
  RETURN_IF_ERROR(backend.Replace(kClockName, ""));
  ASSIGN_OR_RETURN(const ObjectInfo info, backend.Stat(kClockName));
  if (info.modified_unix_seconds == 0) {
    return FailedPrecondition("the store " + backend.Url() +
                              " does not tell when objects were written");
  }
  return info.modified_unix_seconds;
}

}  // namespace slacker
