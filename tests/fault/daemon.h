// A slackerd of its own for one test, and the directory for it: its root, socket, log and run
// directory. One thread.
#pragma once

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "snapshots.grpc.pb.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

namespace api = ::containerd::services::snapshots::v1;

class Daemon {
 public:
  // Waits until it serves, or has ended (see running()).
  Daemon(const std::string& root, const std::string& socket, const std::string& config,
         const std::string& log, const std::vector<std::string>& environment,
         const std::string& program = SLACKERD_PATH) {
    std::vector<std::string> arguments = {program, "--root",   root,  "--address",
                                          socket,  "--config", config};
    std::vector<std::string> variables = environment;
    for (char** variable = environ; *variable != nullptr; ++variable)
      variables.push_back(*variable);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (posix_spawn(&pid_, program.c_str(), &actions, nullptr, Pointers(&arguments).data(),
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
    if (running()) return;
    // gRPC 1.51 loses the socket of a channel that goes while it connects, which this one would try
    // again and again, also to a successor.
    while (channel_->GetState(false) == GRPC_CHANNEL_CONNECTING) {
      (void)channel_->WaitForStateChange(
          GRPC_CHANNEL_CONNECTING,
          std::chrono::system_clock::now() + std::chrono::milliseconds(20));
    }
    channel_ = grpc::CreateChannel("unix:/", grpc::InsecureChannelCredentials());
    stub_ = api::Snapshots::NewStub(channel_);
  }
  // Stops it cleanly, which ends its keeper.
  ~Daemon() {
    if (!running()) return;
    EXPECT_EQ(End(SIGTERM), 0);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  bool running() {
    if (pid_ > 0 && waitpid(pid_, &wait_status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
  }
  pid_t pid() const { return pid_; }
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
  size_t ResidentBytes() const {
    size_t pages = 0, resident = 0;
    std::ifstream("/proc/" + std::to_string(pid_) + "/statm") >> pages >> resident;
    return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  }
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

// A test that leaves a process, a mount, a loop device or a descriptor behind fails.
class DaemonFixture : public ::testing::Test {
 protected:
  DaemonFixture() { Configure("node.run_dir", run_dir_); }
  void TearDown() override {
    // A daemon that a failed test left in the middle cannot be waited for.
    if (HasFailure()) EndLeftovers(dir_.path());
  }

  // Of the daemons that are started from now on.
  void Configure(const std::string& key, const std::string& value) {
    ConfigureRaw(key, "\"" + value + "\"");
  }
  // What is no string.
  void ConfigureRaw(const std::string& key, const std::string& value) {
    std::ofstream(config_, std::ios::app) << key << " = " << value << "\n";
  }
  std::unique_ptr<Daemon> Start(const std::vector<std::string>& environment = {}) {
    return StartOn(root_, sock_, environment);
  }
  std::unique_ptr<Daemon> StartOn(const std::string& root, const std::string& socket,
                                  const std::vector<std::string>& environment = {}) {
    return std::make_unique<Daemon>(root, socket, config_, dir_ / "log", environment);
  }
  // Of another build.
  std::unique_ptr<Daemon> StartProgram(const std::string& program,
                                       const std::vector<std::string>& environment = {}) {
    return std::make_unique<Daemon>(root_, sock_, config_, dir_ / "log", environment, program);
  }
  std::string Log() {
    std::ifstream file(dir_ / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TempDir dir_;
  // gRPC has descriptors of its own while there is a channel.
  const std::shared_ptr<grpc::Channel> channel_ =
      grpc::CreateChannel("unix:/", grpc::InsecureChannelCredentials());
  KernelLeakCheck leaks_{dir_.path()};
  const std::string root_ = dir_ / "root", sock_ = dir_ / "sock", run_dir_ = dir_ / "run";
  const std::string config_ = dir_ / "config.toml";
};

}  // namespace slacker::testing
