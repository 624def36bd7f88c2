#include "tests/support/fake_backend.h"

#include <utility>

#include "backend/base/status.h"

namespace slacker::testing {

class FakeBackend::Writer final : public ObjectWriter {
 public:
  Writer(FakeBackend* fake, std::unique_ptr<ObjectWriter> writer)
      : fake_(fake), writer_(std::move(writer)) {}
  absl::Status Append(std::string_view data) override {
    bytes_ += data.size();
    return writer_->Append(data);
  }
  absl::Status Commit() override {
    RETURN_IF_ERROR(writer_->Commit());
    MutexLock lock(&fake_->mutex_);
    ++fake_->counts_.writes;
    fake_->counts_.bytes_written += bytes_;
    return absl::OkStatus();
  }

 private:
  FakeBackend* const fake_;
  const std::unique_ptr<ObjectWriter> writer_;
  uint64_t bytes_ = 0;
};

FakeBackend::~FakeBackend() { ReleaseReads(); }

void FakeBackend::HoldReads(const std::string& prefix) {
  MutexLock lock(&mutex_);
  holding_ = true;
  held_prefix_ = prefix;
}

void FakeBackend::ReleaseReads() {
  std::vector<std::function<void()>> released;
  {
    MutexLock lock(&mutex_);
    holding_ = false;
    released.swap(held_);
  }
  for (const auto& read : released) read();
}

void FakeBackend::ReleaseOneRead() {
  std::function<void()> released;
  {
    MutexLock lock(&mutex_);
    if (held_.empty()) return;
    released = std::move(held_.front());
    held_.erase(held_.begin());
  }
  released();
}

void FakeBackend::ReleaseLastRead() {
  std::function<void()> released;
  {
    MutexLock lock(&mutex_);
    if (held_.empty()) return;
    released = std::move(held_.back());
    held_.pop_back();
  }
  released();
}

void FakeBackend::WaitForHeldReads(size_t count) {
  MutexLock lock(&mutex_);
  while (held_.size() < count) changed_.Wait(&mutex_);
}

FakeBackend::Counts FakeBackend::counts() const {
  MutexLock lock(&mutex_);
  return counts_;
}

void FakeBackend::ResetCounts() {
  MutexLock lock(&mutex_);
  counts_ = {};
  reads_of_.clear();
}

uint64_t FakeBackend::ReadsOf(const std::string& name) const {
  MutexLock lock(&mutex_);
  const auto it = reads_of_.find(name);
  return it == reads_of_.end() ? 0 : it->second;
}

void FakeBackend::ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                            ReadCallback done) {
  auto counted = [this, done = std::move(done)](absl::StatusOr<std::string> bytes) {
    if (bytes.ok()) {
      MutexLock lock(&mutex_);
      counts_.bytes_read += bytes->size();
    }
    done(std::move(bytes));
  };
  {
    MutexLock lock(&mutex_);
    ++counts_.reads;
    ++reads_of_[std::string(name)];
    if (holding_ && name.starts_with(held_prefix_)) {
      held_.push_back([this, name = std::string(name), offset, size, counted] {
        memory_.ReadAsync(name, offset, size, counted);
      });
      changed_.SignalAll();
      return;
    }
  }
  memory_.ReadAsync(name, offset, size, std::move(counted));
}

absl::StatusOr<ObjectInfo> FakeBackend::Stat(std::string_view name) {
  {
    MutexLock lock(&mutex_);
    ++counts_.stats;
  }
  return memory_.Stat(name);
}

absl::StatusOr<std::unique_ptr<ObjectWriter>> FakeBackend::Create(std::string_view name) {
  ASSIGN_OR_RETURN(auto writer, memory_.Create(name));
  return std::make_unique<Writer>(this, std::move(writer));
}

absl::Status FakeBackend::Replace(std::string_view name, std::string_view content) {
  RETURN_IF_ERROR(memory_.Replace(name, content));
  MutexLock lock(&mutex_);
  ++counts_.writes;
  counts_.bytes_written += content.size();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FakeBackend::List(std::string_view prefix) {
  return memory_.List(prefix);
}

absl::Status FakeBackend::Remove(std::string_view name) { return memory_.Remove(name); }
absl::Status FakeBackend::Move(std::string_view from, std::string_view to) {
  return memory_.Move(from, to);
}

}  // namespace slacker::testing
