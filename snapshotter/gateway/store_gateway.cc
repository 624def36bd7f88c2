#include "snapshotter/gateway/store_gateway.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

// Waiting is cut into slices, so that a clock that is not the system's is looked at too.
constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(10);

bool IsAnswer(const absl::Status& status) {
  return !absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status);
}

}  // namespace

// Shared by the caller and the tasks: either may be the last to need it.
struct StoreGateway::Question {
  Mutex mutex;
  CondVar changed;
  size_t open ABSL_GUARDED_BY(mutex) = 0;
  size_t running ABSL_GUARDED_BY(mutex) = 0;
  bool abandoned ABSL_GUARDED_BY(mutex) = false;
  absl::Status status ABSL_GUARDED_BY(mutex);
};

StoreGateway::StoreGateway(std::shared_ptr<ReadBackend> backend, const Clock* clock,
                           const Options& options)
    : clock_(clock),
      options_(options),
      reader_(backend == nullptr
                  ? nullptr
                  : std::make_unique<StoreReader>(std::move(backend), options.trust)),
      breaker_(clock, options.breaker),
      pool_("slk-store", options.threads) {}

absl::StatusOr<CircuitBreaker::Pass> StoreGateway::Admit() {
  if (reader_ == nullptr) return NotFound("no store is configured");
  {
    MutexLock lock(&mutex_);
    if (stuck_ >= options_.threads) {
      return Unavailable("every thread that asks the store waits for an answer");
    }
  }
  const Pass pass = breaker_.Admit();
  if (pass != Pass::kRefused) return pass;
  return Unavailable("the store did not answer the last questions; not asking again yet");
}

bool StoreGateway::WouldAsk() { return reader_ != nullptr && breaker_.WouldAdmit(); }

absl::Status StoreGateway::Record(Pass pass, Size size, absl::Status outcome) {
  const bool answered = IsAnswer(outcome);
  const CircuitBreaker::Report before = breaker_.Describe();
  const CircuitBreaker::Change change = breaker_.Record(pass, size, answered);
  if (!answered) {
    MutexLock lock(&mutex_);
    error_ = Message(outcome);
  }
  if (change == CircuitBreaker::Change::kOpened) {
    Log(LogLevel::kWarning, "the store does not answer pulls; they take the ordinary path, ignoring",
        {{"error", Message(outcome)}});
  } else if (change == CircuitBreaker::Change::kClosed) {
    const auto open_for =
        std::chrono::duration_cast<std::chrono::seconds>(clock_->Monotonic() - before.since);
    Log(LogLevel::kInfo, "the store answers pulls again",
        {{"seconds", std::to_string(open_for.count())},
         {"questions_spared", std::to_string(before.refused)}});
  }
  return outcome;
}

StoreGateway::Report StoreGateway::Describe() const {
  Report report;
  report.breaker = breaker_.Describe();
  MutexLock lock(&mutex_);
  report.error = error_;
  return report;
}

absl::Status StoreGateway::Ask(std::vector<std::function<absl::Status(const StoreReader&)>> tasks,
                               TimePoint deadline) {
  auto question = std::make_shared<Question>();
  MutexLock lock(&question->mutex);
  question->open = tasks.size();
  for (auto& task : tasks) {
    pool_.Add([this, question, task = std::move(task)] {
      {
        MutexLock inner(&question->mutex);
        if (question->abandoned) return;
        ++question->running;
      }
      absl::Status status = task(*reader_);
      MutexLock inner(&question->mutex);
      --question->running;
      --question->open;
      if (question->status.ok()) question->status = std::move(status);
      question->changed.SignalAll();
      if (question->abandoned) {
        MutexLock own(&mutex_);
        --stuck_;
      }
    });
  }
  while (question->open > 0 && question->status.ok()) {
    const std::chrono::nanoseconds left = deadline - clock_->Monotonic();
    if (left <= std::chrono::nanoseconds::zero()) break;
    (void)question->changed.WaitFor(&question->mutex, std::min(left, kSlice));  // looked at above
  }
  if (question->open == 0) return question->status;
  question->abandoned = true;
  {
    MutexLock own(&mutex_);
    stuck_ += static_cast<int>(question->running);
  }
  if (!question->status.ok()) return question->status;
  return DeadlineExceeded("the store did not answer within its budget");
}

template <typename Value>
absl::StatusOr<Value> StoreGateway::AskOne(
    std::function<absl::StatusOr<Value>(const StoreReader&)> read, TimePoint deadline) {
  ASSIGN_OR_RETURN(const Pass pass, Admit());
  // Shared: a late answer still needs a place to go to.
  auto value = std::make_shared<Value>();
  auto task = [value, read = std::move(read)](const StoreReader& reader) {
    auto answer = read(reader);
    if (!answer.ok()) return answer.status();
    *value = *std::move(answer);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(Record(pass, Size::kSmall, Ask({std::move(task)}, deadline)));
  return std::move(*value);
}

absl::StatusOr<StoreReader::GrantedManifest> StoreGateway::ReadGrantedManifest(
    const Digest& chain_id, const std::string& repository, TimePoint deadline) {
  return AskOne<StoreReader::GrantedManifest>(
      [chain_id, repository](const StoreReader& reader) {
        return reader.ReadGrantedManifest(chain_id, repository);
      },
      deadline);
}

absl::StatusOr<Locations> StoreGateway::ReadLocations(const Digest& record, size_t chunk_count,
                                                      TimePoint deadline) {
  return AskOne<Locations>(
      [record, chunk_count](const StoreReader& reader) {
        return reader.ReadLocations(record, chunk_count);
      },
      deadline);
}

absl::StatusOr<std::vector<RecordObject>> StoreGateway::ReadRecords(
    const std::vector<Digest>& records, TimePoint deadline) {
  if (records.empty()) return std::vector<RecordObject>();
  ASSIGN_OR_RETURN(const Pass pass, Admit());
  auto objects = std::make_shared<std::vector<RecordObject>>(records.size());
  std::vector<std::function<absl::Status(const StoreReader&)>> tasks;
  for (size_t i = 0; i < records.size(); ++i) {
    tasks.emplace_back([objects, i, record = records[i]](const StoreReader& reader) {
      auto read = reader.ReadRecord(record);
      if (!read.ok()) return read.status();
      RecordObject& object = (*objects)[i];
      object = *std::move(read);
      // Proved sound; the caller wants the sums. The names of a long chain would be large.
      object.layer.DropTree();
      return absl::OkStatus();
    });
  }
  RETURN_IF_ERROR(Record(pass, Size::kLarge, Ask(std::move(tasks), deadline)));
  return std::move(*objects);
}

}  // namespace slacker
