// A store in memory that a test can hold: reads wait until they are released, and are counted.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/memory/memory_backend.h"

namespace slacker::testing {

class FakeBackend final : public Backend {
 public:
  FakeBackend() = default;
  // Releases what is held.
  ~FakeBackend() override;

  // From now on reads of objects whose names begin with `prefix` wait (Stat and writes do not).
  void HoldReads(const std::string& prefix = "");
  // Lets the waiting reads go; later ones do not wait.
  void ReleaseReads();
  // Lets the oldest waiting read go.
  void ReleaseOneRead();
  // The same for the one that came last.
  void ReleaseLastRead();
  // Blocks until `count` reads wait.
  void WaitForHeldReads(size_t count);

  struct Counts {
    uint64_t reads = 0;
    uint64_t bytes_read = 0;
    uint64_t stats = 0;
    uint64_t writes = 0;  // committed objects, replaced ones too
    uint64_t bytes_written = 0;
  };
  Counts counts() const;
  void ResetCounts();
  // How often reads of this object were asked for.
  uint64_t ReadsOf(const std::string& name) const;

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size, ReadCallback done) override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override;
  std::string Url() const override { return "memory:"; }
  bool IsNetwork() const override { return network_; }
  void SetNetwork() { network_ = true; }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override;
  absl::Status Replace(std::string_view name, std::string_view content) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override;
  absl::Status Remove(std::string_view name) override;
  absl::Status Move(std::string_view from, std::string_view to) override;

 private:
  std::atomic<bool> network_ = false;
  class Writer;

  mutable Mutex mutex_;
  CondVar changed_;
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  std::string held_prefix_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> held_ ABSL_GUARDED_BY(mutex_);
  Counts counts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t, std::less<>> reads_of_ ABSL_GUARDED_BY(mutex_);
  MemoryBackend memory_;  // last: its destructor waits for callbacks
};

}  // namespace slacker::testing
