// Directories in memory, with usage that a test sets. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/os/file_ops.h"

namespace slacker::testing {

class FakeFileOps final : public FileOps {
 public:
  void SetUsage(const std::string& path, DiskUsage usage) {
    MutexLock lock(&mutex_);
    usage_[path] = usage;
  }
  // All directories, sorted.
  std::vector<std::string> Directories() const {
    MutexLock lock(&mutex_);
    std::vector<std::string> paths;
    for (const auto& [path, owner] : directories_) paths.push_back(path);
    return paths;
  }
  int syncs() const {
    MutexLock lock(&mutex_);
    return syncs_;
  }

  // Called with the path by whoever syncs, with no lock held; the call answers what it returns.
  void OnSync(std::function<absl::Status(const std::string& path)> hook) {
    MutexLock lock(&mutex_);
    on_sync_ = std::move(hook);
  }

  absl::Status MakeDirectory(const std::string& path, uint32_t mode, uint32_t uid,
                             uint32_t gid) override {
    MutexLock lock(&mutex_);
    const bool made = directories_.emplace(path, Owner{mode, uid, gid}).second;
    return made ? absl::OkStatus() : FailedPrecondition("the name is taken: " + path);
  }

  absl::Status Sync(const std::string& path) override {
    std::function<absl::Status(const std::string& path)> hook;
    {
      MutexLock lock(&mutex_);
      ++syncs_;
      hook = on_sync_;
    }
    return hook ? hook(path) : absl::OkStatus();
  }

  absl::Status SyncFileSystem(const std::string& path) override { return Sync(path); }

  absl::Status RenameDurably(const std::string& from, const std::string& to) override {
    RETURN_IF_ERROR(Rename(from, to));
    return Sync(from);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    MutexLock lock(&mutex_);
    if (directories_.contains(to)) return FailedPrecondition("the name is taken: " + to);
    if (!directories_.contains(from)) return Internal("no such directory: " + from);
    std::map<std::string, Owner> moved;
    for (const auto& [path, owner] : directories_) {
      moved.emplace(IsBelow(path, from) ? to + path.substr(from.size()) : path, owner);
    }
    directories_ = std::move(moved);
    return absl::OkStatus();
  }

  absl::Status RemoveTree(const std::string& path) override {
    MutexLock lock(&mutex_);
    std::erase_if(directories_, [&](const auto& entry) { return IsBelow(entry.first, path); });
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    MutexLock lock(&mutex_);
    std::vector<std::string> names;
    for (const auto& [candidate, owner] : directories_) {
      const size_t slash = candidate.rfind('/');
      if (candidate.substr(0, slash) == path) names.push_back(candidate.substr(slash + 1));
    }
    return names;
  }

  absl::StatusOr<DiskUsage> Usage(const std::string& path) override {
    MutexLock lock(&mutex_);
    if (!directories_.contains(path)) return Internal("no such directory: " + path);
    const auto set = usage_.find(path);
    return set == usage_.end() ? DiskUsage{.size_bytes = 4096, .inodes = 1} : set->second;
  }

  absl::StatusOr<Owner> Stat(const std::string& path) override {
    MutexLock lock(&mutex_);
    const auto found = directories_.find(path);
    if (found == directories_.end()) return Internal("no such directory: " + path);
    return found->second;
  }

  absl::Status SetOwner(const std::string& path, const Owner& owner) override {
    MutexLock lock(&mutex_);
    const auto found = directories_.find(path);
    if (found == directories_.end()) return Internal("no such directory: " + path);
    found->second = owner;
    return absl::OkStatus();
  }

 private:
  static bool IsBelow(const std::string& path, const std::string& top) {
    return path == top || path.starts_with(top + "/");
  }

  mutable Mutex mutex_;
  std::map<std::string, Owner> directories_;
  std::map<std::string, DiskUsage> usage_;
  int syncs_ = 0;
  std::function<absl::Status(const std::string& path)> on_sync_;
};

}  // namespace slacker::testing
