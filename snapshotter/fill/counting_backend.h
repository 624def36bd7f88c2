// A backend that counts what passes through it: how the node knows what it fetched. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "backend/backend.h"

namespace slacker {

// Outlives the reads under way: callbacks hold on to it.
struct TransferCounters {
  std::atomic<uint64_t> requests = 0;
  std::atomic<uint64_t> bytes = 0;
};

class CountingBackend final : public ReadBackend {
 public:
  // `backend` is not owned: what reads through this may end last on one of the backend's own
  // threads, which must not be where the backend is destroyed. It outlives every call from outside
  // its callbacks. `counters` is shared with whoever shows them.
  CountingBackend(ReadBackend* backend, std::shared_ptr<TransferCounters> counters)
      : backend_(backend), counters_(std::move(counters)) {}

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                 ReadCallback done) override {
    backend_->ReadAsync(name, offset, size, Counted(std::move(done)));
  }
  int Copies() const override { return backend_->Copies(); }
  void ReadCopyAsync(int copy, std::string_view name, uint64_t offset, uint64_t size,
                     ReadCallback done) override {
    backend_->ReadCopyAsync(copy, name, offset, size, Counted(std::move(done)));
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override {
    ++counters_->requests;
    return backend_->Stat(name);
  }
  std::string Url() const override { return backend_->Url(); }
  bool IsNetwork() const override { return backend_->IsNetwork(); }

 private:
  ReadCallback Counted(ReadCallback done) {
    ++counters_->requests;
    return [counters = counters_, done = std::move(done)](auto bytes) {
      if (bytes.ok()) counters->bytes += bytes->size();
      done(std::move(bytes));
    };
  }

  ReadBackend* const backend_;
  const std::shared_ptr<TransferCounters> counters_;
};

}  // namespace slacker
