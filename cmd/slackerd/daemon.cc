#include "cmd/slackerd/daemon.h"

#include <chrono>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/os/file_ops.h"
#include "backend/source/platform.h"
#include "backend/store/names.h"
#include "cmd/common/sibling_program.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerd/config_files.h"
#include "cmd/slackerd/root_directory.h"
#include "snapshotter/attach/fuse_connection.h"
#include "snapshotter/service/server.h"

namespace slacker {
namespace {

constexpr char kKeeper[] = "slackerd-keeper";
constexpr char kAttachHelper[] = "slackerd-attach";
constexpr char kTool[] = "slackerctl";
// More than the Prepares of one container start.
constexpr int kSpareDirectories = 64;

absl::StatusOr<std::string> Sibling(const char* program) {
  ASSIGN_OR_RETURN(const std::string directory, ProgramDirectory());
  return directory + "/" + program;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Open(const Config& config) {
  std::unique_ptr<Daemon> daemon(new Daemon);
  daemon->root_ = config.root;
  daemon->started_unix_seconds_ = SystemClock().WallNanos() / 1'000'000'000;
  RETURN_IF_ERROR(daemon->OpenStore(config));
  std::vector<std::string> stores = config.store_replicas;
  stores.push_back(config.store_url);
  RETURN_IF_ERROR(PrepareRoot(config.root, stores));
  // First of all: a newer version's keeper is not to be replaced by ours either.
  RETURN_IF_ERROR(Db::CheckVersion(config.root + "/slacker.db"));
  ASSIGN_OR_RETURN(const std::string run_dir, RootRunDir(config.run_dir, config.root));
  ASSIGN_OR_RETURN(const std::string keeper, Sibling(kKeeper));
  ASSIGN_OR_RETURN(
      daemon->keeper_,
      KeeperClient::Open({.root = config.root,
                          .run_dir = run_dir,
                          .keeper_path = keeper,
                          .deadline_seconds = static_cast<int>(config.keeper_deadline_seconds)}));
  ASSIGN_OR_RETURN(daemon->db_, Db::Open(config.root + "/slacker.db"));
  RETURN_IF_ERROR(daemon->OpenFiller(config));
  ASSIGN_OR_RETURN(
      daemon->connection_,
      FuseConnection::Open({.run_dir = run_dir}, daemon->keeper_.get(), daemon->filler_.get()));
  ASSIGN_OR_RETURN(const std::string helper, Sibling(kAttachHelper));
  ASSIGN_OR_RETURN(
      daemon->mounter_,
      KernelTreeMounter::Open({.helper_path = helper, .cache_directory = config.root + "/blobs"},
                              daemon->connection_.get(), daemon->keeper_.get()));
  if (config.publish_auto) RETURN_IF_ERROR(daemon->OpenAutoPublisher(config));
  RETURN_IF_ERROR(daemon->OpenImages(config));
  // Through a web server nothing can be written: such nodes rely on the grace of gc.
  if (!config.store_url.empty() && CanBeListed(config.store_url)) {
    ASSIGN_OR_RETURN(
        daemon->lease_,
        LeaseKeeper::Open({.root = config.root,
                           .db = daemon->db_.get(),
                           .clock = &SystemClock(),
                           .open = [url = config.store_url] { return OpenExistingBackend(url); }}));
    daemon->lease_->Start();
  }
  daemon->LookForStore();
  daemon->cleanup_ = std::thread([raw = daemon.get()] {
    if (const absl::Status status = raw->snapshotter_->Cleanup(); !status.ok()) {
      Log(LogLevel::kWarning, "clean-up at start failed, ignoring", {{"error", Message(status)}});
    }
  });
  return daemon;
}

absl::Status Daemon::OpenStore(const Config& config) {
  RETURN_IF_ERROR(CheckAccessFiles(config));
  if (config.publish_request) {
    ASSIGN_OR_RETURN(std::shared_ptr<Backend> backend, OpenNodeBackend(config.store_url));
    requests_ = std::make_unique<RequestWriter>(backend, HostPlatform());
    backend_ = std::move(backend);
  } else if (!config.store_url.empty()) {
    ASSIGN_OR_RETURN(backend_, OpenReadBackend(config.store_url, config.store_access));
  }
  if (backend_ != nullptr) places_ = {backend_};
  if (!config.store_replicas.empty()) RETURN_IF_ERROR(OpenReplicas(config));
  if (backend_ != nullptr) {
    ASSIGN_OR_RETURN(trust_.keys, ReadTrustedKeys(config));
    trust_.insecure = config.store_insecure;
    RETURN_IF_ERROR(Annotate(CheckTrust(*backend_, trust_),
                             "set store.trusted_keys, or store.insecure to true"));
  }
  return CheckPublishing(config, trust_.keys);
}

// Who has mistyped the URL, or forgotten to mount it, is not to learn it from slow pulls. Nor is the
// first pull to find out where the store's directories are, one round trip after the other.
void Daemon::LookForStore() {
  const Digest none;
  for (const auto& place : places_) {
    for (const std::string& name :
         {GrantName({none, ""}, std::nullopt), ImageName("", HostPlatform()), BootPackName(none),
          RecordName(none), LocationsName(none), PackName(none)}) {
      place->ReadAsync(name, 0, 1, [](const auto&) {});  // the one below tells
    }
    place->ReadAsync(
        ManifestName(Digest(), std::nullopt), 0, 1,
        [url = place->Url()](const absl::StatusOr<std::string>& answer) {
          if (answer.ok() || absl::IsNotFound(answer.status())) return;
          Log(LogLevel::kWarning,
              "the store cannot be read at the start; until it can, pulls are ordinary",
              {{"url", url}, {"error", Message(answer.status())}});
        });
  }
}

absl::Status Daemon::OpenFiller(const Config& config) {
  StartTraces::Options traces;
  traces.directory = config.root + "/traces";
  traces.clock = &SystemClock();
  if (requests_ != nullptr) {
    traces.on_trace = [this](const StartTrace& trace) { requests_->Leave(trace); };
  }
  ASSIGN_OR_RETURN(traces_, StartTraces::Open(std::move(traces)));
  BlobFiller::Options options;
  options.observer = traces_.get();
  options.root = config.root;
  options.db = db_.get();
  options.clock = &SystemClock();
  options.backend = backend_;
  options.fill.stall_timeout = std::chrono::seconds(config.store_stall_seconds);
  ASSIGN_OR_RETURN(filler_, BlobFiller::Open(std::move(options)));
  return absl::OkStatus();
}

// What is written (leases, requests, traces) goes to the first one alone: replicas are copies of it.
absl::Status Daemon::OpenReplicas(const Config& config) {
  for (const std::string& url : config.store_replicas) {
    ASSIGN_OR_RETURN(places_.emplace_back(), OpenReadBackend(url, config.store_access));
  }
  replicas_ = std::make_shared<Replicas>(places_, &SystemClock(), Replicas::Options());
  backend_ = replicas_;
  return absl::OkStatus();
}

absl::Status Daemon::OpenAutoPublisher(const Config& config) {
  // Nothing is asked for in a store that does not answer: the first image needs an empty one. Those
  // behind servers have to be made by hand.
  if (config.store_url.starts_with("loopback:") &&
      absl::IsUnavailable(OpenExistingBackend(config.store_url).status())) {
    RETURN_IF_ERROR(OpenBackend(config.store_url).status());
  }
  ASSIGN_OR_RETURN(const std::string tool, Sibling(kTool));
  std::vector<std::string> command = {tool,
                                      "publish",
                                      "--serve",
                                      "--node",
                                      root_,
                                      "--store",
                                      config.store_url,
                                      "--containerd-address",
                                      config.publish_containerd};
  for (const std::string& key : config.trusted_keys) {
    command.insert(command.end(), {"--trusted-key", key});
  }
  if (!config.publish_key.empty()) {
    command.insert(command.end(), {"--key", config.publish_key});
  }
  ASSIGN_OR_RETURN(publisher_, AutoPublisher::Open({.root = root_, .command = std::move(command)}));
  return absl::OkStatus();
}

absl::Status Daemon::OpenImages(const Config& config) {
  ImageManager::Options options;
  options.root = config.root;
  options.db = db_.get();
  options.clock = &SystemClock();
  options.filler = filler_.get();
  options.mounter = mounter_.get();
  options.traces = traces_.get();
  options.backend = backend_;
  options.gateway.budget = std::chrono::milliseconds(config.store_budget_ms);
  options.gateway.trust = trust_;
  options.private_by_cri_annotations = config.store_private == kPrivateByCri;
  options.platform = HostPlatform();
  ASSIGN_OR_RETURN(images_, ImageManager::Open(std::move(options)));
  RETURN_IF_ERROR(images_->Start());
  StartCare(config);
  if (backend_ != nullptr) {
    prover_ = std::make_unique<LayerProver>(LayerProver::Options{
        .db = db_.get(), .filler = filler_.get(), .backend = backend_, .busy = [this] {
          return OthersAreBusy();
        }});
  }
  ASSIGN_OR_RETURN(snapshotter_,
                   CoreSnapshotter::Open(db_.get(), &SystemFileOps(), images_.get(), &SystemClock(),
                                         {.root = config.root,
                                          .overlay_index_off = KernelHasOverlayIndex(),
                                          .sync_commits = config.sync_commits,
                                          .spare_directories = kSpareDirectories,
                                          .on_decision = [this](const PathDecision& decision) {
                                            Decided(decision);
                                          }}));
  return absl::OkStatus();
}

// Tests use all processors, and would wait for what gives way to them.
bool Daemon::OthersAreBusy() { return !SLACKER_WITHOUT("processor_times") && processors_.Busy(); }

void Daemon::StartCare(const Config& config) {
  // Whatever wants the store, has just pulled an image, or starts a container.
  const auto activity = [filler = filler_.get(), images = images_.get()] {
    const FillStats fill = filler->Stats();
    return fill.reads - fill.read_hits + images->Stats().store_requests +
           images->BootPackStats().bytes + images->AttachCalls();
  };
  const auto busy = [this] { return OthersAreBusy(); };
  scrubber_ = std::make_unique<Scrubber>(Scrubber::Options{
      .db = db_.get(), .filler = filler_.get(), .activity = activity, .busy = busy});
  const CacheSpace::Limits limits{.max_bytes = static_cast<uint64_t>(config.cache_max_bytes),
                                  .min_free_percent = MinFreePercent(config)};
  space_ = std::make_unique<CacheSpace>(
      limits, [directory = config.root + "/blobs", with_caches = limits.max_bytes > 0] {
        return CacheSpace::MeasureDirectory(directory, with_caches);
      });
  Evictor::Options eviction;
  eviction.db = db_.get();
  eviction.filler = filler_.get();
  eviction.mounter = mounter_.get();
  eviction.space = space_.get();
  eviction.collect = [images = images_.get()] { return images->Collect(); };
  eviction.ask_store = [images = images_.get()](const Digest& record, size_t chunks) {
    return images->AskForChunks(record, chunks);
  };
  evictor_ = std::make_unique<Evictor>(std::move(eviction));
  if (config.cache_complete == "off") return;
  Completer::Options options;
  options.root = config.root;
  options.db = db_.get();
  options.filler = filler_.get();
  options.mounter = mounter_.get();
  options.bytes_per_second = static_cast<uint64_t>(config.cache_complete_rate);
  options.activity = activity;
  options.busy = busy;
  options.room = [space = space_.get()] { return space->Room(); };
  completer_ = std::make_unique<Completer>(std::move(options));
}

void Daemon::Decided(const PathDecision& decision) {
  LogPathDecision(decision);
  if (decision.reason != kNotPublished) return;
  if (requests_ != nullptr) requests_->Note(decision.ref, decision.labels);
  if (publisher_ != nullptr) publisher_->Note(decision.ref, decision.key, decision.labels);
}

// A start that failed before there was a mounter. Images that a predecessor left attached need it.
void Daemon::EndKeeperWithoutFuse() {
  const auto names = keeper_->List();
  absl::Status ended = names.status();
  if (names.ok()) {
    const bool needed = std::ranges::any_of(
        *names, [](const std::string& name) { return name.starts_with(kFuseDevicePrefix); });
    if (needed) return;
    ended = keeper_->Bye();
  }
  if (!ended.ok()) {
    Log(LogLevel::kWarning, "the keeper was left running, ignoring", {{"error", Message(ended)}});
  }
}

void Daemon::Stop() {
  if (std::exchange(stopped_, true)) return;
  if (publisher_ != nullptr) publisher_->Stop();
  if (lease_ != nullptr) lease_->Stop();
  if (cleanup_.joinable()) cleanup_.join();
  snapshotter_.reset();
  if (prover_ != nullptr) prover_->Stop();
  if (traces_ != nullptr) traces_->Stop();
  evictor_.reset();
  completer_.reset();
  scrubber_.reset();
  if (images_ != nullptr) images_->Stop();
  if (mounter_ != nullptr) {
    if (const auto ended = mounter_->EndIfIdle(); !ended.ok()) {
      Log(LogLevel::kWarning, "the keeper was left running, ignoring",
          {{"error", Message(ended.status())}});
    }
  } else if (keeper_ != nullptr) {
    EndKeeperWithoutFuse();
  }
  mounter_.reset();
  connection_.reset();
  if (filler_ != nullptr) filler_->Stop();
}

Daemon::~Daemon() { Stop(); }

}  // namespace slacker
