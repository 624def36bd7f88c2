// What the names of a store's objects say to maintenance.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"

namespace slacker {

enum class ObjectKind {
  kImage,
  kManifest,
  kGrant,
  kBootPack,
  kTrace,
  kLayerChain,
  kRecord,
  kTar,
  kLocations,
  kHead,
  kPack,
  kPackIndex,
  kMergedIndex,
  kIntent,
  kLease,
  kFromNodes,  // requests: their readers look after them
  kTrash,      // and what was removed
  kQuarantine,
  kForeign,  // nobody knows: reported, never touched
};

struct ObjectId {
  ObjectKind kind = ObjectKind::kForeign;
  Digest digest;  // of kManifest, kGrant, kBootPack, kTrace, kLayerChain: the
                  // chain; of kHead the record; of kRecord to kMergedIndex
};

ObjectId IdentifyObject(std::string_view name);
// Whether an object of the store is called exactly so: what has the name as a directory is in its way.
// Such a name can be condemned, claimed and removed, and comes back from these names (names.h) as it was.
bool IsObjectName(std::string_view name);
// Whether objects of this kind are ever condemned.
bool IsCondemnable(ObjectKind kind);
// Whether the store has no object of this name: reported, left alone, and never brought back from removed/.
bool IsForeign(std::string_view name);

// Whether there is any object of a store, be it one that has become empty.
absl::StatusOr<bool> HasObjects(Backend& backend);

// Whether an object, of which this came back, is damaged, larger than it may be, or gone: asking again would
// not change that. Everything else means that we could not look.
bool IsLost(const absl::Status& status);

// Moves what has the name, object or not, to quarantine/; its name there. What is there already stays there.
// NOT_FOUND: nothing has the name.
absl::StatusOr<std::string> MoveToQuarantine(Backend& backend, const std::string& name);

// Seconds since 1970 by the clock that also dates the store's objects. Writes trash/clock.
// FAILED_PRECONDITION when the store does not date them.
absl::StatusOr<int64_t> StoreNow(Backend& backend);
// The same; in a store that has no room for an empty object the last time that somebody asked: everything
// looks younger than it is.
absl::StatusOr<int64_t> StoreNowOrBefore(Backend& backend);
inline constexpr std::string_view kClockName = "trash/clock";

inline constexpr int64_t kDaySeconds = 24 * 60 * 60;

}  // namespace slacker
