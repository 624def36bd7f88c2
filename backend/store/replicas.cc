#include "backend/store/replicas.h"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/log.h"
#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

// Waiting is cut into slices, so that a clock that is not the system's is looked at too.
constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(20);

bool IsContent(std::string_view name) {
  return name.starts_with(kRecordsPrefix) || name.starts_with(kTarsPrefix) ||
         name.starts_with(kPacksPrefix) || name.starts_with(kLocationsPrefix);
}

// The place answered: it is there, whatever it has.
bool IsAnswer(const absl::Status& status) {
  return status.ok() || absl::IsNotFound(status) || absl::IsDataLoss(status) ||
         absl::IsInvalidArgument(status);
}

}  // namespace

// One read, at one or several places.
struct Replicas::Operation {
  std::string name;
  uint64_t offset = 0, size = 0;
  std::vector<size_t> order;  // of the places
  Mutex mutex;
  ReadCallback done ABSL_GUARDED_BY(mutex);  // null: answered
  size_t next ABSL_GUARDED_BY(mutex) = 0;    // into order
  size_t pending ABSL_GUARDED_BY(mutex) = 0;
  absl::Status lacking ABSL_GUARDED_BY(mutex);  // of a place that answered
  absl::Status failed ABSL_GUARDED_BY(mutex);   // of one that did not
};

struct Replicas::State : public std::enable_shared_from_this<Replicas::State> {
  struct Place {
    Report report;
    TimePoint next_try;
    bool trying = false;
    uint64_t failures_before = 0;  // it was set aside
  };
  struct Waiting {
    TimePoint deadline;
    std::weak_ptr<Operation> operation;
    size_t place;
  };

  std::vector<std::shared_ptr<ReadBackend>> backends;  // not changed
  const Clock* clock = nullptr;
  Options options;
  mutable Mutex mutex;
  CondVar changed;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::vector<Place> places ABSL_GUARDED_BY(mutex);
  std::deque<Waiting> waiting ABSL_GUARDED_BY(mutex);        // by deadline
  std::vector<ReadCallback> refused ABSL_GUARDED_BY(mutex);  // to be told so by the watch
  CondVar none_open;
  size_t open ABSL_GUARDED_BY(mutex) = 0;  // calls of places

  std::vector<size_t> Order();
  bool IsAside(size_t place);
  void Note(size_t place, const absl::Status& status);
  void Ask(size_t place, std::string_view name, uint64_t offset, uint64_t size, ReadCallback done);
  void AskNext(const std::shared_ptr<Operation>& operation);
  void Arrived(const std::shared_ptr<Operation>& operation, size_t place,
               absl::StatusOr<std::string> bytes);
  void Watch();
};

// Those that are aside come last; but one that would be preferred, and whose time has come, comes
// first for one read.
std::vector<size_t> Replicas::State::Order() {
  std::vector<size_t> order, aside;
  MutexLock lock(&mutex);
  const TimePoint now = clock->Monotonic();
  for (size_t i = 0; i < places.size(); ++i) {
    Place& place = places[i];
    if (!place.report.aside) {
      order.push_back(i);
    } else if (order.empty() && !place.trying && now >= place.next_try) {
      place.trying = true;
      order.push_back(i);
    } else {
      ++place.report.spared;
      aside.push_back(i);
    }
  }
  order.insert(order.end(), aside.begin(), aside.end());
  return order;
}

bool Replicas::State::IsAside(size_t place) {
  MutexLock lock(&mutex);
  return places[place].report.aside && clock->Monotonic() < places[place].next_try;
}

