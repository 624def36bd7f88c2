#include "snapshotter/core/directories.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr uint32_t kPrivateMode = 0700;
constexpr uint32_t kWorkMode = 0711;
constexpr std::string_view kAsidePrefix = ".new-";

// The ID that a name of ours stands for.
std::optional<int64_t> IdOf(std::string_view name) {
  if (name.starts_with(kAsidePrefix)) name.remove_prefix(kAsidePrefix.size());
  int64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  if (!whole || id <= 0 || std::to_string(id) != name) return std::nullopt;
  return id;
}

// What a name that is taken, or a mount point, means to containerd is for the callers to say.
absl::Status Unexpected(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kFailedPrecondition) return Internal(Message(status));
  return status;
}

}  // namespace

SnapshotDirectories::SnapshotDirectories(FileOps* files, const std::string& root)
    : files_(files), directory_(root + "/snapshots") {}

std::string SnapshotDirectories::PathOf(int64_t id) const {
  return directory_ + "/" + std::to_string(id);
}

std::string SnapshotDirectories::AsideOf(int64_t id) const {
  return directory_ + "/" + std::string(kAsidePrefix) + std::to_string(id);
}

absl::Status SnapshotDirectories::Open(const std::unordered_set<int64_t>& known, int64_t last_id) {
  const absl::Status made = files_->MakeDirectory(directory_, kPrivateMode, 0, 0);
  if (!made.ok() && made.code() != absl::StatusCode::kFailedPrecondition) return made;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, files_->List(directory_));
  MutexLock lock(&mutex_);
  for (const std::string& name : names) {
    const std::optional<int64_t> id = IdOf(name);
    if (!id.has_value()) continue;
    last_id = std::max(last_id, *id);
    if (!known.contains(*id)) garbage_.insert(*id);
  }
  next_id_ = last_id + 1;
  return absl::OkStatus();
}

absl::Status SnapshotDirectories::Create(int64_t id, const FileOps::Owner& owner, bool with_work) {
  const absl::Status made = Make(id, owner, with_work);
  if (!made.ok()) Discard(id);
  return Unexpected(made);
}

absl::Status SnapshotDirectories::Make(int64_t id, const FileOps::Owner& owner, bool with_work) {
  const std::string aside = AsideOf(id);
  RETURN_IF_ERROR(files_->MakeDirectory(aside, kPrivateMode, 0, 0));
  SLACKER_FAILPOINT("create.aside");
  RETURN_IF_ERROR(files_->MakeDirectory(aside + "/fs", owner.mode, owner.uid, owner.gid));
  if (with_work) RETURN_IF_ERROR(files_->MakeDirectory(aside + "/work", kWorkMode, 0, 0));
  SLACKER_FAILPOINT("create.filled");
  RETURN_IF_ERROR(files_->RenameDurably(aside, PathOf(id)));
  SLACKER_FAILPOINT("create.renamed");
  // After the rename, because journaling file systems have made both durable by then: this is then
  // no second wait for the journal.
  return files_->Sync(PathOf(id));
}

absl::Status SnapshotDirectories::Delete(int64_t id) {
  RETURN_IF_ERROR(files_->RemoveTree(AsideOf(id)));
  return files_->RemoveTree(PathOf(id));
}

void SnapshotDirectories::Discard(int64_t id) {
  if (!Delete(id).ok()) AddGarbage(id);
}

void SnapshotDirectories::AddGarbage(int64_t id) {
  MutexLock lock(&mutex_);
  garbage_.insert(id);
}

absl::Status SnapshotDirectories::Collect() {
  std::set<int64_t> garbage;
  {
    MutexLock lock(&mutex_);
    garbage.swap(garbage_);
  }
  absl::Status first;
  for (const int64_t id : garbage) {
    SLACKER_FAILPOINT("cleanup.before_delete");
    const absl::Status deleted = Delete(id);
    SLACKER_FAILPOINT("cleanup.deleted");
    if (deleted.ok()) continue;
    AddGarbage(id);
    first.Update(Unexpected(deleted));
  }
  return first;
}

}  // namespace slacker
