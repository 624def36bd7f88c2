#include "cmd/hellobench/site/node.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "cmd/hellobench/cri/cri_client.h"
#include "cmd/hellobench/site/addresses.h"
#include "cmd/hellobench/site/containerd_config.h"
#include "cmd/hellobench/site/delay_relay.h"
#include "cmd/hellobench/site/files.h"
#include "cmd/hellobench/site/holdings.h"
#include "cmd/hellobench/site/usage.h"

namespace slacker::hellobench {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kCallLimit{60};
constexpr int64_t kBytesAMbit = 1000000 / 8;

class RealNode final : public Node {
 public:
  explicit RealNode(const NodeOptions& options)
      : options_(options),
        directory_(options.directory),
        socket_(directory_ + "/c.sock"),
        proxy_socket_(directory_ + "/s.sock"),
        root_(directory_ + "/s") {
    options_.placeholders["node"] = directory_;
    options_.placeholders["root"] = root_;
    options_.placeholders["socket"] = proxy_socket_;
    options_.placeholders["hosts"] = options_.hosts;
    options_.placeholders["containerd"] = socket_;
  }
  ~RealNode() override { (void)Destroy(); }

  absl::Status Start();

  const std::string& socket() const override { return socket_; }
  void Enter(const std::function<void()>& body) override { (void)compartment_->Enter(body); }
  absl::StatusOr<std::string> RunScript(const std::string& script,
                                        std::chrono::seconds limit) override {
    return options_.programs->Run(
        {.words = {"sh", "-c", script}, .where = compartment_->where(), .limit = limit});
  }
  absl::Status MakeCold() override;
  absl::Status ResetPeaks() override { return meter_->ResetPeaks(); }
  absl::StatusOr<Counters> Count() override;
  absl::Status Destroy() override;

 private:
  absl::Status StartNetwork();
  absl::Status StartProxy();
  absl::Status StartContainerd();
  absl::Status CheckPlugins();
  absl::Status WriteFiles();
  absl::StatusOr<Holdings> Look();
  absl::Status AskForStoreCounters(Traffic* traffic);
  absl::StatusOr<std::string> Ctr(std::vector<std::string> words, bool clean_up = false);
  absl::Status RemoveContainers();
  std::string LogOf(const std::string& daemon) const {
    return options_.logs + "/" + fs::path(directory_).filename().string() + "-" + daemon + ".log";
  }

