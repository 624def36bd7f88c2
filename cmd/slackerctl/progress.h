// How far a publication, or a check of a store, is.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "backend/base/clock.h"
#include "backend/publish/publisher.h"
#include "backend/publish/verifier.h"
#include "cmd/slackerctl/output.h"

namespace slacker::ctl {

// On a terminal one line that is written anew, at most ten times a second; elsewhere nothing. One thread.
// The clock must outlive it.
class StatusLine {
 public:
  StatusLine(const Console* console, const Clock* clock) : console_(console), clock_(clock) {}
  // Whether Show would do anything; true not more than ten times a second.
  bool IsDue();
  void Show(std::string line);
  // Takes the line off the terminal; before anything else is written.
  void Clear();

 private:
  const Console* const console_;
  const Clock* const clock_;
  std::optional<std::chrono::steady_clock::time_point> shown_;
  size_t line_bytes_ = 0;
};

// Elsewhere than on a terminal a line for every finished layer.
class ProgressDisplay {
 public:
  ProgressDisplay(const Console* console, const Clock* clock, std::string name);
  void Update(const PublishProgress& progress);
  void Clear() { line_.Clear(); }

 private:
  std::string Line(const PublishProgress& progress) const;

  const Console* const console_;
  const Clock* const clock_;
  const std::string name_;
  const std::chrono::steady_clock::time_point started_;
  StatusLine line_;
  size_t layers_shown_ = 0;
};

class VerifyDisplay {
 public:
  VerifyDisplay(const Console* console, const Clock* clock) : line_(console, clock) {}
  void Update(const VerifyProgress& progress);
  void Clear() { line_.Clear(); }

 private:
  StatusLine line_;
};

}  // namespace slacker::ctl
