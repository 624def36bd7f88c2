#include "tests/support/faulty_backend.h"

#include <utility>

#include "backend/base/status.h"

namespace slacker::testing {

class FaultyBackend::Writer final : public ObjectWriter {
 public:
  Writer(FaultyBackend* faulty, std::unique_ptr<ObjectWriter> writer)
      : faulty_(faulty), writer_(std::move(writer)) {}
  absl::Status Append(std::string_view data) override {
    RETURN_IF_ERROR(faulty_->Pass());
    return writer_->Append(data);
  }
  absl::Status Commit() override {
    RETURN_IF_ERROR(faulty_->Pass());
    return writer_->Commit();
  }

 private:
  FaultyBackend* const faulty_;
  const std::unique_ptr<ObjectWriter> writer_;
};

void FaultyBackend::Plan(uint64_t first, uint64_t last, absl::Status status) {
  MutexLock lock(&mutex_);
  calls_ = 0;
  first_failing_ = first;
  last_failing_ = last;
  failure_ = std::move(status);
}

void FaultyBackend::FailCall(uint64_t n, absl::Status status) { Plan(n, n, std::move(status)); }

void FaultyBackend::FailFrom(uint64_t n, absl::Status status) {
  Plan(n, UINT64_MAX, std::move(status));
}

void FaultyBackend::Heal() { Plan(UINT64_MAX, UINT64_MAX, absl::OkStatus()); }

uint64_t FaultyBackend::calls() const {
  MutexLock lock(&mutex_);
  return calls_;
}

void FaultyBackend::SetReadFilter(ReadFilter filter) {
  MutexLock lock(&mutex_);
  filter_ = std::move(filter);
}

absl::Status FaultyBackend::Pass() {
  MutexLock lock(&mutex_);
  ++calls_;
  return calls_ >= first_failing_ && calls_ <= last_failing_ ? failure_ : absl::OkStatus();
}

void FaultyBackend::Deny(std::set<std::string, std::less<>> names) {
  MutexLock lock(&mutex_);
  denied_ = std::move(names);
}

absl::Status FaultyBackend::PassTo(std::string_view name) {
  RETURN_IF_ERROR(Pass());
  MutexLock lock(&mutex_);
  return denied_.contains(name) ? PermissionDenied(std::string(name)) : absl::OkStatus();
}

void FaultyBackend::ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                              ReadCallback done) {
  ReadFilter filter;
  {
    MutexLock lock(&mutex_);
    filter = filter_;
  }
  base_->ReadAsync(name, offset, size,
                   [failure = PassTo(name), filter = std::move(filter), done = std::move(done),
                    name = std::string(name), offset](absl::StatusOr<std::string> bytes) {
                     if (!failure.ok()) return done(failure);
                     if (bytes.ok() && filter) filter(name, offset, &*bytes);
                     done(std::move(bytes));
                   });
}

absl::StatusOr<ObjectInfo> FaultyBackend::Stat(std::string_view name) {
  RETURN_IF_ERROR(Pass());
  return base_->Stat(name);
}

absl::StatusOr<std::unique_ptr<ObjectWriter>> FaultyBackend::Create(std::string_view name) {
  RETURN_IF_ERROR(Pass());
  ASSIGN_OR_RETURN(auto writer, base_->Create(name));
  return std::make_unique<Writer>(this, std::move(writer));
}

absl::Status FaultyBackend::Replace(std::string_view name, std::string_view content) {
  RETURN_IF_ERROR(Pass());
  return base_->Replace(name, content);
}

absl::StatusOr<std::vector<std::string>> FaultyBackend::List(std::string_view prefix) {
  RETURN_IF_ERROR(Pass());
  return base_->List(prefix);
}

absl::Status FaultyBackend::Remove(std::string_view name) {
  RETURN_IF_ERROR(PassTo(name));
  return base_->Remove(name);
}

absl::Status FaultyBackend::Move(std::string_view from, std::string_view to) {
  RETURN_IF_ERROR(Pass());
  return base_->Move(from, to);
}

}  // namespace slacker::testing
