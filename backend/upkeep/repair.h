// The mending part of fsck.h. Thread-compatible.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backend/backend.h"
#include "backend/upkeep/fsck.h"
#include "backend/upkeep/repair_locations.h"
#include "backend/upkeep/repair_packs.h"
#include "backend/upkeep/set_aside.h"

namespace slacker {

class Repairer {
 public:
  // `began`: by the store's clock, before the damages of `report` were looked for. The report gets what
  // was done, and what was left.
  Repairer(const std::shared_ptr<Backend>& backend, int64_t began, FsckReport* report)
      : damages_(report->verified.damages),
        aside_(backend.get(), began, report),
        locations_(backend, &aside_),
        packs_(backend, &aside_) {}

  // Mends what can be mended of these damages.
  absl::Status Run();
  // Whether something that was damaged has been written anew meanwhile, and so was left as it is.
  bool met_others() const { return aside_.met_others(); }

 private:
  // What is made anew from other objects, after all those are out of the way that cannot be.
  struct Work {
    std::set<Digest> locations;  // of these records
    std::set<Digest> indexes, packs;
    std::set<std::string> merged;
  };
  absl::Status Sort(const Damage& damage, Work* work);

  const std::vector<Damage>& damages_;
  SetAside aside_;
  LocationsRepair locations_;
  PackRepair packs_;
};

}  // namespace slacker
