#include "tests/fault/daemon.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "snapshots.grpc.pb.h"

namespace slacker::testing {
namespace {

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& text : *strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::shared_ptr<grpc::Channel> ChannelToNobody() {
  return grpc::CreateChannel("unix:/", grpc::InsecureChannelCredentials());
}

std::chrono::system_clock::time_point Soon() {
  return std::chrono::system_clock::now() + std::chrono::milliseconds(20);
}

}  // namespace

struct Daemon::Connection {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<api::Snapshots::Stub> stub = api::Snapshots::NewStub(channel);
};

Daemon::Daemon(const std::string& root, const std::string& socket, const std::string& config,
               const std::string& log, const std::vector<std::string>& environment,
               const std::string& program) {
  const std::string path = program.empty() ? SLACKERD_PATH : program;
  std::vector<std::string> arguments = {path,   "--root",   root,  "--address",
                                        socket, "--config", config};
  std::vector<std::string> variables = environment;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (posix_spawn(&pid_, path.c_str(), &actions, nullptr, Pointers(&arguments).data(),
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
  const auto channel = grpc::CreateCustomChannel(
      "unix:" + socket, grpc::InsecureChannelCredentials(), channel_arguments);
  while (running() && !channel->WaitForConnected(Soon())) {
  }
  if (running()) {
    connection_.reset(new Connection{channel});
    return;
  }
  // gRPC 1.51 loses the socket of a channel that goes while it connects, which this one would try
  // again and again, also to a successor.
  while (channel->GetState(false) == GRPC_CHANNEL_CONNECTING)
    (void)channel->WaitForStateChange(GRPC_CHANNEL_CONNECTING, Soon());
  connection_.reset(new Connection{ChannelToNobody()});
}

Daemon::~Daemon() {
  if (!running()) return;
  EXPECT_EQ(End(SIGTERM), 0);
}

bool Daemon::running() {
  if (pid_ > 0 && waitpid(pid_, &wait_status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

int Daemon::End(int signal) {
  if (pid_ > 0) {
    kill(pid_, signal);
    waitpid(pid_, &wait_status_, 0);
    pid_ = -1;
  }
  return wait_status_;
}

int Daemon::Wait() {
  if (pid_ > 0) waitpid(pid_, &wait_status_, 0);
  pid_ = -1;
  return wait_status_;
}

grpc::Status Daemon::Prepare(const std::string& key, const std::string& parent,
                             const std::string& ref) {
  api::PrepareSnapshotRequest request;
  request.set_key(key);
  request.set_parent(parent);
  if (!ref.empty()) (*request.mutable_labels())["containerd.io/snapshot.ref"] = ref;
  api::PrepareSnapshotResponse response;
  grpc::ClientContext context;
  const grpc::Status status = connection_->stub->Prepare(&context, request, &response);
  mounts_ = {response.mounts().begin(), response.mounts().end()};
  return status;
}

grpc::Status Daemon::View(const std::string& key, const std::string& parent) {
  api::ViewSnapshotRequest request;
  request.set_key(key);
  request.set_parent(parent);
  api::ViewSnapshotResponse response;
  grpc::ClientContext context;
  const grpc::Status status = connection_->stub->View(&context, request, &response);
  mounts_ = {response.mounts().begin(), response.mounts().end()};
  return status;
}

grpc::Status Daemon::Mounts(const std::string& key) {
  api::MountsRequest request;
  request.set_key(key);
  api::MountsResponse response;
  grpc::ClientContext context;
  const grpc::Status status = connection_->stub->Mounts(&context, request, &response);
  mounts_ = {response.mounts().begin(), response.mounts().end()};
  return status;
}

grpc::Status Daemon::Commit(const std::string& name, const std::string& key) {
  api::CommitSnapshotRequest request;
  request.set_name(name);
  request.set_key(key);
  google::protobuf::Empty response;
  grpc::ClientContext context;
  return connection_->stub->Commit(&context, request, &response);
}

grpc::Status Daemon::Remove(const std::string& key) {
  api::RemoveSnapshotRequest request;
  request.set_key(key);
  google::protobuf::Empty response;
  grpc::ClientContext context;
  return connection_->stub->Remove(&context, request, &response);
}

grpc::Status Daemon::Cleanup() {
  google::protobuf::Empty response;
  grpc::ClientContext context;
  return connection_->stub->Cleanup(&context, {}, &response);
}

std::vector<api::Info> Daemon::List(const std::string& filter) {
  grpc::ClientContext context;
  api::ListSnapshotsRequest request;
  if (!filter.empty()) request.add_filters(filter);
  const auto reader = connection_->stub->List(&context, request);
  std::vector<api::Info> infos;
  api::ListSnapshotsResponse batch;
  while (reader->Read(&batch)) infos.insert(infos.end(), batch.info().begin(), batch.info().end());
  const grpc::Status status = reader->Finish();
  return status.ok() ? infos : std::vector<api::Info>();
}

size_t Daemon::ResidentBytes() const {
  size_t pages = 0, resident = 0;
  std::ifstream("/proc/" + std::to_string(pid_) + "/statm") >> pages >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

DaemonFixture::DaemonFixture() : channel_(ChannelToNobody()) {
  Configure("node.run_dir", run_dir_);
}

void DaemonFixture::TearDown() {
  // A daemon that a failed test left in the middle cannot be waited for.
  if (HasFailure()) EndLeftovers(dir_.path());
}

void DaemonFixture::Configure(const std::string& key, const std::string& value) {
  ConfigureRaw(key, "\"" + value + "\"");
}

void DaemonFixture::ConfigureRaw(const std::string& key, const std::string& value) {
  std::ofstream(config_, std::ios::app) << key << " = " << value << "\n";
}

std::unique_ptr<Daemon> DaemonFixture::Start(const std::vector<std::string>& environment) {
  return StartOn(root_, sock_, environment);
}

std::unique_ptr<Daemon> DaemonFixture::StartOn(const std::string& root, const std::string& socket,
                                               const std::vector<std::string>& environment) {
  return std::make_unique<Daemon>(root, socket, config_, dir_ / "log", environment);
}

std::unique_ptr<Daemon> DaemonFixture::StartProgram(const std::string& program,
                                                    const std::vector<std::string>& environment) {
  return std::make_unique<Daemon>(root_, sock_, config_, dir_ / "log", environment, program);
}

std::string DaemonFixture::Log() {
  std::ifstream file(dir_ / "log");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace slacker::testing
