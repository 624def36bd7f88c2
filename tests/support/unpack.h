// Layers unpacked into directories as a snapshotter with overlay mounts has them: whiteouts are
// character devices 0:0, opaque directories have trusted.overlay.opaque, implicit directories carry
// a copy of the metadata that the directory below them shows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/layer_builder.h"
#include "tests/support/loop_mount.h"

namespace slacker::testing {

// Unpacks layer i into `directory`/i and makes `directory`/merged and `directory`/none. Needs a
// file system with trusted and user xattrs.
void UnpackForOverlay(const std::vector<const BuiltLayer*>& layers, const std::string& directory);

// Mounts the first `count` of them, read-only, on `directory`/merged.
std::unique_ptr<TestMount> MountUnpacked(const std::string& directory, size_t count);

}  // namespace slacker::testing
