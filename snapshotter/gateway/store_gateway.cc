#include "snapshotter/gateway/store_gateway.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/store/find_image.h"

namespace slacker {
namespace {

// Waiting is cut into slices, so that a clock that is not the system's is looked at too.
constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(10);
// Of the records of one question, which may be those of a long chain.
constexpr size_t kMaxKeptTreesBytes = size_t{32} << 20;

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
  std::atomic<bool> abandoned = false;  // set with the mutex held
  absl::Status status ABSL_GUARDED_BY(mutex);
};

// The store, as long as the answer is waited for. A large record would hold up its thread, and the
// link, when it has come too late already.
class StoreGateway::AwaitedBackend final : public ReadBackend {
 public:
  AwaitedBackend(std::shared_ptr<ReadBackend> backend, std::shared_ptr<const Question> question)
      : backend_(std::move(backend)), question_(std::move(question)) {}

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                 ReadCallback done) override {
    if (question_->abandoned) return done(GivenUp());
    backend_->ReadAsync(name, offset, size, std::move(done));
  }
  int Copies() const override { return backend_->Copies(); }
  void ReadCopyAsync(int copy, std::string_view name, uint64_t offset, uint64_t size,
                     ReadCallback done) override {
    if (question_->abandoned) return done(GivenUp());
    backend_->ReadCopyAsync(copy, name, offset, size, std::move(done));
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override {
    if (question_->abandoned) return GivenUp();
    return backend_->Stat(name);
  }
  std::string Url() const override { return backend_->Url(); }
  bool IsNetwork() const override { return backend_->IsNetwork(); }

 private:
  static absl::Status GivenUp() { return absl::CancelledError("nobody waits for the answer"); }

  const std::shared_ptr<ReadBackend> backend_;
  const std::shared_ptr<const Question> question_;
};

StoreGateway::StoreGateway(std::shared_ptr<ReadBackend> backend, const Clock* clock,
                           const Options& options)
    : clock_(clock),
      options_(options),
      backend_(std::move(backend)),
      breaker_(clock, options.breaker),
      pool_("slk-store", options.threads) {}

absl::StatusOr<CircuitBreaker::Pass> StoreGateway::Admit(const Limit& limit) {
  if (backend_ == nullptr) return NotFound("no store is configured");
  {
    MutexLock lock(&mutex_);
    if (stuck_ >= options_.threads) {
      return Unavailable("every thread that asks the store waits for an answer");
    }
  }
  // The one question that an open breaker lets through is for those who wait for its answer.
  const bool spare = !limit.counts && breaker_.Describe().state != CircuitBreaker::State::kClosed;
  const Pass pass = spare ? Pass::kRefused : breaker_.Admit();
  if (pass != Pass::kRefused) return pass;
  return Unavailable("the store did not answer the last questions; not asking again yet");
}

bool StoreGateway::WouldAsk() { return backend_ != nullptr && breaker_.WouldAdmit(); }

absl::Status StoreGateway::Record(Pass pass, Size size, const Limit& limit, absl::Status outcome) {
  if (!limit.counts && absl::IsDeadlineExceeded(outcome)) {
    breaker_.GiveBack(pass);
    return outcome;
  }
  const bool answered = IsAnswer(outcome);
  const CircuitBreaker::Report before = breaker_.Describe();
  const CircuitBreaker::Change change = breaker_.Record(pass, size, answered);
  if (!answered) {
    MutexLock lock(&mutex_);
    error_ = Message(outcome);
  }
  if (change == CircuitBreaker::Change::kOpened) {
    Log(LogLevel::kWarning,
        "the store does not answer pulls; they take the ordinary path, ignoring",
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

std::shared_ptr<StoreGateway::Question> StoreGateway::Begin(std::vector<Task> tasks) {
  auto question = std::make_shared<Question>();
  {
    MutexLock lock(&question->mutex);
    question->open = tasks.size();
  }
  for (auto& task : tasks) {
    pool_.Add([this, question, task = std::move(task)] {
      {
        MutexLock inner(&question->mutex);
        if (question->abandoned) return;
        ++question->running;
      }
      const StoreReader reader(std::make_shared<AwaitedBackend>(backend_, question),
                               options_.trust);
      absl::Status status = task(reader);
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
  return question;
}

bool StoreGateway::AwaitOne(Question& question, TimePoint deadline, size_t* open) {
  MutexLock lock(&question.mutex);
  while (question.open > 0 && question.status.ok()) {
    if (question.open < *open) break;
    const std::chrono::nanoseconds left = deadline - clock_->Monotonic();
    if (left <= std::chrono::nanoseconds::zero()) return false;
    (void)question.changed.WaitFor(&question.mutex, std::min(left, kSlice));  // looked at above
  }
  *open = question.open;
  return question.open > 0 && question.status.ok();
}

absl::Status StoreGateway::Await(Question& question, TimePoint deadline) {
  size_t open = 0;
  (void)AwaitOne(question, deadline, &open);  // fewer than none: all
  MutexLock lock(&question.mutex);
  if (question.open == 0) return question.status;
  question.abandoned = true;
  {
    MutexLock own(&mutex_);
    stuck_ += static_cast<int>(question.running);
  }
  if (!question.status.ok()) return question.status;
  return DeadlineExceeded("the store did not answer within its budget");
}

template <typename Value>
absl::StatusOr<Value> StoreGateway::AskOne(
    std::function<absl::StatusOr<Value>(const StoreReader&)> read, const Limit& limit) {
  ASSIGN_OR_RETURN(const Pass pass, Admit(limit));
  // Shared: a late answer still needs a place to go to.
  auto value = std::make_shared<Value>();
  Task task = [value, read = std::move(read)](const StoreReader& reader) {
    auto answer = read(reader);
    if (!answer.ok()) return answer.status();
    *value = *std::move(answer);
    return absl::OkStatus();
  };
  const auto question = Begin({std::move(task)});
  RETURN_IF_ERROR(Record(pass, Size::kSmall, limit, Await(*question, limit.until)));
  return std::move(*value);
}

absl::StatusOr<StoreReader::GrantedManifest> StoreGateway::ReadGrantedManifest(
    const Digest& chain_id, const std::string& repository, const Limit& limit) {
  return AskOne<StoreReader::GrantedManifest>(
      [chain_id, repository](const StoreReader& reader) {
        return reader.ReadGrantedManifest(chain_id, repository);
      },
      limit);
}

struct StoreGateway::PendingManifest::Asked {
  StoreReader::GrantedManifest granted;
  std::shared_ptr<Question> question;
};

absl::StatusOr<StoreReader::GrantedManifest> StoreGateway::PendingManifest::Take(
    TimePoint deadline) {
  const std::shared_ptr<Asked> asked = std::move(asked_);
  RETURN_IF_ERROR(gateway_->Await(*asked->question, deadline));
  return std::move(asked->granted);
}

StoreGateway::PendingManifest::~PendingManifest() {
  // Every question that is begun is awaited.
  if (asked_ == nullptr) return;
  (void)gateway_->Await(*asked_->question, gateway_->clock_->Monotonic());  // not waited for
}

struct StoreGateway::Hint {
  ImageEntry entry;
  std::shared_ptr<Question> question;  // for the entry
  Mutex mutex;
  std::shared_ptr<PendingManifest::Asked> manifest ABSL_GUARDED_BY(mutex);
  bool dropped ABSL_GUARDED_BY(mutex) = false;  // nobody is going to take it
};

std::shared_ptr<void> StoreGateway::CountHint() {
  {
    MutexLock lock(&mutex_);
    if (hints_ >= std::max(options_.threads / 2, 1)) return nullptr;
    ++hints_;
  }
  return {this, [](StoreGateway* gateway) {
            MutexLock lock(&gateway->mutex_);
            --gateway->hints_;
          }};
}

std::shared_ptr<StoreGateway::Hint> StoreGateway::BeginHint(const std::string& repository,
                                                            const std::string& name,
                                                            const Digest& oci_manifest,
                                                            const Platform& platform) {
  // Goes with the last task, also with one that is never begun because nobody waits any more.
  const std::shared_ptr<void> counted = CountHint();
  if (counted == nullptr) return nullptr;
  auto hint = std::make_shared<Hint>();
  auto read = [=, this](const StoreReader& reader) -> absl::Status {
    ASSIGN_OR_RETURN(hint->entry, FindImage(reader.backend(), name, platform));
    // A name that leads to another image by now, or did when it was published.
    if (hint->entry.manifest_digest != oci_manifest.ToString()) {
      return NotFound(name + " is another image");
    }
    // Behind it, and not in it: who waits for the entry goes on.
    auto asked = std::make_shared<PendingManifest::Asked>();
    MutexLock lock(&hint->mutex);
    if (hint->dropped) return absl::CancelledError("nobody waits for it");
    asked->question =
        Begin({[=, whole = hint->entry.chain_id](const StoreReader& of_manifests) -> absl::Status {
          (void)counted;
          ASSIGN_OR_RETURN(asked->granted, of_manifests.ReadGrantedManifest(whole, repository));
          return absl::OkStatus();
        }});
    hint->manifest = std::move(asked);
    return absl::OkStatus();
  };
  hint->question = Begin({std::move(read)});
  return hint;
}

absl::StatusOr<StoreGateway::ManifestAndNamed> StoreGateway::ReadManifestAndNamed(
    const Digest& chain_id, const std::string& repository, const std::string& name,
    const Digest& oci_manifest, const Platform& platform, TimePoint deadline) {
  ASSIGN_OR_RETURN(const Pass pass, Admit(deadline));
  // Shared: a late answer still needs a place to go to.
  auto granted = std::make_shared<StoreReader::GrantedManifest>();
  const auto manifest = Begin({[=](const StoreReader& reader) -> absl::Status {
    ASSIGN_OR_RETURN(*granted, reader.ReadGrantedManifest(chain_id, repository));
    return absl::OkStatus();
  }});
  const auto hint = BeginHint(repository, name, oci_manifest, platform);
  const absl::Status answered = Await(*manifest, deadline);
  const TimePoint now = clock_->Monotonic();
  const bool named = hint != nullptr &&
                     Await(*hint->question, answered.ok() ? now + (deadline - now) / 2 : now).ok();
  ManifestAndNamed both;
  std::shared_ptr<PendingManifest::Asked> asked;
  if (hint != nullptr) {
    MutexLock lock(&hint->mutex);
    hint->dropped = !named;
    asked = hint->manifest;
  }
  if (asked != nullptr) {
    PendingManifest pending(this, std::move(asked));  // called off unless it is handed out
    if (named) both.named.emplace(NamedImage{hint->entry, std::move(pending)});
  }
  RETURN_IF_ERROR(Record(pass, Size::kSmall, deadline, answered));
  both.granted = std::move(*granted);
  return both;
}

absl::StatusOr<Locations> StoreGateway::ReadLocations(const Digest& record, size_t chunk_count,
                                                      const Limit& limit) {
  return AskOne<Locations>(
      [record, chunk_count](const StoreReader& reader) {
        return reader.ReadLocations(record, chunk_count);
      },
      limit);
}

absl::Status StoreGateway::ReadRecords(const std::vector<Digest>& records, const Limit& limit,
                                       const TakeRecord& take) {
  if (records.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Pass pass, Admit(limit));
  // Written by its task, and then read by who finds it there.
  struct Place {
    RecordObject object;
    std::atomic<bool> there = false;
    bool taken = false;
  };
  auto places = std::make_shared<std::vector<Place>>(records.size());
  auto kept_bytes = std::make_shared<std::atomic<size_t>>(0);
  std::vector<Task> tasks;
  for (size_t i = 0; i < records.size(); ++i) {
    tasks.emplace_back(
        [places, kept_bytes, i, record = records[i]](const StoreReader& reader) -> absl::Status {
          Place& place = (*places)[i];
          ASSIGN_OR_RETURN(place.object, reader.ReadRecord(record));
          // Proved sound: who needs a tree that is too much can decode it again.
          Layer& layer = place.object.layer;
          const size_t bytes = layer.MemoryBytes();
          if (kept_bytes->fetch_add(bytes) + bytes > kMaxKeptTreesBytes) layer.DropTree();
          place.there = true;
          return absl::OkStatus();
        });
  }
  const auto question = Begin(std::move(tasks));
  const auto take_those_there = [&]() -> absl::Status {
    for (size_t i = 0; i < records.size(); ++i) {
      Place& place = (*places)[i];
      if (place.taken || !place.there) continue;
      place.taken = true;
      RETURN_IF_ERROR(take(records[i], std::move(place.object)));
    }
    return absl::OkStatus();
  };
  absl::Status taken;
  for (size_t open = records.size(); taken.ok() && AwaitOne(*question, limit.until, &open);) {
    taken = take_those_there();
  }
  absl::Status answered = Await(*question, taken.ok() ? limit.until : clock_->Monotonic());
  // What is wrong here says nothing of the store: it has answered.
  answered = Record(pass, Size::kLarge, limit, taken.ok() ? answered : absl::OkStatus());
  if (taken.ok()) taken = take_those_there();
  RETURN_IF_ERROR(taken);
  return answered;
}

}  // namespace slacker