  NodeOptions options_;
  const std::string directory_, socket_, proxy_socket_, root_;
  std::unique_ptr<Compartment> compartment_;
  std::unique_ptr<DelayRelay> relay_;
  std::unique_ptr<Daemon> proxy_, containerd_;
  std::unique_ptr<DaemonMeter> meter_;
  Holdings at_start_;
  bool connected_ = false;
};

absl::Status RealNode::Start() {
  RETURN_IF_ERROR(MakeDirectories(root_));
  ASSIGN_OR_RETURN(compartment_, Compartment::Create(*options_.programs));
  RETURN_IF_ERROR(StartNetwork());
  if (options_.snapshotter.proxy) RETURN_IF_ERROR(StartProxy());
  RETURN_IF_ERROR(StartContainerd());
  meter_ = std::make_unique<DaemonMeter>(compartment_->init(), containerd_->pid(),
                                         options_.snapshotter.name);
  CriClient client(socket_, kCallLimit, options_.interrupted);
  RETURN_IF_ERROR(Annotate(client.Pull(options_.pause).status(), "the sandboxes' image"));
  ASSIGN_OR_RETURN(at_start_, Look());
  return absl::OkStatus();
}

absl::Status RealNode::StartNetwork() {
  RETURN_IF_ERROR(Connect(*options_.programs, options_.servers->where(), compartment_->where(),
                          options_.number, options_.link));
  connected_ = true;
  if (options_.link.delay_ms == 0) return absl::OkStatus();
  const std::chrono::microseconds round_trip = std::chrono::milliseconds(options_.link.delay_ms);
  ASSIGN_OR_RETURN(relay_,
                   DelayRelay::Start(compartment_.get(),
                                     {.listen_address = kServerAddress,
                                      .server_address = kDelayedAddress,
                                      .ports = {kRegistryPort, kHttpsPort, kNfsPort, kMountPort},
                                      .delay = round_trip / 2,
                                      .bytes_a_second = options_.link.mbit * kBytesAMbit}));
  return absl::OkStatus();
}

absl::Status RealNode::WriteFiles() {
  for (const SettingsFile& file : options_.snapshotter.files) {
    const auto& stores = file.stores;
    if (!stores.empty() &&
        std::find(stores.begin(), stores.end(), options_.store_kind) == stores.end()) {
      continue;
    }
    const std::string path = directory_ + "/" + file.path;
    absl::StatusOr<std::string> text = Expand(file.text, options_.placeholders);
    if (!text.ok()) return Annotate(text.status(), file.path);
    RETURN_IF_ERROR(WriteText(path, *text));
  }
  return absl::OkStatus();
}

absl::Status RealNode::StartProxy() {
  const std::string& name = options_.snapshotter.name;
  RETURN_IF_ERROR(Annotate(WriteFiles(), name));
  Command command{.words = {}, .where = compartment_->where()};
  for (const std::string& word : options_.snapshotter.daemon) {
    ASSIGN_OR_RETURN(std::string expanded, Expand(word, options_.placeholders));
    command.words.push_back(std::move(expanded));
  }
  ASSIGN_OR_RETURN(proxy_, options_.programs->Start(command, LogOf(name)));
  return Await(*options_.programs, *proxy_, name, "listen at its socket", kStartLimit,
               [this] { return Accepts(proxy_socket_); });
}

absl::Status RealNode::StartContainerd() {
  ContainerdConfig config{.version = options_.containerd_version,
                          .directory = directory_ + "/c",
                          .socket = socket_,
                          .hosts = options_.hosts,
                          .pause = options_.pause,
                          .snapshotter = options_.snapshotter.name,
                          .proxy_socket = options_.snapshotter.proxy ? proxy_socket_ : "",
                          .proxy_root = root_,
                          .differ = options_.snapshotter.differ,
                          .further = ""};
  ASSIGN_OR_RETURN(config.further,
                   Expand(options_.snapshotter.containerd_config, options_.placeholders));
  const std::string path = directory_ + "/containerd.toml";
  RETURN_IF_ERROR(WriteText(path, ToText(config)));
  ASSIGN_OR_RETURN(containerd_,
                   options_.programs->Start(
                       {.words = {options_.containerd, "-c", path}, .where = compartment_->where()},
                       LogOf("containerd")));
  RETURN_IF_ERROR(Await(*options_.programs, *containerd_, "containerd", "listen at its socket",
                        kStartLimit, [this] { return Accepts(socket_); }));
  RETURN_IF_ERROR(CheckPlugins());
  // Over CRI, which refuses every call until it is set up.
  CriClient client(socket_, kCallLimit, options_.interrupted);
  return Await(*options_.programs, *containerd_, "containerd", "answer over CRI", kStartLimit,
               [this, &client] { return client.HasImage(options_.pause).ok(); });
}

// A plugin that misses something on this machine is left out by containerd, whose CRI then never answers.
absl::Status RealNode::CheckPlugins() {
  const Snapshotter& snapshotter = options_.snapshotter;
  std::set<std::string> missing = {"io.containerd.snapshotter.v1 " + snapshotter.name,
                                   "io.containerd.grpc.v1 cri"};
  if (!snapshotter.differ.empty()) missing.insert("io.containerd.differ.v1 " + snapshotter.differ);
  ASSIGN_OR_RETURN(const std::string plugins, Ctr({"plugins", "ls"}));
  for (const std::string& line : Lines(plugins, 1)) {
    std::istringstream words(line);
    std::string type, id, status;
    words >> type >> id;
    while (words >> status) {
    }
    if (status == "ok") missing.erase(type + " " + id);
  }
  if (missing.empty()) return absl::OkStatus();
  // What is said of the snapshotter; failures of other plugins only follow from it, if there is anything.
  std::string why, failures;
  ASSIGN_OR_RETURN(const std::string log, ReadText(LogOf("containerd")));
  for (const std::string& line : Lines(log, 0)) {
    if (line.find("error=") == std::string::npos) continue;
    if (line.find(".v1." + snapshotter.name) != std::string::npos) why += "\n" + line;
    if (line.find("failed to load plugin") != std::string::npos) failures += "\n" + line;
  }
  std::string names;
  for (const std::string& one : missing) names += (names.empty() ? "" : ", ") + one;
  return FailedPrecondition("this containerd does not have " + names + ":" +
                            (why.empty() ? failures : why));
}

absl::StatusOr<std::string> RealNode::Ctr(std::vector<std::string> words, bool clean_up) {
  Command command{.words = {options_.ctr, "-a", socket_, "-n", "k8s.io"},
                  .where = compartment_->where(),
                  .clean_up = clean_up};
  command.words.insert(command.words.end(), words.begin(), words.end());
  return options_.programs->Run(command);
}

absl::StatusOr<Holdings> RealNode::Look() {
  std::vector<std::string> cache;
  for (const std::string& pattern : options_.snapshotter.cache) {
    ASSIGN_OR_RETURN(cache.emplace_back(), Expand(pattern, options_.placeholders));
  }
  return LookAtHoldings([this](std::vector<std::string> words) { return Ctr(std::move(words)); },
                        options_.snapshotter.name, cache);
}

absl::Status RealNode::MakeCold() {
  ASSIGN_OR_RETURN(const Holdings now, Look());
  // Of the sandboxes' image there may be something of its own, but nothing else.
  RETURN_IF_ERROR(CheckNothingMore(now, at_start_));
  sync();
  const UniqueFd fd(open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || write(fd.get(), "3", 1) != 1) {
    return ErrnoError(errno, "write /proc/sys/vm/drop_caches");
  }
  return absl::OkStatus();
}

absl::StatusOr<Counters> RealNode::Count() {
  Counters counters;
  ASSIGN_OR_RETURN(counters.daemons, meter_->Read());  // before what counting itself takes
  ASSIGN_OR_RETURN(const InterfaceBytes wire, ReadInterface(compartment_->init(), kNodeInterface));
  counters.traffic.received_bytes = wire.received;
  counters.traffic.sent_bytes = wire.sent;
  const std::string address = NodeAddress(options_.number);
  ASSIGN_OR_RETURN(const Served registry, options_.registry->ServedTo(address));
  counters.traffic.registry_bytes = registry.bytes;
  counters.traffic.registry_requests = registry.requests;
  if (options_.store != nullptr) {
    const absl::StatusOr<Served> store = options_.store->ServedTo(address);
    if (store.ok()) {
      counters.traffic.store_bytes = store->bytes;
      counters.traffic.store_requests = store->requests;
    } else if (store.status().code() != absl::StatusCode::kNotFound) {
      return store.status();
    } else if (!options_.snapshotter.store_counters.empty()) {
      RETURN_IF_ERROR(AskForStoreCounters(&counters.traffic));
    }
  }
  ASSIGN_OR_RETURN(counters.disk_bytes, AllocatedBytes(directory_));
  return counters;
}

absl::Status RealNode::AskForStoreCounters(Traffic* traffic) {
  const Snapshotter& snapshotter = options_.snapshotter;
  ASSIGN_OR_RETURN(const std::string script,
                   Expand(snapshotter.store_counters, options_.placeholders));
  const auto printed = options_.programs->Run(
      {.words = {"sh", "-ec", script}, .where = compartment_->where(), .limit = kCallLimit});
  RETURN_IF_ERROR(Annotate(printed.status(), snapshotter.name + ": store_counters"));
  std::istringstream words(*printed);
  int64_t requests = 0, bytes = 0;
  if (!(words >> requests >> bytes)) {
    return Internal(snapshotter.name + ": store_counters printed no two numbers:\n" + *printed);
  }
  traffic->store_requests = requests;
  traffic->store_bytes = bytes;
  return absl::OkStatus();
}

// Each by itself, so that its shim takes its cgroup away, which is in no namespace of ours.
absl::Status RealNode::RemoveContainers() {
  if (containerd_ == nullptr || !containerd_->Running() || !Accepts(socket_)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string tasks, Ctr({"tasks", "ls", "-q"}, true));
  absl::Status removed;
  for (const std::string& task : Lines(tasks, 0)) {
    const absl::Status status = Ctr({"tasks", "rm", "--force", task}, true).status();
    if (removed.ok()) removed = status;
  }
  return removed;
}

absl::Status RealNode::Destroy() {
  if (compartment_ == nullptr) return RemoveTree(directory_);
  absl::Status destroyed = RemoveContainers();
  const auto note = [&destroyed](const absl::Status& status) {
    if (destroyed.ok()) destroyed = status;
  };
  // They are children of this process, which has to have waited for them before the rest can end.
  containerd_.reset();
  proxy_.reset();
  relay_.reset();
  if (connected_) {
    note(Disconnect(*options_.programs, options_.servers->where(), options_.number));
    connected_ = false;
  }
  note(compartment_->Destroy());
  compartment_.reset();
  note(RemoveTree(directory_));
  return Annotate(destroyed, "destroy node " + std::to_string(options_.number));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> StartNode(const NodeOptions& options) {
  auto node = std::make_unique<RealNode>(options);
  const absl::Status started = node->Start();
  if (started.ok()) return node;
  const absl::Status destroyed = node->Destroy();
  if (destroyed.ok()) return started;
  return Annotate(started, Message(destroyed) + ", after");
}

}  // namespace slacker::hellobench
