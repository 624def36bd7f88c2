// Results for tests of reports.
#pragma once

#include <string>

#include "cmd/hellobench/results/result.h"

namespace slacker::hellobench {

// A run that got there: pull 60 %, create 10 % and ready 30 % of its time.
inline Result Ready(const std::string& snapshotter, const std::string& image, double total_ms) {
  Result result;
  result.session.id = "s";
  result.setup.scenario = "start";
  result.setup.image = image;
  result.setup.category = "other";
  result.setup.snapshotter = snapshotter;
  result.setup.link = "1gbit";
  result.setup.server_cache = "warm";
  result.time = "2026-11-26T12:00:00Z";
  result.phases.pull_ms = total_ms * 0.6;
  result.phases.create_ms = total_ms * 0.1;
  result.phases.ready_ms = total_ms * 0.3;
  result.phases.total_ms = total_ms;
  return result;
}

inline Result FailedRun(const std::string& snapshotter, const std::string& image,
                        const std::string& error) {
  Result result = Ready(snapshotter, image, 1);
  result.phases = {};
  result.error = error;
  return result;
}

}  // namespace slacker::hellobench
