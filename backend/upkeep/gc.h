// Collecting what nothing in a store refers to.
//
// One run: what is in use is marked (mark.h). What is not, and was not written within the last day,
// is condemned (trash.h). What was condemned before this run began, for at least the grace, and is
// still not in use, is removed; then everything that has come into use meanwhile is looked at again,
// and brought back from where it was moved. What is condemned but in use is reprieved. So an object goes when
// two runs, the grace apart, have found it unused.
//
// A publication at the same time never ends with a reference to something that is removed: see
// docs/adr/0015. Any number of runs may be under way at once, and end at any moment.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/upkeep/objects.h"

namespace slacker {

inline constexpr int64_t kDefaultGraceSeconds = 30 * kDaySeconds;

struct GcOptions {
  // 0: what nothing refers to goes at once, also what a publication under way has just written: that
  // publication fails then, and has to be started again.
  int64_t grace_seconds = kDefaultGraceSeconds;
  bool dry_run = false;  // only says what it would do now
};

struct GcReport {
  struct Total {
    uint64_t objects = 0;
    uint64_t bytes = 0;
  };
  Total in_use;
  Total young;      // unused, written within the last day
  Total waiting;    // condemned, until the grace has passed
  Total condemned;  // by this run
  Total removed;
  uint64_t reprieved = 0;
  uint64_t restored = 0;             // brought back after they had been removed
  std::vector<std::string> actions;  // "condemn NAME", "remove NAME", …, in this order
  std::vector<std::string> foreign;  // objects that are not the store's: left alone
  // Leases and intents that cannot be read. While there is one, nothing is removed; when it has not been
  // written anew for a day, it is moved to quarantine/.
  std::vector<std::string> unreadable;
};

// DATA_LOSS: a damaged object, named in the message; nothing was removed (fsck.h). FAILED_PRECONDITION: see
// StoreNow. Memory: some 200 bytes for each object of the store, packs being some hundreds or
// thousands of chunks each; 20 MB beside that.
absl::StatusOr<GcReport> CollectGarbage(Backend& backend, const GcOptions& options);

}  // namespace slacker
