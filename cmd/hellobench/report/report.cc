#include "cmd/hellobench/report/report.h"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "backend/base/status.h"
#include "cmd/hellobench/catalogue/catalogue.h"
#include "cmd/hellobench/report/render.h"
#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

absl::StatusOr<std::string> ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoError(errno, "open " + path);
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) return ErrnoError(errno, "read " + path);
  return std::move(text).str();
}

absl::Status WriteAll(const std::string& path, const std::string& text) {
  if (path == "-") {
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    return written && std::fflush(stdout) == 0 ? absl::OkStatus()
                                               : ErrnoError(errno, "write to standard output");
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!file) return ErrnoError(errno, "create " + path);
  file << text;
  file.close();
  return file.good() ? absl::OkStatus() : ErrnoError(errno, "write " + path);
}

absl::StatusOr<PageAssets> ReadAssets() {
  ASSIGN_OR_RETURN(const std::string data, DataDirectory());
  const std::string directory = data + "/report/";
  PageAssets assets;
  ASSIGN_OR_RETURN(assets.style, ReadAll(directory + "report.css"));
  ASSIGN_OR_RETURN(assets.charts, ReadAll(directory + "chart.min.js"));
  ASSIGN_OR_RETURN(assets.licence, ReadAll(directory + "chart.copyright"));
  ASSIGN_OR_RETURN(assets.script, ReadAll(directory + "report.js"));
  return assets;
}

}  // namespace

absl::Status WriteReport(const ReportOptions& options) {
  std::vector<Result> results;
  for (const std::string& file : options.files) {
    ASSIGN_OR_RETURN(const std::vector<Result> more, ReadResults(file));
    results.insert(results.end(), more.begin(), more.end());
  }
  if (results.empty()) return FailedPrecondition("there are no results in these files");
  RETURN_IF_ERROR(CheckOneSchema(results));
  const Document document = MakeDocument(results);
  if (!options.markdown.empty()) {
    RETURN_IF_ERROR(WriteAll(options.markdown, ToMarkdown(document)));
    if (options.page.empty()) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const PageAssets assets, ReadAssets());
  return WriteAll(options.page.empty() ? "report.html" : options.page, ToPage(document, assets));
}

}  // namespace slacker::hellobench
