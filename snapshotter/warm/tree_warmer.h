// Reads into the page cache of an image's tree what a start will touch, in the order of its trace, as
// soon as the tree is attached and the boot pack has brought it: the start finds it there instead of
// asking for it through FUSE, a little at a time.
//
// Life. Plan says which parts of which files the windows of a boot pack are, OnWindows how many of
// them are on the node, OnAttached where the tree is, in any order. What is not on the node yet is
// not asked for: a start that reads it would be made to wait for more than it wants.
//
// A warmed tree tells nothing of what a start reads. So that traces go on being made of starts, and
// pages that none reads any more are forgotten, one in kWatchedOf of the trees that could be warmed is
// left alone.
//
// Memory: the files of at most kMaxTrees trees; of more, the oldest are not warmed. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/base/digest.h"
#include "backend/base/mutex.h"
#include "backend/os/page_cache.h"
#include "snapshotter/attach/tree_mounter.h"

namespace slacker {

class TreeWarmer {
 public:
  static constexpr uint64_t kWatchedOf = 16;
  static constexpr size_t kMaxTrees = 32;

  // Since the start.
  struct Stats {
    uint64_t trees = 0, bytes = 0;  // asked for; of files, read or not
  };

  // `mounter` outlives this. `draw` gives random numbers.
  TreeWarmer(TreeMounter* mounter, std::function<uint64_t()> draw)
      : mounter_(mounter), draw_(std::move(draw)) {}

  // By windows of the boot pack; one may be empty. False: the tree is to be left alone.
  bool Plan(const Digest& chain_id, std::vector<std::vector<FileRange>> windows);
  // The first `windows` of them are on the node; 0: the pack has only begun to come.
  void OnWindows(const Digest& chain_id, size_t windows);
  // The tree was just attached. False: it is not going to be warmed.
  bool OnAttached(const Digest& chain_id, const std::string& mount_path);
  // The image is gone, or the pack does not come to its end.
  void Forget(const Digest& chain_id);

  Stats GetStats() const { return {trees_, bytes_}; }

 private:
  struct Tree {
    std::vector<std::vector<FileRange>> windows;
    size_t here = 0;  // windows on the node
    size_t next = 0;  // the first that was not asked for
    std::string mount_path;
  };

  Tree& TreeOf(const Digest& chain_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const Digest& chain_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Asks for what can be.
  void Warm(const Digest& chain_id);

  TreeMounter* const mounter_;
  const std::function<uint64_t()> draw_;
  std::atomic<uint64_t> trees_ = 0, bytes_ = 0;

  Mutex mutex_;
  std::unordered_map<Digest, Tree> known_ ABSL_GUARDED_BY(mutex_);
  std::list<Digest> order_ ABSL_GUARDED_BY(mutex_);  // of known_, the oldest first
};

}  // namespace slacker
