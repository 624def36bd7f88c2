// The store, asked within a budget: what stands between a Prepare and a store that may not answer.
//
// Each question has a deadline; when it passes the caller goes on (DEADLINE_EXCEEDED), and the
// answer, if it still comes, is dropped. Questions run on a few threads, so that a store that hangs
// holds up those threads and nobody else.
//
// Circuit breaker: after `failures_to_open` questions in a row that the store did not answer in
// time or at all, further ones are UNAVAILABLE at once for `open_for`; then one is let through, and
// its outcome decides again. Every answer counts as one, NOT_FOUND and DATA_LOSS too. Records are
// counted apart from what is small: a store that is too slow for them alone would answer the
// question before each of them in time, and every layer of a pull would cost a budget.
//
// Thread-safe. The destructor waits for questions that are still with the store.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/store/store.h"

namespace slacker {

class StoreGateway {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Options {
    std::chrono::nanoseconds budget = std::chrono::milliseconds(500);
    int failures_to_open = 3;
    std::chrono::nanoseconds open_for = std::chrono::seconds(30);
    int threads = 8;
    Trust trust;  // whose manifests count
  };

  // `backend` may be null: no store is configured, and every answer is NOT_FOUND. Shared: the
  // filler reads from it too. `clock` must outlive the gateway.
  StoreGateway(std::shared_ptr<ReadBackend> backend, const Clock* clock, const Options& options);

  // When a question that is asked now must be answered.
  TimePoint Deadline() const { return clock_->Monotonic() + options_.budget; }

  // Whether a question would be asked now: there is a store, and the circuit breaker lets it through.
  bool WouldAsk();

  // As StoreReader, and DEADLINE_EXCEEDED or UNAVAILABLE as said above.
  absl::StatusOr<StoreReader::GrantedManifest> ReadGrantedManifest(const Digest& chain_id,
                                                                   const std::string& repository,
                                                                   TimePoint deadline);
  // In parallel; counts as one question. The first error, if there is one.
  absl::StatusOr<std::vector<RecordObject>> ReadRecords(const std::vector<Digest>& records,
                                                        TimePoint deadline);
  absl::StatusOr<Locations> ReadLocations(const Digest& record, size_t chunk_count,
                                          TimePoint deadline);

 private:
  struct Question;
  enum class Size { kSmall, kLarge };  // of the answer

  absl::Status Admit(TimePoint deadline);
  absl::Status Record(Size size, absl::Status outcome);
  bool IsOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Runs the tasks on the pool and waits for all of them, or the first error, or the deadline.
  absl::Status Ask(std::vector<std::function<absl::Status(const StoreReader&)>> tasks,
                   TimePoint deadline);
  template <typename Value>
  absl::StatusOr<Value> AskOne(std::function<absl::StatusOr<Value>(const StoreReader&)> read,
                               TimePoint deadline);

  const Clock* const clock_;
  const Options options_;
  const std::unique_ptr<StoreReader> reader_;  // null without a store

  Mutex mutex_;
  std::array<int, 2> failures_ ABSL_GUARDED_BY(mutex_) = {};  // in a row, by Size
  TimePoint closed_until_ ABSL_GUARDED_BY(mutex_);
  int stuck_ ABSL_GUARDED_BY(mutex_) = 0;  // tasks with the store that nobody waits for any more

  ThreadPool pool_;  // last: its threads use what is above
};

}  // namespace slacker
