// `hellobench report`.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cmd/hellobench/results/result.h"

namespace slacker::hellobench {

struct ReportOptions {
  std::vector<std::string> files;  // results
  std::string page;                // "": report.html, if no Markdown is asked for
  std::string markdown;            // "-": standard output; "": none
};

// Reads all files as one and writes what is asked for. Errors of reading and writing;
// FAILED_PRECONDITION if the files have no results, or some of several schemas.
absl::Status WriteReport(const ReportOptions& options);

}  // namespace slacker::hellobench
