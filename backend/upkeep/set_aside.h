// Moving aside what is damaged, so that its name is free for a sound object, but never what somebody has
// written anew since it was looked at: the part of a repair (fsck.h) that takes names away. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/upkeep/fsck.h"

namespace slacker {

class SetAside {
 public:
  // `began`: by the store's clock, before the damages of `report` were looked for. The report gets what
  // was done, and what was left. Both outlive this.
  SetAside(Backend* backend, int64_t began, FsckReport* report)
      : backend_(backend), began_(began), report_(report) {}

  // Moves aside what has the name of an object and is none: a link, a pipe, a directory.
  absl::Status MakeWay(const std::string& name);
  // Unless it has been written since: it is looked at before, and again where it is then. Of a name that has gone
  // what was removed is brought back.
  absl::Status MoveAside(const std::string& name, const std::string& why) {
    return MoveAsideIf(name, why, nullptr);
  }
  // The same, put back unless `still` then holds: for what somebody may have come to need without writing it.
  // After an error it is put back, too.
  using Still = std::function<absl::StatusOr<bool>()>;
  absl::Status MoveAsideIf(const std::string& name, const std::string& why, const Still& still);
  // The same for what only counts as long as somebody renews it: what was written within the last day stays.
  // Nobody can tell what it keeps, and the next collection would remove that; or it is of a newer version.
  absl::Status MoveAsideIfOld(const std::string& name, const std::string& why);
  // Of an image entry without a manifest, which is at `place`: whether that is there, or had been
  // removed and is back.
  absl::StatusOr<bool> RestoreManifest(const std::string& place, const std::string& image);

  // What a repair has done to an object.
  void Note(const std::string& object, const std::string& what);
  void NoteMadeAnew(const std::string& object, const std::string& with);

  // Whether something that was damaged has been written anew meanwhile, and so was left as it is.
  bool met_others() const { return met_others_; }
  void MeetOthers() { met_others_ = true; }

 private:
  // What was moved aside by mistake.
  absl::Status PutBack(const std::string& place, const std::string& name);
  // Whether the object `name`, which is at `place`, may have got there since the damages were looked for,
  // and not by this repair.
  absl::StatusOr<bool> IsAnew(const std::string& place, const std::string& name);
  // Whether what was moved to `place` is to go back after all.
  absl::StatusOr<bool> IsNeeded(const std::string& place, const std::string& name,
                                const Still& still);

  Backend* const backend_;
  const int64_t began_;
  FsckReport* const report_;
  bool met_others_ = false;
};

}  // namespace slacker
