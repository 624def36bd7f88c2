// Memory that faces /dev/fuse. The kernel copies to and from it page by page; for a process with a
// SIGKILL pending it does not wait for a page that was taken away, and fails the request instead: the
// reader would get EIO where a successor would have answered. So the pages are there and locked.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "backend/base/check.h"
#include "backend/base/mutex.h"

namespace slacker::fuse {

// One piece, locked where that is permitted; empty by default.
class LockedBuffer {
 public:
  LockedBuffer() = default;
  explicit LockedBuffer(size_t size) {
    void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SLACKER_CHECK(base != MAP_FAILED, "there is memory");
    data_ = static_cast<char*>(base);
    size_ = size;
    std::memset(data_, 0, size_);
    (void)mlock(data_, size_);  // without the permission the pages may be taken away again
  }
  LockedBuffer(LockedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  LockedBuffer& operator=(LockedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~LockedBuffer() {
    if (data_ != nullptr) (void)munmap(data_, size_);
  }

  char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

// A few of one size, made when they are first needed. Thread-safe.
class LockedBuffers {
 public:
  LockedBuffers(size_t size, size_t most) : size_(size), left_(most) {}

  // Waits for one that comes back, which takes others as long as a copy and a write(2).
  LockedBuffer Take() {
    {
      MutexLock lock(&mutex_);
      while (free_.empty() && left_ == 0) changed_.Wait(&mutex_);
      if (!free_.empty()) {
        LockedBuffer buffer = std::move(free_.back());
        free_.pop_back();
        return buffer;
      }
      --left_;
    }
    return LockedBuffer(size_);
  }
  void GiveBack(LockedBuffer buffer) {
    MutexLock lock(&mutex_);
    free_.push_back(std::move(buffer));
    changed_.Signal();
  }

 private:
  const size_t size_;
  Mutex mutex_;
  CondVar changed_;
  size_t left_ ABSL_GUARDED_BY(mutex_);  // that may still be made
  std::vector<LockedBuffer> free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker::fuse
