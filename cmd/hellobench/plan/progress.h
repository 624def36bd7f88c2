// What a measurement says while it goes on.
#pragma once

#include <cstdio>
#include <string>

#include "cmd/hellobench/plan/measurement.h"
#include "cmd/hellobench/results/result.h"

namespace slacker::hellobench {

// "redis on slacker/nfs: 231 ms (pull 80, create 20, ready 131), again 95 ms, 4.1 MB received", or why not.
std::string ToText(const Result& result);

// "[12/60] redis on slacker/nfs, 2 of 3 · 3 min left"
std::string ToText(const MeasureProgress& progress);

// Lines of results on `out`, and on a terminal, `err`, one line that is written anew with what is being
// done. One thread.
class ProgressDisplay {
 public:
  ProgressDisplay(std::FILE* out, std::FILE* err, bool terminal)
      : out_(out), err_(err), terminal_(terminal) {}
  ~ProgressDisplay() { Clear(); }

  void Show(const MeasureProgress& progress);
  void Show(const Result& result);

 private:
  void Clear();

  std::FILE* const out_;
  std::FILE* const err_;
  const bool terminal_;
  bool shown_ = false;
};

}  // namespace slacker::hellobench
