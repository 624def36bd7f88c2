#include "snapshotter/warm/tree_warmer.h"

#include <algorithm>
#include <utility>

namespace slacker {

TreeWarmer::Tree& TreeWarmer::TreeOf(const Digest& chain_id) {
  const auto [found, is_new] = known_.try_emplace(chain_id);
  if (is_new) {
    order_.push_back(chain_id);
    if (order_.size() > kMaxTrees) {
      known_.erase(order_.front());
      order_.pop_front();
    }
  }
  return found->second;
}

void TreeWarmer::Drop(const Digest& chain_id) {
  order_.remove(chain_id);
  known_.erase(chain_id);
}

bool TreeWarmer::Plan(const Digest& chain_id, std::vector<std::vector<FileRange>> windows) {
  const bool watched = draw_() % kWatchedOf == 0;
  {
    MutexLock lock(&mutex_);
    if (watched) {
      Drop(chain_id);
      return false;
    }
    TreeOf(chain_id).windows = std::move(windows);
  }
  Warm(chain_id);
  return true;
}

void TreeWarmer::OnWindows(const Digest& chain_id, size_t windows) {
  {
    MutexLock lock(&mutex_);
    TreeOf(chain_id).here = windows;
  }
  Warm(chain_id);
}

bool TreeWarmer::OnAttached(const Digest& chain_id, const std::string& mount_path) {
  {
    MutexLock lock(&mutex_);
    const auto found = known_.find(chain_id);
    if (found == known_.end() || found->second.windows.empty()) return false;
    found->second.mount_path = mount_path;
  }
  ++trees_;
  Warm(chain_id);
  return true;
}

void TreeWarmer::Forget(const Digest& chain_id) {
  MutexLock lock(&mutex_);
  Drop(chain_id);
}

void TreeWarmer::Warm(const Digest& chain_id) {
  std::string mount_path;
  std::vector<FileRange> ranges;
  {
    MutexLock lock(&mutex_);
    const auto found = known_.find(chain_id);
    if (found == known_.end() || found->second.mount_path.empty()) return;
    Tree& tree = found->second;
    mount_path = tree.mount_path;
    for (; tree.next < std::min(tree.here, tree.windows.size()); ++tree.next) {
      std::move(tree.windows[tree.next].begin(), tree.windows[tree.next].end(),
                std::back_inserter(ranges));
      tree.windows[tree.next].clear();
    }
    if (tree.next == tree.windows.size()) Drop(chain_id);
  }
  for (const FileRange& range : ranges) bytes_ += range.size_bytes;
  mounter_->ReadInAdvance(mount_path, ranges);
}

}  // namespace slacker
