#include "snapshotter/core/content_sync.h"

#include <cerrno>
#include <chrono>

#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

// containerd's other changes wait meanwhile: an operator wants to know what they wait for.
constexpr std::chrono::seconds kSlow{1};

absl::Status Lost() {
  return DataLoss(
      "the disk failed to take what was written to it, perhaps of this snapshot too: remove the "
      "snapshot and unpack it again");
}

}  // namespace

void ContentSync::NoteNew(int64_t id) {
  MutexLock lock(&mutex_);
  if (failed_) new_.insert(id);
}

void ContentSync::Forget(int64_t id) {
  MutexLock lock(&mutex_);
  new_.erase(id);
}

// One call for all of a layer: thousands of files, synced one by one, would wait for the disk as often.
// Where there are none, only what the layer says of the directory itself may be new.
absl::Status ContentSync::SyncNow(const std::string& fs, const DiskUsage& usage) {
  const auto begin = clock_->Monotonic();
  const absl::Status status = usage.inodes <= 1 ? files_->Sync(fs) : files_->SyncFileSystem(fs);
  const auto took = clock_->Monotonic() - begin;
  if (took > kSlow) {
    using Milliseconds = std::chrono::milliseconds;
    Log(LogLevel::kWarning, "a commit waited long for the disk, ignoring",
        {{"directory", fs},
         {"milliseconds", std::to_string(std::chrono::duration_cast<Milliseconds>(took).count())}});
  }
  return status;
}

absl::Status ContentSync::Sync(int64_t id, const std::string& fs, const DiskUsage& usage) {
  uint64_t ticket = 0;
  {
    MutexLock lock(&mutex_);
    if (failed_ && !new_.contains(id)) return Lost();
    ticket = next_++;
    under_way_.insert(ticket);
  }
  const absl::Status status = SyncNow(fs, usage);
  MutexLock lock(&mutex_);
  under_way_.erase(ticket);
  // Without the directory nothing was synced, and nothing was lost by it.
  if (!status.ok() && ErrnoOf(status) != ENOENT) {
    failed_ = true;
    new_.clear();
  }
  ended_.SignalAll();
  RETURN_IF_ERROR(status);
  while (!under_way_.empty() && *under_way_.begin() < ticket) ended_.Wait(&mutex_);
  return failed_ && !new_.contains(id) ? Lost() : absl::OkStatus();
}

}  // namespace slacker
