// A slackerd of its own for one test: started on a root and a socket below a directory, with
// environment variables, and killed at the end. One thread.
#pragma once

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "snapshots.grpc.pb.h"

namespace slacker::testing {

namespace api = ::containerd::services::snapshots::v1;

class Daemon {
 public:
  // Waits until it serves, or has ended (see running()).
  Daemon(const std::string& root, const std::string& socket, const std::string& log,
         const std::vector<std::string>& environment = {},
         const std::vector<std::string>& flags = {}) {
    std::vector<std::string> arguments = {SLACKERD_PATH, "--root", root, "--address", socket};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    std::vector<std::string> variables = environment;
    for (char** variable = environ; *variable != nullptr; ++variable)
      variables.push_back(*variable);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (posix_spawn(&pid_, SLACKERD_PATH, &actions, nullptr, Pointers(&arguments).data(),
                    Pointers(&variables).data()) != 0) {
      pid_ = -1;
    }
    posix_spawn_file_actions_destroy(&actions);
    // Channels of one address would share a connection, also one to a daemon that is gone.
    grpc::ChannelArguments channel_arguments;
    channel_arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
    channel_arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20);
    channel_arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 20);
    channel_ = grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(),
                                         channel_arguments);
    stub_ = api::Snapshots::NewStub(channel_);
    while (running() && !channel_->WaitForConnected(std::chrono::system_clock::now() +
                                                    std::chrono::milliseconds(20))) {
    }
  }
  ~Daemon() {
    if (running()) End(SIGKILL);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  bool running() {
    if (pid_ > 0 && waitpid(pid_, &wait_status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
  }
  // Sends the signal and waits for the end; the wait status.
  int End(int signal) {
    if (pid_ > 0) {
      kill(pid_, signal);
      waitpid(pid_, &wait_status_, 0);
      pid_ = -1;
    }
    return wait_status_;
  }
  // Waits for an end that is under way.
  int Wait() {
    if (pid_ > 0) waitpid(pid_, &wait_status_, 0);
    pid_ = -1;
    return wait_status_;
  }

  grpc::Status Prepare(const std::string& key, const std::string& parent,
                       const std::string& ref = "") {
    api::PrepareSnapshotRequest request;
    request.set_key(key);
    request.set_parent(parent);
    if (!ref.empty()) (*request.mutable_labels())["containerd.io/snapshot.ref"] = ref;
    api::PrepareSnapshotResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub_->Prepare(&context, request, &response);
    mounts_ = {response.mounts().begin(), response.mounts().end()};
    return status;
  }
  grpc::Status View(const std::string& key, const std::string& parent) {
    api::ViewSnapshotRequest request;
    request.set_key(key);
    request.set_parent(parent);
    api::ViewSnapshotResponse response;
    grpc::ClientContext context;
    return stub_->View(&context, request, &response);
  }
  grpc::Status Commit(const std::string& name, const std::string& key) {
    api::CommitSnapshotRequest request;
    request.set_name(name);
    request.set_key(key);
    google::protobuf::Empty response;
    grpc::ClientContext context;
    return stub_->Commit(&context, request, &response);
  }
  grpc::Status Remove(const std::string& key) {
    api::RemoveSnapshotRequest request;
    request.set_key(key);
    google::protobuf::Empty response;
    grpc::ClientContext context;
    return stub_->Remove(&context, request, &response);
  }
  grpc::Status Cleanup() {
    google::protobuf::Empty response;
    grpc::ClientContext context;
    return stub_->Cleanup(&context, {}, &response);
  }
  std::vector<api::Info> List(const std::string& filter = "") {
    grpc::ClientContext context;
    api::ListSnapshotsRequest request;
    if (!filter.empty()) request.add_filters(filter);
    const auto reader = stub_->List(&context, request);
    std::vector<api::Info> infos;
    api::ListSnapshotsResponse batch;
    while (reader->Read(&batch))
      infos.insert(infos.end(), batch.info().begin(), batch.info().end());
    const grpc::Status status = reader->Finish();
    return status.ok() ? infos : std::vector<api::Info>();
  }
  api::Snapshots::Stub& stub() { return *stub_; }
  // Of the last Prepare.
  const std::vector<api::Mount>& mounts() const { return mounts_; }

 private:
  static std::vector<char*> Pointers(std::vector<std::string>* strings) {
    std::vector<char*> pointers;
    for (std::string& text : *strings) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
  }

  pid_t pid_ = -1;
  int wait_status_ = 0;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<api::Snapshots::Stub> stub_;
  std::vector<api::Mount> mounts_;
};

}  // namespace slacker::testing
