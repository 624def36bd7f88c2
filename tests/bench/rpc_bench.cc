// Times the RPCs of snapshotters that are served on unix sockets, several side by side.
//
//   rpc_bench --populate N --server NAME=SOCKET            commits N snapshots, in stacks of ten
//   rpc_bench --snapshots N --clients C --rounds R --server NAME=SOCKET...
//   rpc_bench --containers-of CHAIN --rounds R --server NAME=SOCKET[,SNAPSHOTTER]...
//
// Each snapshot of a client goes through one life: Prepare on a stack, Mounts, Stat, Usage, List by
// reference and parent, Commit, Remove. All clients make one kind of call at a time, so that a call
// meets as many of its own kind on every server, however long the others take there. The servers
// take turns, a slice of the rounds each, so that whatever else the machine does hits them alike.
// The third form times what a container asks for, Prepare and Remove on the snapshot of an image that is
// there; with SNAPSHOTTER the socket is containerd's, its namespace the CRI plugin's.
// Prints a table: medians and 99th percentiles in microseconds.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "snapshots.grpc.pb.h"

namespace {

namespace api = ::containerd::services::snapshots::v1;

constexpr int kStack = 10;   // layers of a populated stack
constexpr int kSlices = 10;  // turns of each server
const std::vector<std::string> kLife = {"Prepare", "Mounts", "Stat",  "Usage",
                                        "List",    "Commit", "Remove"};
const std::vector<std::string> kContainer = {"Prepare", "Remove"};

struct Options {
  int populate = 0, snapshots = 0, clients = 1, rounds = 100;
  std::string containers_of;
  std::vector<std::string> servers;
};

using Times = std::map<std::string, std::vector<double>>;  // microseconds by RPC

std::string NameOf(int snapshot) { return "bench/0/sha256:layer-" + std::to_string(snapshot); }
std::string RefOf(int snapshot) { return "sha256:chain-" + std::to_string(snapshot); }
// The name below `snapshot` in its stack.
std::string ParentOf(int snapshot) { return snapshot % kStack == 0 ? "" : NameOf(snapshot - 1); }

class Client {
 public:
  Client(const std::string& socket, std::string snapshotter)
      : snapshotter_(std::move(snapshotter)) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = api::Snapshots::NewStub(
        grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
  }

  void Populate(int snapshot) {
    const std::string key = "bench/1/extract-" + std::to_string(snapshot);
    Prepare(key, ParentOf(snapshot), "");
    Commit(NameOf(snapshot), key, RefOf(snapshot));
  }

  // The one snapshot of an image's top layer.
  std::string NameOfChain(const std::string& chain) {
    const auto names = Find("labels.\"containerd.io/snapshot.ref\"==" + chain);
    Check(names.size() == 1 ? grpc::Status()
                            : grpc::Status(grpc::StatusCode::NOT_FOUND, "not one snapshot"),
          chain);
    return names.front();
  }

  // One call of a container's snapshot `key` on `parent`, timed.
  void CallOfContainer(const std::string& rpc, const std::string& key, const std::string& parent,
                       std::vector<double>* times) {
    const auto begin = std::chrono::steady_clock::now();
    if (rpc == "Prepare") Prepare(key, parent, "");
    if (rpc == "Remove") Remove(key);
    Note(begin, times);
  }

  // One call of the life of snapshot `id`, timed.
  void Call(const std::string& rpc, const std::string& id, int top, std::vector<double>* times) {
    const std::string key = "bench/2/" + id, name = "bench/3/" + id;
    const auto begin = std::chrono::steady_clock::now();
    if (rpc == "Prepare") Prepare(key, NameOf(top), "");
    if (rpc == "Mounts") Mounts(key);
    if (rpc == "Stat") Stat(NameOf(top));
    if (rpc == "Usage") Usage(key);
    if (rpc == "List") List(RefOf(top), ParentOf(top));
    if (rpc == "Commit") Commit(name, key, "sha256:" + id);
    if (rpc == "Remove") Remove(name);
    Note(begin, times);
  }

