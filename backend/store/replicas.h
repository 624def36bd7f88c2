// One store in several places that hold the same: a ReadBackend over theirs, in order of preference.
//
// A read goes to the first place. If that does not answer, or refuses, or is silent for `patience`,
// the next one is asked as well, and the first answer counts; the place is set aside then: reads go
// past it, and, where no better place answers, after `aside_for` one read at a time tries it again,
// until it answers in time. With every place aside all are asked all the same, in their order. One line in the log when a place is set
// aside, one when it is back.
//
// What one place does not have, another may: content (records, tar parts, packs, locations) is
// NOT_FOUND only where every place says so, and UNAVAILABLE while one that may have it does not
// answer. Of everything else, which need not exist, the first answer counts; whoever knows that it
// should be there asks the copies one by one.
//
// Bytes are not verified here either: who finds an object damaged asks the other copies (backend.h).
//
// Threads: one that watches the time. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "backend/base/clock.h"

namespace slacker {

class Replicas final : public ReadBackend {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Options {
    std::chrono::nanoseconds patience = std::chrono::seconds(2);
    std::chrono::nanoseconds aside_for = std::chrono::seconds(30);
  };

  struct Report {
    std::string url;
    bool aside = false;
    TimePoint since;     // aside: since when
    std::string error;   // aside: the last failure
    uint64_t reads = 0;  // answered, of any kind
    uint64_t failures = 0;
    uint64_t spared = 0;  // aside: reads that were sent to others first since
  };

  // `clock` outlives it. REQUIRES: there is a place.
  Replicas(std::vector<std::shared_ptr<ReadBackend>> places, const Clock* clock,
           const Options& options);
  // Waits for what is under way.
  ~Replicas() override;

  std::vector<Report> Describe() const;

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size, ReadCallback done) override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override;
  std::string Url() const override;
  bool IsNetwork() const override;
  int Copies() const override;
  // UNAVAILABLE at once where the place is aside.
  void ReadCopyAsync(int copy, std::string_view name, uint64_t offset, uint64_t size,
                     ReadCallback done) override;

 private:
  struct State;
  struct Operation;

  // Shared: with the callbacks of reads under way.
  std::shared_ptr<State> state_;
  std::thread watch_;
};

}  // namespace slacker
