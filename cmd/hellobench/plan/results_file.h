// results.jsonl, while it is written.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"
#include "cmd/hellobench/results/result.h"

namespace slacker::hellobench {

// Lines are added behind those that are there; each is in the file, whole, when Add returns, so that what
// was measured is kept whatever ends the measurement. One thread.
class ResultsFile {
 public:
  // Makes the file if it is missing. INVALID_ARGUMENT if it is there and has no results, and if its last
  // line is not whole.
  static absl::StatusOr<std::unique_ptr<ResultsFile>> Open(const std::string& path);
  absl::Status Add(const Result& result);

 private:
  ResultsFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  const UniqueFd fd_;
  const std::string path_;
};

}  // namespace slacker::hellobench
