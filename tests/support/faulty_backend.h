// A backend whose calls fail when a test says so: loop N over an operation, failing its N-th call.
// A call is one invocation of any method that reaches the store, Append and Commit of a new object
// included. A failed call has no effect. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/base/mutex.h"

namespace slacker::testing {

class FaultyBackend final : public Backend {
 public:
  explicit FaultyBackend(std::shared_ptr<Backend> base) : base_(std::move(base)) {}

  // The n-th call from now (the next is 1) fails; the others work.
  void FailCall(uint64_t n, absl::Status status);
  // The n-th call from now and all after it fail, as if the store, or this process, were gone.
  void FailFrom(uint64_t n, absl::Status status);
  // Everything works again.
  void Heal();
  // Calls since the last of the above.
  uint64_t calls() const;

  // Called for the bytes of every successful read: may change or shorten them. nullptr: no change.
  using ReadFilter =
      std::function<void(std::string_view name, uint64_t offset, std::string* bytes)>;
  void SetReadFilter(ReadFilter filter);

  // Reads and removals of these objects answer PERMISSION_DENIED, as those of another user's do.
  void Deny(std::set<std::string, std::less<>> names);

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size, ReadCallback done) override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override;
  std::string Url() const override { return base_->Url(); }
  bool IsNetwork() const override { return base_->IsNetwork(); }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override;
  absl::Status Replace(std::string_view name, std::string_view content) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override;
  absl::Status Remove(std::string_view name) override;
  absl::Status Move(std::string_view from, std::string_view to) override;

 private:
  class Writer;
  void Plan(uint64_t first, uint64_t last, absl::Status status);
  // Counts a call; its failure if one is due.
  absl::Status Pass();
  absl::Status PassTo(std::string_view name);

  const std::shared_ptr<Backend> base_;
  mutable Mutex mutex_;
  uint64_t calls_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t first_failing_ ABSL_GUARDED_BY(mutex_) = UINT64_MAX;
  uint64_t last_failing_ ABSL_GUARDED_BY(mutex_) = UINT64_MAX;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  ReadFilter filter_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string, std::less<>> denied_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker::testing