void Replicas::State::Note(size_t index, const absl::Status& status) {
  Report before;
  uint64_t failures = 0;
  {
    MutexLock lock(&mutex);
    Place& place = places[index];
    before = place.report;
    failures = before.failures - place.failures_before;
    const TimePoint now = clock->Monotonic();
    place.trying = false;
    if (IsAnswer(status)) {
      ++place.report.reads;
      place.report.aside = false;
      place.report.spared = 0;
      if (!before.aside) return;
    } else {
      ++place.report.failures;
      place.report.error = Message(status);
      place.next_try = now + options.aside_for;
      if (before.aside) return;
      place.report.aside = true;
      place.report.since = now;
      place.failures_before = before.failures;
    }
  }
  if (!before.aside) {
    Log(LogLevel::kWarning,
        "a replica of the store does not answer; the next one is asked, ignoring",
        {{"url", before.url}, {"error", Message(status)}});
    return;
  }
  const auto time =
      std::chrono::duration_cast<std::chrono::seconds>(clock->Monotonic() - before.since);
  Log(LogLevel::kInfo, "a replica of the store answers again",
      {{"url", before.url},
       {"seconds", std::to_string(time.count())},
       {"failures", std::to_string(failures)},
       {"reads_spared", std::to_string(before.spared)}});
}

void Replicas::State::Ask(size_t place, std::string_view name, uint64_t offset, uint64_t size,
                          ReadCallback done) {
  {
    MutexLock lock(&mutex);
    ++open;
  }
  backends[place]->ReadAsync(name, offset, size,
                             [self = shared_from_this(), done = std::move(done)](auto bytes) {
                               done(std::move(bytes));
                               // After this the places may be destroyed; that of this callback waits for its end.
                               MutexLock lock(&self->mutex);
                               if (--self->open == 0) self->none_open.SignalAll();
                             });
}

void Replicas::State::AskNext(const std::shared_ptr<Operation>& operation) {
  size_t place = 0;
  {
    MutexLock lock(&operation->mutex);
    if (operation->done == nullptr || operation->next == operation->order.size()) return;
    place = operation->order[operation->next++];
    ++operation->pending;
    if (operation->next < operation->order.size()) {
      MutexLock own(&mutex);
      waiting.push_back({clock->Monotonic() + options.patience, operation, place});
      changed.Signal();
    }
  }
  Ask(place, operation->name, operation->offset, operation->size,
      [this, operation, place](auto bytes) { Arrived(operation, place, std::move(bytes)); });
}

void Replicas::State::Arrived(const std::shared_ptr<Operation>& operation, size_t place,
                              absl::StatusOr<std::string> bytes) {
  const absl::Status status = bytes.status();
  bool late = false;  // another place was asked as well
  {
    MutexLock lock(&operation->mutex);
    late = operation->order[operation->next - 1] != place;
  }
  // That it comes at all does not bring back a place that was set aside for being slow.
  if (!late || !IsAnswer(status)) Note(place, status);
  const bool may_be_elsewhere = !IsAnswer(status) || absl::IsDataLoss(status) ||
                                (absl::IsNotFound(status) && IsContent(operation->name));
  bool stops = false;
  {
    MutexLock own(&mutex);
    stops = stopping;
  }
  ReadCallback done;
  {
    MutexLock lock(&operation->mutex);
    --operation->pending;
    if (operation->done == nullptr) return;
    (IsAnswer(status) ? operation->lacking : operation->failed).Update(status);
    const bool last =
        operation->pending == 0 && (stops || operation->next == operation->order.size());
    if (!may_be_elsewhere || last) {
      done = std::exchange(operation->done, nullptr);
      if (may_be_elsewhere) {
        const bool waits = IsContent(operation->name) || operation->lacking.ok();
        bytes = waits && !operation->failed.ok() ? operation->failed : operation->lacking;
      }
    } else if (stops) {
      return;
    }
  }
  if (done != nullptr) return done(std::move(bytes));
  AskNext(operation);
}

