#include "snapshotter/boot/start_traces.h"

#include <pthread.h>

#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

// How late an end may be noticed; a clock that is not the system's is looked at as often.
constexpr std::chrono::milliseconds kLookEvery{100};

}  // namespace

absl::StatusOr<std::unique_ptr<StartTraces>> StartTraces::Open(Options options) {
  RETURN_IF_ERROR(MakeDirectories(options.directory));
  std::unique_ptr<StartTraces> traces(new StartTraces(std::move(options)));
  traces->thread_ = std::thread([raw = traces.get()] {
    (void)pthread_setname_np(pthread_self(), "slk-trace");  // only a label
    raw->Watch();
  });
  return traces;
}

StartTraces::~StartTraces() { Stop(); }

void StartTraces::Stop() {
  {
    MutexLock lock(&mutex_);
    if (std::exchange(stopping_, true)) return;
    starts_.clear();
    watched_ = 0;
    changed_.SignalAll();
  }
  thread_.join();
}

std::string StartTraces::PathOf(const Digest& chain_id) const {
  return options_.directory + "/" + chain_id.ToHex();
}

void StartTraces::Begin(const Digest& chain_id, const std::vector<BlobRow>& layers) {
  if (AllocatedBytes(PathOf(chain_id)) > 0) return;
  MutexLock lock(&mutex_);
  if (stopping_ || layers.empty()) return;
  starts_.try_emplace(chain_id, std::make_unique<Start>(chain_id, layers));
  watched_ = starts_.size();
  changed_.SignalAll();
}

void StartTraces::OnRead(uint64_t blob_id, uint64_t offset, uint32_t size) {
  if (watched_.load(std::memory_order_relaxed) == 0) return;
  const auto now = options_.clock->Monotonic();
  MutexLock lock(&mutex_);
  for (const auto& [chain_id, start] : starts_) {
    const bool first = start->recording.empty();
    if (!start->recording.Note(blob_id, offset, size)) continue;
    if (first) start->first = now;
    start->last = now;
  }
}

std::vector<StartTrace> StartTraces::TakeEnded() {
  const auto now = options_.clock->Monotonic();
  std::vector<StartTrace> ended;
  for (auto next = starts_.begin(); next != starts_.end();) {
    const Start& start = *next->second;
    const bool over = !start.recording.empty() &&
                      (start.recording.IsFull() || now - start.first >= options_.longest ||
                       now - start.last >= options_.quiet);
    if (over) ended.push_back(start.recording.trace());
    next = over ? starts_.erase(next) : std::next(next);
  }
  watched_ = starts_.size();
  return ended;
}

void StartTraces::Watch() {
  for (;;) {
    std::vector<StartTrace> ended;
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && starts_.empty()) changed_.Wait(&mutex_);
      if (stopping_) return;
      (void)changed_.WaitFor(&mutex_, kLookEvery);  // whatever woke us, the starts are looked at
      ended = TakeEnded();
    }
    for (const StartTrace& trace : ended) Keep(trace);
  }
}

void StartTraces::Keep(const StartTrace& trace) {
  const auto encoded = EncodeTrace(trace);
  absl::Status kept = encoded.status();
  if (kept.ok()) kept = WriteFileAtomically(PathOf(trace.chain_id), *encoded);
  if (!kept.ok()) {
    Log(LogLevel::kWarning, "the trace of a start is not kept, ignoring",
        {{"chain", trace.chain_id.ToString()}, {"error", Message(kept)}});
    return;
  }
  Log(LogLevel::kInfo, "the start of an image was traced",
      {{"chain", trace.chain_id.ToString()}, {"pages", std::to_string(PagesOf(trace))}});
  if (options_.on_trace) options_.on_trace(trace);
}

absl::Status StartTraces::Remove(const Digest& chain_id) {
  {
    MutexLock lock(&mutex_);
    starts_.erase(chain_id);
    watched_ = starts_.size();
  }
  return RemoveFile(PathOf(chain_id));
}

absl::Status StartTraces::RemoveAllBut(const std::set<Digest>& chains) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(options_.directory));
  for (const std::string& name : names) {
    const std::string_view whole = WithoutAside(name);
    const auto chain = Digest::FromHex(whole);
    if (!chain.ok() || (whole == name && chains.contains(*chain))) continue;
    RETURN_IF_ERROR(RemoveFile(options_.directory + "/" + name));
  }
  return absl::OkStatus();
}

absl::StatusOr<StartTrace> ReadNodeTrace(const std::string& root, const Digest& chain_id) {
  ASSIGN_OR_RETURN(const std::string bytes,
                   ReadSmallFile(root + "/traces/" + chain_id.ToHex(), kMaxTraceBytes));
  return DecodeTrace(bytes, chain_id);
}

}  // namespace slacker
