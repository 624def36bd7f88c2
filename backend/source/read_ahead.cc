#include "backend/source/read_ahead.h"

#include <pthread.h>

#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/start_thread.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

class ReadAheadSource final : public ByteSource {
 public:
  ReadAheadSource(std::unique_ptr<ByteSource> inner, uint64_t max_bytes)
      : inner_(std::move(inner)), max_bytes_(max_bytes) {}
  ReadAheadSource(const ReadAheadSource&) = delete;
  ReadAheadSource& operator=(const ReadAheadSource&) = delete;

  ~ReadAheadSource() override {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
      changed_.SignalAll();
    }
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start() {
    ASSIGN_OR_RETURN(thread_, StartThread([this] { Produce(); }));
    (void)pthread_setname_np(thread_.native_handle(), "read-ahead");  // for people only
    return absl::OkStatus();
  }

  absl::StatusOr<std::string_view> Next() override {
    if (!thread_.joinable()) return inner_->Next();
    MutexLock lock(&mutex_);
    // Blocks are used again: allocating and unmapping each would cost more than copying it.
    if (current_.capacity() > 0) spare_.push_back(std::move(current_));
    while (blocks_.empty() && !ended_) changed_.Wait(&mutex_);
    if (blocks_.empty()) {
      current_ = std::string();
      RETURN_IF_ERROR(result_);
      return std::string_view();
    }
    current_ = std::move(blocks_.front());
    blocks_.pop_front();
    queued_bytes_ -= current_.size();
    changed_.SignalAll();
    return std::string_view(current_);
  }

 private:
  void Produce() {
    for (;;) {
      const absl::StatusOr<std::string_view> bytes = inner_->Next();
      std::string block = TakeSpare();
      if (bytes.ok()) block.assign(*bytes);
      MutexLock lock(&mutex_);
      if (!bytes.ok() || bytes->empty()) {
        ended_ = true;
        result_ = bytes.status();
        changed_.SignalAll();
        return;
      }
      queued_bytes_ += block.size();
      blocks_.push_back(std::move(block));
      changed_.SignalAll();
      while (queued_bytes_ >= max_bytes_ && !stopping_) changed_.Wait(&mutex_);
      if (stopping_) return;
    }
  }

  std::string TakeSpare() {
    MutexLock lock(&mutex_);
    if (spare_.empty()) return {};
    std::string block = std::move(spare_.back());
    spare_.pop_back();
    return block;
  }

  const std::unique_ptr<ByteSource> inner_;  // of the thread, if there is one
  const uint64_t max_bytes_;
  std::string current_;  // the reader's only
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> blocks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> spare_ ABSL_GUARDED_BY(mutex_);
  uint64_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ByteSource> ReadAhead(std::unique_ptr<ByteSource> inner, uint64_t max_bytes) {
  auto source = std::make_unique<ReadAheadSource>(std::move(inner), max_bytes);
  (void)source->Start();  // without a thread it reads when it is asked
  return source;
}

}  // namespace slacker
