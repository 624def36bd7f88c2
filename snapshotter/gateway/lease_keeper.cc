#include "snapshotter/gateway/lease_keeper.h"

#include <optional>
#include <thread>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/mutex.h"
#include "backend/base/random.h"
#include "backend/base/status.h"
#include "backend/store/references.h"
#include "snapshotter/files/node_files.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {
namespace {

constexpr std::chrono::seconds kPatience{2};
constexpr size_t kNodeDigits = 32;

bool IsNodeName(std::string_view text) {
  return text.size() == kNodeDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

absl::Status AddImages(Db& db, StoreReferences* references) {
  ASSIGN_OR_RETURN(Txn txn, db.Read());
  ASSIGN_OR_RETURN(const std::vector<ImageRow> images, AllImages(txn));
  for (const ImageRow& image : images) references->chains.insert(image.chain_id);
  return absl::OkStatus();
}

}  // namespace

struct LeaseKeeper::State {
  Options options;
  std::string name;  // of the object
  Mutex mutex;
  CondVar changed;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  bool running ABSL_GUARDED_BY(mutex) = false;
  // The database goes with the daemon: not used once we are stopping.
  bool using_db ABSL_GUARDED_BY(mutex) = false;
  // Of the one thread that renews:
  std::shared_ptr<Backend> backend;
  std::optional<std::string> written;  // nothing: what is there is a predecessor's, if anything
  std::optional<std::chrono::steady_clock::time_point> written_at;

  absl::StatusOr<std::string> Lease();
  absl::Status Renew();
  void Run();
};

absl::StatusOr<std::string> LeaseKeeper::State::Lease() {
  {
    MutexLock lock(&mutex);
    if (stopping) return absl::CancelledError("stopping");
    using_db = true;
  }
  StoreReferences references;
  const absl::Status status = AddImages(*options.db, &references);
  MutexLock lock(&mutex);
  using_db = false;
  changed.SignalAll();
  RETURN_IF_ERROR(status);
  return references.chains.empty() ? std::string() : EncodeReferences(references);
}

absl::Status LeaseKeeper::State::Renew() {
  ASSIGN_OR_RETURN(const std::string lease, Lease());
  const auto now = options.clock->Monotonic();
  const bool due = !written_at.has_value() || now - *written_at >= kRenewal;
  if (lease == written && (lease.empty() || !due)) return absl::OkStatus();
  if (backend == nullptr) {
    ASSIGN_OR_RETURN(backend, options.open());
  }
  RETURN_IF_ERROR(lease.empty() ? backend->Remove(name) : backend->Replace(name, lease));
  written = lease;
  written_at = now;
  return absl::OkStatus();
}

void LeaseKeeper::State::Run() {
  std::chrono::nanoseconds wait = kInterval;
  absl::StatusCode told = absl::StatusCode::kOk;
  for (;;) {
    {
      MutexLock lock(&mutex);
      const auto until = std::chrono::steady_clock::now() + wait;
      while (!stopping && std::chrono::steady_clock::now() < until) {
        (void)changed.WaitFor(&mutex, until - std::chrono::steady_clock::now());
      }
      if (stopping) break;
    }
    const absl::Status renewed = Renew();
    wait = renewed.ok() ? std::chrono::nanoseconds(kInterval) : kRetry;
    if (!renewed.ok() && renewed.code() != told && !absl::IsCancelled(renewed)) {
      Log(LogLevel::kInfo, "the store cannot be told which images are here, its grace has to do",
          {{"object", name}, {"error", Message(renewed)}});
    }
    told = renewed.code();
  }
  MutexLock lock(&mutex);
  running = false;
  changed.SignalAll();
}

LeaseKeeper::LeaseKeeper(Options options, std::string node, bool is_new)
    : node_(std::move(node)), state_(std::make_shared<State>()) {
  state_->options = std::move(options);
  if (is_new) state_->written = "";
  state_->name = LeaseName(node_);
}

absl::StatusOr<std::unique_ptr<LeaseKeeper>> LeaseKeeper::Open(Options options) {
  const std::string path = options.root + "/node";
  const auto present = ReadSmallFile(path, kNodeDigits);
  std::string node = present.ok() ? *present : std::string();
  const bool is_new = !IsNodeName(node);
  if (is_new) {
    node = RandomHex();
    RETURN_IF_ERROR(WriteFileAtomically(path, node));
  }
  return std::unique_ptr<LeaseKeeper>(new LeaseKeeper(std::move(options), std::move(node), is_new));
}

LeaseKeeper::~LeaseKeeper() { Stop(); }

void LeaseKeeper::Start() {
  {
    MutexLock lock(&state_->mutex);
    state_->running = true;
  }
  std::thread([state = state_] { state->Run(); }).detach();
}

void LeaseKeeper::Stop() {
  MutexLock lock(&state_->mutex);
  state_->stopping = true;
  state_->changed.SignalAll();
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (state_->using_db || (state_->running && std::chrono::steady_clock::now() < until)) {
    (void)state_->changed.WaitFor(&state_->mutex, kPatience);
  }
}

absl::Status LeaseKeeper::Renew() { return state_->Renew(); }

}  // namespace slacker
