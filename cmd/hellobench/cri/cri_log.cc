#include "cmd/hellobench/cri/cri_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <utility>

#include "backend/base/status.h"

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

void AppendText(std::string_view record, std::string* text) {
  std::string_view time;
  std::string_view stream;
  std::string_view tag;
  if (!NextWord(&record, &time) || !NextWord(&record, &stream) || !NextWord(&record, &tag)) return;
  if (stream != "stdout" && stream != "stderr") return;
  text->append(record);
  if (tag != "P") text->push_back('\n');
}

}  // namespace

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

absl::Status CriLogFollower::Read() {
  if (!file_.valid()) {
    file_.Reset(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file_.valid()) {
      return errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, "open " + path_);
    }
  }
  char buffer[65536];
  while (true) {
    const ssize_t count = read(file_.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError(errno, "read " + path_);
    if (count == 0) return absl::OkStatus();
    unfinished_.append(buffer, static_cast<size_t>(count));
    size_t begin = 0;
    for (size_t end; (end = unfinished_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      AppendText(std::string_view(unfinished_).substr(begin, end - begin), &text_);
    }
    unfinished_.erase(0, begin);
    if (text_.size() + unfinished_.size() > kMaxBytes) {
      return ResourceExhausted("the container's log " + path_ + " is too long");
    }
  }
}

}  // namespace slacker::hellobench