  void Cleanup() {
    api::CleanupRequest request;
    request.set_snapshotter(snapshotter_);
    grpc::ClientContext context;
    Enter(&context);
    google::protobuf::Empty response;
    (void)stub_->Cleanup(&context, request, &response);  // refused where removal is not deferred
  }

 private:
  static void Note(std::chrono::steady_clock::time_point begin, std::vector<double>* times) {
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    times->push_back(took.count());
  }
  void Enter(grpc::ClientContext* context) const {
    if (!snapshotter_.empty()) context->AddMetadata("containerd-namespace", "k8s.io");
  }
  static void Check(const grpc::Status& status, const std::string& what) {
    if (status.ok()) return;
    std::fprintf(stderr, "rpc_bench: %s: %s\n", what.c_str(), status.error_message().c_str());
    std::_Exit(1);
  }

  void Prepare(const std::string& key, const std::string& parent, const std::string& ref) {
    api::PrepareSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(key);
    request.set_parent(parent);
    auto& labels = *request.mutable_labels();
    if (!ref.empty()) labels["containerd.io/snapshot.ref"] = ref;
    if (!snapshotter_.empty()) labels["containerd.io/gc.root"] = "bench";  // nothing refers to it
    api::PrepareSnapshotResponse response;
    grpc::ClientContext context;
    Enter(&context);
    Check(stub_->Prepare(&context, request, &response), "Prepare " + key);
  }
  void Mounts(const std::string& key) {
    api::MountsRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(key);
    api::MountsResponse response;
    grpc::ClientContext context;
    Enter(&context);
    Check(stub_->Mounts(&context, request, &response), "Mounts " + key);
  }
  void Stat(const std::string& key) {
    api::StatSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(key);
    api::StatSnapshotResponse response;
    grpc::ClientContext context;
    Enter(&context);
    Check(stub_->Stat(&context, request, &response), "Stat " + key);
  }
  void Usage(const std::string& key) {
    api::UsageRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(key);
    api::UsageResponse response;
    grpc::ClientContext context;
    Enter(&context);
    Check(stub_->Usage(&context, request, &response), "Usage " + key);
  }
  std::vector<std::string> Find(const std::string& filter) {
    api::ListSnapshotsRequest request;
    request.set_snapshotter(snapshotter_);
    request.add_filters(filter);
    grpc::ClientContext context;
    Enter(&context);
    const auto reader = stub_->List(&context, request);
    api::ListSnapshotsResponse batch;
    std::vector<std::string> names;
    while (reader->Read(&batch)) {
      for (const api::Info& info : batch.info()) names.push_back(info.name());
    }
    Check(reader->Finish(), "List " + filter);
    return names;
  }
  void List(const std::string& ref, const std::string& parent) {
    const size_t found =
        Find("labels.\"containerd.io/snapshot.ref\"==" + ref + ",parent==\"" + parent + "\"")
            .size();
    if (found != 1) Check({grpc::StatusCode::INTERNAL, std::to_string(found) + " hits"}, "List");
  }
  void Commit(const std::string& name, const std::string& key, const std::string& ref) {
    api::CommitSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_name(name);
    request.set_key(key);
    (*request.mutable_labels())["containerd.io/snapshot.ref"] = ref;
    google::protobuf::Empty response;
    grpc::ClientContext context;
    Enter(&context);
    Check(stub_->Commit(&context, request, &response), "Commit " + key);
  }
  void Remove(const std::string& key) {
    api::RemoveSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(key);
    google::protobuf::Empty response;
    grpc::ClientContext context;
    Enter(&context);
    Check(stub_->Remove(&context, request, &response), "Remove " + key);
  }