void Replicas::State::Watch() {
  for (;;) {
    std::vector<Waiting> late;
    std::vector<ReadCallback> told;
    {
      MutexLock lock(&mutex);
      if (stopping && refused.empty()) return;
      told.swap(refused);
      const TimePoint now = clock->Monotonic();
      while (!waiting.empty() &&
             (waiting.front().deadline <= now || waiting.front().operation.expired())) {
        if (!waiting.front().operation.expired()) late.push_back(std::move(waiting.front()));
        waiting.pop_front();
      }
      if (late.empty() && told.empty()) {
        if (waiting.empty()) {
          changed.Wait(&mutex);
        } else {
          (void)changed.WaitFor(&mutex, kSlice);
        }
      }
    }
    for (const ReadCallback& done : told) done(Unavailable("the replica is set aside"));
    for (const Waiting& one : late) {
      const std::shared_ptr<Operation> operation = one.operation.lock();
      if (operation == nullptr) continue;
      {
        MutexLock lock(&operation->mutex);
        // Answered, or the next place is asked already.
        if (operation->done == nullptr || operation->order[operation->next - 1] != one.place) {
          continue;
        }
      }
      Note(one.place, Unavailable("no answer for too long"));
      AskNext(operation);
    }
  }
}

Replicas::Replicas(std::vector<std::shared_ptr<ReadBackend>> places, const Clock* clock,
                   const Options& options)
    : state_(std::make_shared<State>()) {
  SLACKER_CHECK(!places.empty(), "a store is somewhere");
  state_->clock = clock;
  state_->options = options;
  {
    MutexLock lock(&state_->mutex);
    for (const auto& place : places) {
      state_->places.emplace_back();
      state_->places.back().report.url = place->Url();
    }
  }
  state_->backends = std::move(places);
  watch_ = std::thread([state = state_.get()] {
    (void)pthread_setname_np(pthread_self(), "replicas");  // only a label
    state->Watch();
  });
}

Replicas::~Replicas() {
  {
    MutexLock lock(&state_->mutex);
    state_->stopping = true;
    state_->changed.SignalAll();
  }
  watch_.join();
  {
    MutexLock lock(&state_->mutex);
    while (state_->open > 0) state_->none_open.Wait(&state_->mutex);
  }
  // Each waits for the callbacks that are about to return.
  state_->backends.clear();
}

std::vector<Replicas::Report> Replicas::Describe() const {
  std::vector<Report> reports;
  MutexLock lock(&state_->mutex);
  for (const State::Place& place : state_->places) reports.push_back(place.report);
  return reports;
}

void Replicas::ReadAsync(std::string_view name, uint64_t offset, uint64_t size, ReadCallback done) {
  // Shared: between the places that are asked.
  auto operation = std::make_shared<Operation>();
  operation->name = name;
  operation->offset = offset;
  operation->size = size;
  operation->order = state_->Order();
  {
    MutexLock lock(&operation->mutex);
    operation->done = std::move(done);
  }
  state_->AskNext(operation);
}

absl::StatusOr<ObjectInfo> Replicas::Stat(std::string_view name) {
  absl::Status lacking, failed;
  for (const size_t place : state_->Order()) {
    auto info = state_->backends[place]->Stat(name);
    state_->Note(place, info.status());
    if (info.ok() || absl::IsInvalidArgument(info.status())) return info;
    (IsAnswer(info.status()) ? lacking : failed).Update(info.status());
    if (absl::IsNotFound(info.status()) && !IsContent(name)) return info;
  }
  return (IsContent(name) || lacking.ok()) && !failed.ok() ? failed : lacking;
}

std::string Replicas::Url() const {
  std::string urls;
  for (const auto& backend : state_->backends) urls += (urls.empty() ? "" : ", ") + backend->Url();
  return urls;
}

bool Replicas::IsNetwork() const {
  return std::any_of(state_->backends.begin(), state_->backends.end(),
                     [](const auto& backend) { return backend->IsNetwork(); });
}

int Replicas::Copies() const { return static_cast<int>(state_->backends.size()); }

void Replicas::ReadCopyAsync(int copy, std::string_view name, uint64_t offset, uint64_t size,
                             ReadCallback done) {
  const auto place = static_cast<size_t>(copy);
  // One whose time has come is tried by ordinary reads.
  if (state_->IsAside(place)) {
    MutexLock lock(&state_->mutex);
    state_->refused.push_back(std::move(done));
    state_->changed.Signal();
    return;
  }
  state_->Ask(place, name, offset, size,
              [state = state_.get(), place, done = std::move(done)](auto bytes) {
                state->Note(place, bytes.status());
                done(std::move(bytes));
              });
}

}  // namespace slacker
