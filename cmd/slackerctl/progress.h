// How far a publication is.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "backend/base/clock.h"
#include "backend/publish/publisher.h"
#include "cmd/slackerctl/output.h"

namespace slacker::ctl {

// On a terminal one line that is written anew, at most ten times a second; elsewhere a line for
// every finished layer. One thread. The clock must outlive it.
class ProgressDisplay {
 public:
  ProgressDisplay(const Console* console, const Clock* clock, std::string name);
  void Update(const PublishProgress& progress);
  // Takes the line off the terminal; before anything else is written.
  void Clear();

 private:
  std::string Line(const PublishProgress& progress) const;

  const Console* const console_;
  const Clock* const clock_;
  const std::string name_;
  const std::chrono::steady_clock::time_point started_;
  std::optional<std::chrono::steady_clock::time_point> shown_;
  size_t layers_shown_ = 0;
  size_t line_bytes_ = 0;
};

}  // namespace slacker::ctl
