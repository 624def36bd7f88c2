#include "cmd/hellobench/site/site.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <utility>

#include "backend/base/status.h"
#include "cmd/hellobench/site/addresses.h"
#include "cmd/hellobench/site/compartment.h"
#include "cmd/hellobench/site/containerd_config.h"
#include "cmd/hellobench/site/files.h"
#include "cmd/hellobench/site/node.h"
#include "cmd/hellobench/site/page_cache.h"
#include "cmd/hellobench/site/pause_image.h"
#include "cmd/hellobench/site/programs.h"
#include "cmd/hellobench/site/servers.h"
#include "cmd/hellobench/site/site_options.h"
#include "cmd/hellobench/site/start_words.h"

namespace slacker::hellobench {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::hours kStepLimit{1};
// A unix socket's name has at most 107 bytes; ours and containerd's shims' have up to 60 of them.
constexpr size_t kMaxDirectoryBytes = 60;
constexpr char kRepositories[] = "hellobench/";
// For temporary files of what is run beside the servers: it may be killed before it has removed them.
constexpr char kTemporary[] = "/tmp";

double MillisSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

class RealSite final : public Site {
 public:
  explicit RealSite(const SiteOptions& options)
      : options_(options), programs_(OpenPrograms(Directories(options), options.interrupted)) {}
  ~RealSite() override { (void)Close(); }

  absl::Status Open();
  absl::StatusOr<SiteImage> Prepare(const System& system, const std::string& image,
                                    Result* result) override;
  absl::Status SetLink(const Link& link) override;
  absl::StatusOr<std::unique_ptr<Node>> StartNode(const System& system) override;
  absl::Status DropServerCaches() override;
  absl::Status WarmServerCaches() override;
  std::map<std::string, std::string> Versions() override;

 private:
  // What a system has at the servers.
  struct Prepared {
    bool set_up = false;
    std::map<std::string, SiteImage> images;
  };

  static std::vector<std::string> Directories(const SiteOptions& options) {
    std::vector<std::string> all = options.program_directories;
    // A shim is looked for in PATH before it is looked for beside containerd.
    if (!options.containerd_directory.empty()) {
      all.insert(all.begin(), options.containerd_directory);
    }
    return all;
  }

  absl::Status CheckDirectory() const;
  absl::Status Push(const std::string& layout, const std::string& name);
  absl::StatusOr<Snapshotter> Usable(const System& system) const;
  absl::StatusOr<Store*> StoreOf(const std::string& kind);
  absl::StatusOr<Placeholders> PlaceholdersOf(const System& system, const Store* store) const;
  absl::StatusOr<std::string> TaskOf(const std::string& image) const;
  absl::StatusOr<std::string> Shell(const std::string& text, const Placeholders& values);
  absl::Status RunSteps(const Snapshotter& snapshotter, const Placeholders& values, bool* set_up,
                        Result* result);
  int64_t BytesAtServers(const Store* store) const;
  absl::Status Close();