  const std::string snapshotter_;  // empty: the server is one itself
  std::unique_ptr<api::Snapshots::Stub> stub_;
};

struct Server {
  std::string name;
  std::vector<std::unique_ptr<Client>> clients;
  Times times;
};

Server MakeServer(const std::string& spec, int clients) {
  const size_t equals = spec.find('='), comma = spec.find(',');
  const std::string snapshotter = comma == std::string::npos ? "" : spec.substr(comma + 1);
  Server server;
  server.name = spec.substr(0, equals);
  for (int i = 0; i < clients; ++i) {
    server.clients.push_back(
        std::make_unique<Client>(spec.substr(equals + 1, comma - equals - 1), snapshotter));
  }
  return server;
}

// Stacks are independent of each other, and each is built by one client.
void Populate(Server& server, int snapshots) {
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (const auto& client : server.clients) {
    threads.emplace_back([&, raw = client.get()] {
      for (int base; (base = next.fetch_add(kStack)) < snapshots;) {
        for (int i = base; i < std::min(base + kStack, snapshots); ++i) raw->Populate(i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void RunSlice(Server& server, const Options& options, int slice) {
  const int rounds = std::max(1, options.rounds / kSlices);
  for (const std::string& rpc : kLife) {
    std::vector<std::vector<double>> times(server.clients.size());
    std::vector<std::thread> threads;
    for (size_t c = 0; c < server.clients.size(); ++c) {
      threads.emplace_back([&, c] {
        for (int count = slice * rounds; count < (slice + 1) * rounds; ++count) {
          const int stacks = options.snapshots / kStack;
          const int top = (count * 7919 + static_cast<int>(c) * 101) % stacks * kStack + kStack - 1;
          server.clients[c]->Call(rpc, std::to_string(c) + "-" + std::to_string(count), top,
                                  &times[c]);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::vector<double>& part : times) {
      server.times[rpc].insert(server.times[rpc].end(), part.begin(), part.end());
    }
  }
  server.clients.front()->Cleanup();
}

// By one client: the kubelet starts one container of a pod after the other.
void RunContainers(Server& server, const Options& options, int slice) {
  Client& client = *server.clients.front();
  const std::string image = client.NameOfChain(options.containers_of);
  const int rounds = std::max(1, options.rounds / kSlices);
  for (int count = slice * rounds; count < (slice + 1) * rounds; ++count) {
    for (const std::string& rpc : kContainer) {
      client.CallOfContainer(rpc, "bench/4/" + std::to_string(count), image, &server.times[rpc]);
    }
  }
  client.Cleanup();
}

double Percentile(std::vector<double>& sorted, double part) {
  return sorted[static_cast<size_t>(static_cast<double>(sorted.size() - 1) * part)];
}

void Print(std::vector<Server>& servers, const Options& options) {
  const bool containers = !options.containers_of.empty();
  for (const std::string& rpc : containers ? kContainer : kLife) {
    if (!containers) std::printf("| %d | %d ", options.snapshots, options.clients);
    std::printf("| %s |", rpc.c_str());
    for (Server& server : servers) {
      std::vector<double>& values = server.times[rpc];
      std::sort(values.begin(), values.end());
      std::printf(" %.0f | %.0f |", Percentile(values, 0.5), Percentile(values, 0.99));
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("times the RPCs of snapshotters side by side");
  app.add_option("--populate", options.populate, "commit this many snapshots and end");
  app.add_option("--snapshots", options.snapshots, "how many are there");
  app.add_option("--clients", options.clients, "connections, each with one call at a time");
  app.add_option("--rounds", options.rounds, "of each client");
  app.add_option("--containers-of", options.containers_of,
                 "the chain ID of an image that is there");
  app.add_option("--server", options.servers, "NAME=SOCKET[,SNAPSHOTTER]")->required();
  CLI11_PARSE(app, argc, argv);
  std::vector<Server> servers;
  for (const std::string& spec : options.servers) {
    servers.push_back(MakeServer(spec, options.clients));
  }
  if (options.populate > 0) {
    for (Server& server : servers) Populate(server, options.populate);
    return 0;
  }
  for (int slice = 0; slice < kSlices; ++slice) {
    for (Server& server : servers) {
      if (options.containers_of.empty()) {
        RunSlice(server, options, slice);
      } else {
        RunContainers(server, options, slice);
      }
    }
  }
  Print(servers, options);
  return 0;
}
