#include "cmd/hellobench/site/holdings.h"

#include <glob.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "backend/base/status.h"

namespace slacker::hellobench {
namespace {

absl::Status CheckAll(const char* what, const std::set<std::string>& have,
                      const std::set<std::string>& allowed) {
  for (const std::string& one : have) {
    if (!allowed.contains(one)) {
      return FailedPrecondition("the node has " + std::string(what) + one);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::set<std::string>> Names(const CtrCommand& ctr, std::vector<std::string> words) {
  ASSIGN_OR_RETURN(const std::string written, ctr(std::move(words)));
  const std::vector<std::string> lines = Lines(written, 0);
  return std::set<std::string>(lines.begin(), lines.end());
}

}  // namespace

std::vector<std::string> Lines(const std::string& text, size_t skipped) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  lines.erase(lines.begin(),
              lines.begin() + static_cast<std::ptrdiff_t>(std::min(skipped, lines.size())));
  return lines;
}

absl::StatusOr<Holdings> LookAtHoldings(const CtrCommand& ctr, const std::string& snapshotter,
                                        const std::vector<std::string>& cache) {
  Holdings found;
  ASSIGN_OR_RETURN(found.images, Names(ctr, {"images", "ls", "-q"}));
  ASSIGN_OR_RETURN(const std::string snapshots,
                   ctr({"snapshots", "--snapshotter", snapshotter, "ls"}));
  for (const std::string& line : Lines(snapshots, 1)) {
    found.snapshots.insert(line.substr(0, line.find(' ')));
  }
  // Those of containers are called like these: what is left has none, and what a container stands on is
  // there beside it.
  ASSIGN_OR_RETURN(const std::set<std::string> containers, Names(ctr, {"containers", "ls", "-q"}));
  for (const std::string& container : containers) found.snapshots.erase(container);
  // What containerd's collector has not got to yet is no image any more, and spares a pull its layers.
  ASSIGN_OR_RETURN(found.content, Names(ctr, {"content", "ls", "-q"}));
  for (const std::string& pattern : cache) {
    glob_t matching{};
    if (glob(pattern.c_str(), 0, nullptr, &matching) == 0) {
      found.cached.insert(matching.gl_pathv, matching.gl_pathv + matching.gl_pathc);
    }
    globfree(&matching);
  }
  return found;
}

absl::Status CheckNothingMore(const Holdings& now, const Holdings& allowed) {
  RETURN_IF_ERROR(CheckAll("the image ", now.images, allowed.images));
  RETURN_IF_ERROR(CheckAll("the snapshot ", now.snapshots, allowed.snapshots));
  RETURN_IF_ERROR(CheckAll("the content ", now.content, allowed.content));
  return CheckAll("in its cache ", now.cached, allowed.cached);
}

}  // namespace slacker::hellobench