  const SiteOptions options_;
  Link link_;
  const std::unique_ptr<Programs> programs_;
  std::string containerd_, containerd_version_, ctr_;
  std::unique_ptr<Compartment> servers_;
  std::unique_ptr<Registry> registry_;
  bool made_directory_ = false;
  std::map<std::string, std::unique_ptr<Store>> stores_;
  std::map<std::string, double> pushed_;  // milliseconds
  std::map<System, Prepared> prepared_;
  int nodes_ = 0;
};

absl::Status RealSite::CheckDirectory() const {
  const fs::path path(options_.directory);
  if (!path.is_absolute() || options_.directory.size() > kMaxDirectoryBytes) {
    return InvalidArgument(options_.directory + ": must be an absolute path of at most " +
                           std::to_string(kMaxDirectoryBytes) + " bytes");
  }
  for (const char* hidden : {"/run/", "/proc/", "/var/run/"}) {
    if (options_.directory.starts_with(hidden)) {
      return InvalidArgument(options_.directory + ": must not lie below " + hidden +
                             ", of which nodes have their own");
    }
  }
  std::error_code error;
  if (fs::exists(path, error)) {
    return InvalidArgument(options_.directory + ": must not exist");
  }
  return absl::OkStatus();
}

absl::Status RealSite::Open() {
  if (geteuid() != 0) return FailedPrecondition("namespaces and containers need root");
  RETURN_IF_ERROR(CheckDirectory());
  ASSIGN_OR_RETURN(containerd_, programs_->Find("containerd"));
  ASSIGN_OR_RETURN(ctr_, programs_->Find("ctr"));
  for (const char* program : {"docker-registry", "ip", "tc", "nsenter", "mount", "runc"}) {
    RETURN_IF_ERROR(programs_->Find(program).status());
  }
  ASSIGN_OR_RETURN(const std::string version,
                   programs_->Run({.words = {containerd_, "--version"}}));
  ASSIGN_OR_RETURN(containerd_version_, MajorVersion(version));
  made_directory_ = true;
  for (const char* name : {"/log", kTemporary}) {
    RETURN_IF_ERROR(MakeDirectories(options_.directory + name));
  }
  const std::string server = "http://" + RegistryHost();
  RETURN_IF_ERROR(WriteText(options_.directory + "/hosts/" + RegistryHost() + "/hosts.toml",
                            "server = \"" + server + "\"\n[host.\"" + server +
                                "\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n"));
  ASSIGN_OR_RETURN(servers_, Compartment::Create(*programs_));
  RETURN_IF_ERROR(MakeBridge(*programs_, servers_->where()));
  ASSIGN_OR_RETURN(registry_,
                   Registry::Start(*programs_, *servers_, options_.directory + "/registry"));
  const std::string pause = options_.directory + "/pause";
  RETURN_IF_ERROR(WritePauseImage(pause));
  return Push(pause, kPauseName);
}

absl::Status RealSite::Push(const std::string& layout, const std::string& name) {
  return Annotate(programs_
                      ->Run({.words = {options_.data + "/images/images", "push", name, "--from",
                                       layout, "--registry", RegistryHost()},
                             .where = servers_->where(),
                             .limit = kStepLimit})
                      .status(),
                  "push " + name);
}

absl::StatusOr<Snapshotter> RealSite::Usable(const System& system) const {
  ASSIGN_OR_RETURN(const Snapshotter* found, options_.snapshotters.Find(system.snapshotter));
  const auto has = [](const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  if (found->stores.empty() != system.store.empty() ||
      (!system.store.empty() && !has(found->stores, system.store))) {
    return InvalidArgument(system.snapshotter + " does not read from the store \"" + system.store +
                           "\"");
  }
  if (!has(found->containerd, containerd_version_)) {
    return FailedPrecondition(system.snapshotter + " does not work with containerd " +
                              containerd_version_);
  }
  std::vector<std::string> programs = found->programs;
  if (!found->daemon.empty()) programs.push_back(found->daemon[0]);
  for (const std::string& program : programs) {
    const absl::Status there = programs_->Find(program).status();
    if (!there.ok()) return Annotate(there, "snapshotter " + found->name);
  }
  return *found;
}

absl::StatusOr<Store*> RealSite::StoreOf(const std::string& kind) {
  if (kind.empty()) return nullptr;
  std::unique_ptr<Store>& store = stores_[kind];
  if (store == nullptr) {
    absl::StatusOr<std::unique_ptr<Store>> started =
        StartStore(*programs_, *servers_, kind, options_.directory + "/" + kind);
    if (!started.ok()) return Annotate(started.status(), "store " + kind);
    store = *std::move(started);
  }
  return store.get();
}

absl::StatusOr<Placeholders> RealSite::PlaceholdersOf(const System& system,
                                                      const Store* store) const {
  Placeholders values;
  if (store != nullptr) {
    ASSIGN_OR_RETURN(values, store->PlaceholdersFor(system.snapshotter));
  }
  values["registry"] = RegistryHost();
  values["hosts"] = options_.directory + "/hosts";
  values["shared"] = options_.directory + "/shared/" + system.snapshotter +
                     (system.store.empty() ? "" : "-" + system.store);
  return values;
}

absl::StatusOr<std::string> RealSite::TaskOf(const std::string& image) const {
  ASSIGN_OR_RETURN(const std::string config, ReadImageConfig(options_.layout, image));
  const auto task = options_.tasks.find(image);
  ASSIGN_OR_RETURN(const std::vector<std::string> words,
                   StartWords(task == options_.tasks.end() ? Task() : task->second, config));
  return Quoted(words);
}

absl::StatusOr<std::string> RealSite::Shell(const std::string& text, const Placeholders& values) {
  ASSIGN_OR_RETURN(const std::string script, Expand(text, values));
  return programs_->Run({.words = {"sh", "-ec", script},
                         .where = servers_->where(),
                         .environment = {{"TMPDIR", options_.directory + kTemporary}},
                         .limit = kStepLimit});
}

absl::Status RealSite::RunSteps(const Snapshotter& snapshotter, const Placeholders& values,
                                bool* set_up, Result* result) {
  for (const std::string& command : snapshotter.setup) {
    if (*set_up) break;
    RETURN_IF_ERROR(Annotate(Shell(command, values).status(), "set up " + snapshotter.name));
  }
  *set_up = true;
  for (const PreparationStep& step : snapshotter.prepare) {
    const auto begin = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(
        Annotate(Shell(step.command, values).status(), snapshotter.name + ": " + step.name));
    result->figures.push_back({"prepare." + step.name, MillisSince(begin), "ms"});
  }
  return absl::OkStatus();
}

int64_t RealSite::BytesAtServers(const Store* store) const {
  int64_t bytes = 0;
  for (const std::string& directory :
       {registry_->storage(), store == nullptr ? std::string() : store->directory()}) {
    if (directory.empty()) continue;
    const absl::StatusOr<int64_t> allocated = AllocatedBytes(directory);
    if (allocated.ok()) bytes += *allocated;
  }
  return bytes;
}

absl::StatusOr<SiteImage> RealSite::Prepare(const System& system, const std::string& image,
                                            Result* result) {
  ASSIGN_OR_RETURN(const Snapshotter snapshotter, Usable(system));
  ASSIGN_OR_RETURN(Store* const store, StoreOf(system.store));
  Prepared& prepared = prepared_[system];
  const auto known = prepared.images.find(image);
  if (known != prepared.images.end()) return known->second;
  ASSIGN_OR_RETURN(Placeholders values, PlaceholdersOf(system, store));
  values["name"] = image;
  values["repository"] = kRepositories + image;
  values["image"] = RegistryHost() + "/" + kRepositories + image + ":latest";
  // Not every image can be started by others, and not every snapshotter asks for it.
  const bool starts = std::any_of(
      snapshotter.prepare.begin(), snapshotter.prepare.end(),
      [](const PreparationStep& step) { return step.command.find("{task}") != std::string::npos; });
  if (starts) {
    ASSIGN_OR_RETURN(values["task"], TaskOf(image));
  }
  RETURN_IF_ERROR(MakeDirectories(values.at("shared")));
  const int64_t before = BytesAtServers(store);
  const auto begin = std::chrono::steady_clock::now();
  auto pushed = pushed_.find(image);
  if (pushed == pushed_.end()) {
    RETURN_IF_ERROR(Push(options_.layout, image));
    pushed = pushed_.emplace(image, MillisSince(begin)).first;
  }
  // Whoever was first has pushed it for all of them, and all of them need it.
  result->figures.push_back({"prepare.push", pushed->second, "ms"});
  const auto steps = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(RunSteps(snapshotter, values, &prepared.set_up, result));
  result->phases.prepare_ms = pushed->second + MillisSince(steps);
  result->figures.push_back(
      {"prepare.bytes", static_cast<double>(BytesAtServers(store) - before), "bytes"});
  if (!snapshotter.figures.empty()) {
    const absl::StatusOr<std::string> written = Shell(snapshotter.figures, values);
    RETURN_IF_ERROR(Annotate(written.status(), snapshotter.name + ": figures"));
    AddFigures(*written, &result->figures);
  }
  ASSIGN_OR_RETURN(const std::string reference, Expand(snapshotter.reference, values));
  SiteImage made{.name = image, .reference = reference, .bytes = 0, .layers = 0};
  const std::string path = reference.substr(reference.find('/') + 1);
  const size_t colon = path.rfind(':');
  if (colon == std::string::npos) return InvalidArgument(reference + ": has no tag");
  ASSIGN_OR_RETURN(const Registry::Size size,
                   registry_->SizeOf(path.substr(0, colon), path.substr(colon + 1)));
  made.bytes = size.bytes;
  made.layers = size.layers;
  prepared.images[image] = made;
  return made;
}

absl::Status RealSite::SetLink(const Link& link) {
  link_ = link;
  return LimitBridge(*programs_, servers_->where(), link_);
}

absl::StatusOr<std::unique_ptr<Node>> RealSite::StartNode(const System& system) {
  ASSIGN_OR_RETURN(const Snapshotter snapshotter, Usable(system));
  ASSIGN_OR_RETURN(Store* const store, StoreOf(system.store));
  if (nodes_ == kMaxNodes) return ResourceExhausted("the site has had all of its nodes");
  ASSIGN_OR_RETURN(const Placeholders placeholders, PlaceholdersOf(system, store));
  const int number = nodes_++;
  NodeOptions options{.programs = programs_.get(),
                      .servers = servers_.get(),
                      .registry = registry_.get(),
                      .store = store,
                      .store_kind = system.store,
                      .link = link_,
                      .number = number,
                      .snapshotter = snapshotter,
                      .containerd = containerd_,
                      .containerd_version = containerd_version_,
                      .ctr = ctr_,
                      .directory = options_.directory + "/n" + std::to_string(number),
                      .logs = options_.directory + "/log",
                      .hosts = options_.directory + "/hosts",
                      .pause = RegistryHost() + "/" + kRepositories + kPauseName + ":latest",
                      .placeholders = placeholders,
                      .interrupted = options_.interrupted};
  return hellobench::StartNode(options);
}

// The servers' files are read by them and by publishers alone: they are given up one by one, so that
// nothing of a node goes.
absl::Status RealSite::DropServerCaches() {
  sync();
  RETURN_IF_ERROR(DropPages(registry_->storage()));
  for (const auto& [kind, store] : stores_) RETURN_IF_ERROR(DropPages(store->directory()));
  return absl::OkStatus();
}

absl::Status RealSite::WarmServerCaches() {
  RETURN_IF_ERROR(ReadPages(registry_->storage()));
  for (const auto& [kind, store] : stores_) RETURN_IF_ERROR(ReadPages(store->directory()));
  return absl::OkStatus();
}

std::map<std::string, std::string> RealSite::Versions() {
  std::map<std::string, std::string> versions;
  const auto note = [&](const std::string& name, const std::vector<std::string>& words) {
    const absl::StatusOr<std::string> printed = programs_->Run({.words = words});
    if (printed.ok()) versions[name] = printed->substr(0, printed->find('\n'));
  };
  note("containerd", {containerd_, "--version"});
  note("runc", {"runc", "--version"});
  note("docker-registry", {"docker-registry", "--version"});
  note("nfs-ganesha", {"ganesha.nfsd", "-v"});
  note("nginx", {"sh", "-ec", "nginx -v 2>&1"});
  for (const Snapshotter& one : options_.snapshotters.all()) {
    if (!one.version.empty() && programs_->Find(one.version[0]).ok()) note(one.name, one.version);
  }
  return versions;
}

absl::Status RealSite::Close() {
  stores_.clear();
  registry_.reset();
  absl::Status closed;
  if (servers_ != nullptr) closed = servers_->Destroy();
  servers_.reset();
  if (made_directory_) {
    const absl::Status removed = RemoveTree(options_.directory);
    if (closed.ok()) closed = removed;
  }
  return closed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Site>> OpenSite(const SiteOptions& options) {
  auto site = std::make_unique<RealSite>(options);
  RETURN_IF_ERROR(site->Open());
  return site;
}

}  // namespace slacker::hellobench
