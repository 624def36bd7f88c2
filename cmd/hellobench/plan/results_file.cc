#include "cmd/hellobench/plan/results_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/status.h"

namespace slacker::hellobench {

absl::StatusOr<std::unique_ptr<ResultsFile>> ResultsFile::Open(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  ASSIGN_OR_RETURN(const std::vector<Result> there, ReadResults(path));
  for (const Result& result : there) {
    if (result.schema == kResultSchema) continue;
    return FailedPrecondition(path + ": has results of schema " + std::to_string(result.schema) +
                              "; those of schema " + std::to_string(kResultSchema) +
                              " need a file of their own");
  }
  const off_t size = lseek(fd.get(), 0, SEEK_END);
  char last = '\n';
  if (size > 0 && pread(fd.get(), &last, 1, size - 1) != 1)
    return ErrnoError(errno, "read " + path);
  if (last != '\n') return InvalidArgument(path + ": its last line has no end");
  return std::unique_ptr<ResultsFile>(new ResultsFile(std::move(fd), path));
}

absl::Status ResultsFile::Add(const Result& result) {
  const std::string line = ToLine(result) + "\n";
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t written = write(fd_.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoError(errno, "write " + path_);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace slacker::hellobench
