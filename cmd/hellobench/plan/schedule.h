// In which order runs follow each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cmd/hellobench/site/site.h"

namespace slacker::hellobench {

struct Slot {
  size_t image = 0;  // of those that are measured
  System system;
  int64_t repetition = 0;
  bool operator==(const Slot&) const = default;
};

// Every image on every system, `repetitions` times. A repetition is a round: it has every pair once, and
// the systems of an image follow each other directly, so that whatever the machine does in between hits
// all of them alike. Images, and the systems of each, are in a new random order in every round. The same
// arguments give the same order on every machine.
std::vector<Slot> MakeSchedule(size_t images, const std::vector<System>& systems,
                               int64_t repetitions, uint64_t seed);

}  // namespace slacker::hellobench
