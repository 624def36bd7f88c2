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
// What the roots of nearly all images have.
constexpr FileOps::Owner kSpareOwner{.mode = 0755, .uid = 0, .gid = 0};

// No node comes to it; and many more can follow, whatever somebody has put there.
constexpr int64_t kMaxId = int64_t{1} << 62;

// The ID that a name of ours stands for.
std::optional<int64_t> IdOf(std::string_view name) {
  if (name.starts_with(kAsidePrefix)) name.remove_prefix(kAsidePrefix.size());
  int64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  if (!whole || id <= 0 || id > kMaxId || std::to_string(id) != name) return std::nullopt;
  return id;
}

// What a name that is taken, or a mount point, means to containerd is for the callers to say.
absl::Status Unexpected(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kFailedPrecondition) return Internal(Message(status));
  return status;
}

}  // namespace

SnapshotDirectories::SnapshotDirectories(FileOps* files, const std::string& root, int spares)
    : files_(files), directory_(root + "/snapshots"), keep_(spares) {}

SnapshotDirectories::~SnapshotDirectories() {
  if (spares_ == nullptr) return;
  for (const int64_t id : spares_->TakeAll()) (void)Delete(id);  // Open finds what is left
}

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
  std::set<int64_t> garbage;
  for (const std::string& name : names) {
    const std::optional<int64_t> id = IdOf(name);
    if (!id.has_value()) continue;
    last_id = std::max(last_id, *id);
    if (!known.contains(*id)) {
      garbage.insert(*id);
    } else if (name.starts_with(kAsidePrefix)) {
      RETURN_IF_ERROR(Annotate(files_->RenameDurably(AsideOf(*id), PathOf(*id)),
                               "placing a directory after a crash"));
    }
  }
  next_id_ = last_id + 1;
  {
    MutexLock lock(&mutex_);
    garbage_ = std::move(garbage);
  }
  spares_ =
      std::make_unique<SpareDirectories>(keep_, [this](int count) { return MakeSpares(count); });
  return absl::OkStatus();
}

void SnapshotDirectories::GiveBack(int64_t id) {
  if (keep_ == 0) {
    Discard(id);
  } else {
    spares_->GiveBack(id);
  }
}

absl::StatusOr<std::vector<int64_t>> SnapshotDirectories::MakeSpares(int count) {
  std::vector<int64_t> ids;
  absl::Status status;
  for (int i = 0; i < count && status.ok(); ++i) {
    ids.push_back(NewId());
    status = MakeSpare(AsideOf(ids.back()));
  }
  SLACKER_FAILPOINT("spare.filled");
  // The directory above first: where that commits a journal, the others are then durable too.
  if (status.ok()) status = files_->Sync(directory_);
  for (size_t i = 0; i < ids.size() && status.ok(); ++i) status = files_->Sync(AsideOf(ids[i]));
  SLACKER_FAILPOINT("spare.durable");
  if (status.ok()) return ids;
  for (const int64_t id : ids) Discard(id);
  return Unexpected(status);
}

absl::Status SnapshotDirectories::MakeSpare(const std::string& aside) {
  RETURN_IF_ERROR(files_->MakeDirectory(aside, kPrivateMode, 0, 0));
  SLACKER_FAILPOINT("spare.aside");
  RETURN_IF_ERROR(
      files_->MakeDirectory(aside + "/fs", kSpareOwner.mode, kSpareOwner.uid, kSpareOwner.gid));
  return files_->MakeDirectory(aside + "/work", kWorkMode, 0, 0);
}

absl::Status SnapshotDirectories::Place(int64_t id, const FileOps::Owner& owner) {
  const absl::Status placed = PlaceSpare(id, owner);
  if (!placed.ok()) Discard(id);
  return Unexpected(placed);
}

absl::Status SnapshotDirectories::PlaceSpare(int64_t id, const FileOps::Owner& owner) {
  if (owner != kSpareOwner) {
    const std::string fs = AsideOf(id) + "/fs";
    RETURN_IF_ERROR(files_->SetOwner(fs, owner));
    RETURN_IF_ERROR(files_->Sync(fs));
  }
  RETURN_IF_ERROR(files_->Rename(AsideOf(id), PathOf(id)));
  SLACKER_FAILPOINT("create.placed");
  return absl::OkStatus();
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
    while (collecting_) collected_.Wait(&mutex_);
    collecting_ = true;
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
  MutexLock lock(&mutex_);
  collecting_ = false;
  collected_.Signal();
  return first;
}

}  // namespace slacker
