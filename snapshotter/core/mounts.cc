#include "snapshotter/core/mounts.h"

#include <unistd.h>

#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr size_t kMountDataBytes = 4096;  // a page, the terminating NUL included

// What containerd takes for itself: mount(2) never sees it.
std::vector<std::string> OptionsOf(const std::optional<IdMap>& map) {
  if (!map.has_value()) return {};
  return {"uidmap=" + map->uids, "gidmap=" + map->gids};
}

std::vector<MountSpec> Bind(const MountPlan& plan, std::string source, const char* mode) {
  MountSpec spec{.type = "bind", .source = std::move(source), .options = OptionsOf(plan.id_map)};
  spec.options.emplace_back(mode);
  spec.options.emplace_back("rbind");
  return {std::move(spec)};
}

// The bytes of a name below the common parent of all lower directories: its last two components.
size_t ShortenedBytes(const std::string& lower) {
  const size_t last = lower.find_last_of('/');
  if (last == std::string::npos || last == 0) return lower.size();
  const size_t before = lower.find_last_of('/', last - 1);
  return before == std::string::npos ? lower.size() : lower.size() - before - 1;
}

}  // namespace

absl::StatusOr<std::vector<MountSpec>> MountsFor(const MountPlan& plan) {
  const bool active = plan.kind == Kind::kActive;
  const std::string fs = plan.directory + "/fs";
  if (plan.lowers.empty()) return Bind(plan, fs, active ? "rw" : "ro");
  if (!active && plan.lowers.size() == 1) return Bind(plan, plan.lowers.front(), "ro");

  MountSpec spec{.type = "overlay", .source = "overlay", .options = {}};
  if (plan.index_off) spec.options.emplace_back("index=off");
  if (active) {
    spec.options.push_back("workdir=" + plan.directory + "/work");
    spec.options.push_back("upperdir=" + fs);
  }
  size_t bytes = sizeof "lowerdir=";
  for (const std::string& option : spec.options) bytes += option.size() + 1;
  std::string lowerdir = "lowerdir=";
  for (size_t i = 0; i < plan.lowers.size(); ++i) {
    if (i > 0) lowerdir += ':';
    lowerdir += plan.lowers[i];
    bytes += ShortenedBytes(plan.lowers[i]) + 1;
  }
  if (bytes > kMountDataBytes) {
    return InvalidArgument("the parent has " + std::to_string(plan.lowers.size()) +
                           " layers: more than one mount can name");
  }
  spec.options.push_back(std::move(lowerdir));
  const std::vector<std::string> mapping = OptionsOf(plan.id_map);
  spec.options.insert(spec.options.begin(), mapping.begin(), mapping.end());
  return std::vector<MountSpec>{std::move(spec)};
}

bool KernelHasOverlayIndex() { return access("/sys/module/overlay/parameters/index", F_OK) == 0; }

}  // namespace slacker
