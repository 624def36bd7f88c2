// User namespaces: the IDs of a container's files as others on the node see them.
//
// containerd asks for it with two labels on the container's Prepare, of a snapshotter that has the
// capability "remap-ids" (docs of containerd's proxy plugins). The answer's mounts then carry the maps, with
// which containerd 2 mounts the lower directories (mount_setattr(2), MOUNT_ATTR_IDMAP); nothing of the
// image is read or copied for it. The upper directory is the container's own, and is owned as the
// container sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

inline constexpr std::string_view kUidMappingLabel = "containerd.io/snapshot/uidmapping";
inline constexpr std::string_view kGidMappingLabel = "containerd.io/snapshot/gidmapping";

struct IdRange {
  uint32_t container = 0, host = 0, count = 0;
};

struct IdMap {
  std::string uids, gids;  // as in the labels: "CONTAINER:HOST:COUNT", perhaps several, by commas
  std::vector<IdRange> uid_ranges, gid_ranges;

  // On the host, of root in the container.
  uint32_t RootUid() const;
  uint32_t RootGid() const;
  // Whether this owner is one of the host's, and none of the container's: files of such a one have been
  // given away already.
  bool IsApplied(uint32_t uid, uint32_t gid) const;
};

// Nothing: it is not asked for. A layer that is being unpacked (kRefLabel) is as it is for everybody, even
// if its image says otherwise: manifests can carry these labels. INVALID_ARGUMENT: one without the
// other, or not of that form, or root is not mapped.
absl::StatusOr<std::optional<IdMap>> IdMapOf(const Labels& labels);

}  // namespace slacker
