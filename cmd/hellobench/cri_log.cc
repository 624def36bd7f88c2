#include "cmd/hellobench/cri_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker::hellobench {
namespace {

// Cuts the next word off `line`; false when no space follows it.
bool NextWord(std::string_view* line, std::string_view* word) {
  const size_t end = line->find(' ');
  if (end == std::string_view::npos) return false;
  *word = line->substr(0, end);
  line->remove_prefix(end + 1);
  return true;
}

}  // namespace

std::string ParseCriLog(std::string_view log) {
  std::string text;
  while (true) {
    const size_t end = log.find('\n');
    if (end == std::string_view::npos) return text;
    std::string_view line = log.substr(0, end);
    log.remove_prefix(end + 1);
    std::string_view time;
    std::string_view stream;
    std::string_view tag;
    if (!NextWord(&line, &time) || !NextWord(&line, &stream) || !NextWord(&line, &tag)) continue;
    if (stream != "stdout" && stream != "stderr") continue;
    text.append(line);
    if (tag != "P") text.push_back('\n');
  }
}

CriLogFollower::CriLogFollower(std::string path)
    : path_(std::move(path)), changes_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  const std::string directory = path_.substr(0, path_.rfind('/') + 1);
  // Without a watch WaitForChange lasts its limit: slower, not wrong.
  (void)inotify_add_watch(changes_.get(), directory.c_str(), IN_CREATE | IN_MODIFY);
}

void CriLogFollower::WaitForChange(std::chrono::milliseconds limit) const {
  pollfd waiting{changes_.get(), POLLIN, 0};
  if (poll(&waiting, 1, static_cast<int>(limit.count())) <= 0) return;
  char events[4096];
  while (read(changes_.get(), events, sizeof events) > 0) continue;
}

absl::StatusOr<std::string> CriLogFollower::Read() const {
  const UniqueFd file(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT) return std::string();
    return ErrnoError(errno, "open " + path_);
  }
  std::string log;
  char buffer[65536];
  while (true) {
    const ssize_t count = read(file.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError(errno, "read " + path_);
    if (count == 0) return ParseCriLog(log);
    if (log.size() + static_cast<size_t>(count) > kMaxBytes) {
      return ResourceExhausted("the container's log " + path_ + " is too long");
    }
    log.append(buffer, static_cast<size_t>(count));
  }
}

}  // namespace slacker::hellobench
