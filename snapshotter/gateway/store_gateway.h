// The store, asked within a budget: what stands between a Prepare and a store that may not answer.
//
// Each question has a deadline; when it passes the caller goes on (DEADLINE_EXCEEDED), and the
// answer, if it still comes, is dropped; nothing more is read for it. Questions run on a few threads, so that a store that hangs
// holds up those threads and nobody else.
//
// Circuit breaker (circuit_breaker.h): a store that did not answer some questions in a row is not
// asked for a while (UNAVAILABLE at once). Every answer counts as one, NOT_FOUND and DATA_LOSS too.
// One line in the log when it opens, one when it closes.
//
// Thread-safe. The destructor waits for questions that are still with the store.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/clock.h"
#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/store/store.h"
#include "snapshotter/gateway/circuit_breaker.h"

namespace slacker {

class StoreGateway {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Options {
    std::chrono::nanoseconds budget = std::chrono::milliseconds(500);
    CircuitBreaker::Options breaker = {};
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

  // For people. `error`: why the last question that was not answered was not; "" = there is none.
  struct Report {
    CircuitBreaker::Report breaker;
    std::string error;
  };
  Report Describe() const;

  // Until when an answer is waited for.
  struct Limit {
    Limit(TimePoint deadline) : until(deadline) {}  // NOLINT(google-explicit-constructor)
    // Of a question that is only asked in advance, in less time than the budget: that there was no
    // answer until then says nothing of the store, and the circuit breaker takes no notice of it. It
    // is not asked while that is not closed: the one question then is for who waits for the answer.
    static Limit InAdvance(TimePoint deadline) {
      Limit limit(deadline);
      limit.counts = false;
      return limit;
    }

    TimePoint until;
    bool counts = true;
  };

  // As StoreReader, and DEADLINE_EXCEEDED or UNAVAILABLE as said above.
  absl::StatusOr<StoreReader::GrantedManifest> ReadGrantedManifest(const Digest& chain_id,
                                                                   const std::string& repository,
                                                                   const Limit& limit);
  // A manifest that is asked for already, as ReadGrantedManifest would. It is called off when nobody
  // takes it; the circuit breaker takes no notice of it. Thread-compatible; gone before the gateway.
  class PendingManifest {
   public:
    PendingManifest(PendingManifest&&) noexcept = default;
    PendingManifest& operator=(PendingManifest&&) = delete;
    ~PendingManifest();
    // Waits for it. Once.
    absl::StatusOr<StoreReader::GrantedManifest> Take(TimePoint deadline);

   private:
    friend class StoreGateway;
    struct Asked;
    PendingManifest(StoreGateway* gateway, std::shared_ptr<Asked> asked)
        : gateway_(gateway), asked_(std::move(asked)) {}

    StoreGateway* const gateway_;
    std::shared_ptr<Asked> asked_;  // null: moved from, or taken
  };
  // ReadGrantedManifest, and at the same time what was published under `name`, if that is of the OCI
  // manifest `oci_manifest`, with the manifest that it leads to. The latter is a hint, which is none
  // when it fails or the entry takes more than half of the time that is left once the first manifest
  // is there, and which the circuit breaker takes no notice of. Hints wait on at most half of the
  // threads: others are none.
  struct NamedImage {
    ImageEntry entry;
    PendingManifest manifest;
  };
  struct ManifestAndNamed {
    StoreReader::GrantedManifest granted;
    std::optional<NamedImage> named;
  };
  absl::StatusOr<ManifestAndNamed> ReadManifestAndNamed(
      const Digest& chain_id, const std::string& repository, const std::string& name,
      const Digest& oci_manifest, const Platform& platform, TimePoint deadline);
  // In parallel; counts as one question. Each is handed to `take` as it comes, on this thread, those
  // that come before another one fails too. The first error, also of `take`, which is the last call.
  using TakeRecord = std::function<absl::Status(const Digest& record, RecordObject object)>;
  absl::Status ReadRecords(const std::vector<Digest>& records, const Limit& limit,
                           const TakeRecord& take);
  absl::StatusOr<Locations> ReadLocations(const Digest& record, size_t chunk_count,
                                          const Limit& limit);

 private:
  struct Question;
  class AwaitedBackend;
  using Task = std::function<absl::Status(const StoreReader& reader)>;
  using Size = CircuitBreaker::Size;
  using Pass = CircuitBreaker::Pass;

  absl::StatusOr<Pass> Admit(const Limit& limit);
  struct Hint;
  // Counts until it is destroyed. Null: too many hints are asked for.
  std::shared_ptr<void> CountHint();
  // What is published under that name, and then what it leads to. Null: too many hints are asked for.
  std::shared_ptr<Hint> BeginHint(const std::string& repository, const std::string& name,
                                  const Digest& oci_manifest, const Platform& platform);
  absl::Status Record(Pass pass, Size size, const Limit& limit, absl::Status outcome);
  // Runs the tasks on the pool. Every question that is begun is awaited.
  std::shared_ptr<Question> Begin(std::vector<Task> tasks);
  // Waits for all of them, or the first error, or the deadline.
  absl::Status Await(Question& question, TimePoint deadline);
  // Waits until fewer than *open of them are not done, and says how many; false: or for nothing more,
  // as Await.
  bool AwaitOne(Question& question, TimePoint deadline, size_t* open);
  template <typename Value>
  absl::StatusOr<Value> AskOne(std::function<absl::StatusOr<Value>(const StoreReader&)> read,
                               const Limit& limit);

  const Clock* const clock_;
  const Options options_;
  const std::shared_ptr<ReadBackend> backend_;  // null without a store

  CircuitBreaker breaker_;

  mutable Mutex mutex_;
  std::string error_ ABSL_GUARDED_BY(mutex_);
  int stuck_ ABSL_GUARDED_BY(mutex_) = 0;  // tasks with the store that nobody waits for any more
  int hints_ ABSL_GUARDED_BY(mutex_) = 0;  // that are asked for

  ThreadPool pool_;  // last: its threads use what is above
};

}  // namespace slacker
