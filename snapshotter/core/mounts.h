// The mounts that containerd is told to make: containerd's overlayfs shapes, which every version of
// it, its shims and buildkit understand.
//
//   active without a parent   bind [rw,rbind] of its own directory
//   active                    overlay [index=off,workdir,upperdir,lowerdir]
//   view without a parent     bind [ro,rbind] of its own, empty directory
//   view of one directory     bind [ro,rbind] of it
//   view                      overlay [index=off,lowerdir]
//
// With mapped IDs each begins with the options uidmap and gidmap, which are for containerd.
//
// A list of lower directories may be longer than the 4096 bytes that mount(2) takes: containerd
// then changes into their common parent and shortens the names. That is why all lower directories
// stand beside each other under short names ("<root>/snapshots/<name>/fs").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "snapshotter/core/id_map.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

struct MountPlan {
  Kind kind = Kind::kActive;
  std::string directory;            // of the snapshot itself: holds fs and work
  std::vector<std::string> lowers;  // top first
  // Overlay's inode index refuses lower directories that were used elsewhere; off where the kernel
  // has it.
  bool index_off = false;
  std::optional<IdMap> id_map = std::nullopt;
};

// REQUIRES: plan.kind is active or view. INVALID_ARGUMENT when the mount would exceed what mount(2)
// takes even after containerd shortened it: the parent has too many layers.
absl::StatusOr<std::vector<MountSpec>> MountsFor(const MountPlan& plan);

// Whether this kernel's overlayfs knows the option "index".
bool KernelHasOverlayIndex();

}  // namespace slacker
