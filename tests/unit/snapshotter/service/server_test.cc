// The server on a real socket.
#include "snapshotter/service/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "backend/base/clock.h"
#include "snapshotter/core/core_snapshotter.h"
#include "tests/support/eventually.h"
#include "tests/support/failing_poll.h"
#include "tests/support/fake_file_ops.h"
#include "tests/support/fake_images.h"
#include "tests/support/fake_node_control.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    auto db = Db::Open(dir_ / "slacker.db");
    EXPECT_OK(db);
    db_ = *std::move(db);
    auto core = CoreSnapshotter::Open(db_.get(), &files_, &images_, &SystemClock(),
                                      {.root = dir_.path(),
                                       .overlay_index_off = false,
                                       .on_decision = [this](const PathDecision&) { Hold(); }});
    EXPECT_OK(core);
    core_ = *std::move(core);
  }
  std::unique_ptr<snapshots_v1::Snapshots::Stub> Connect() {
    return snapshots_v1::Snapshots::NewStub(
        grpc::CreateChannel("unix:" + socket_, grpc::InsecureChannelCredentials()));
  }
  // A Prepare with a reference stops here until Release.
  void Hold() {
    MutexLock lock(&mutex_);
    ++held_;
    changed_.SignalAll();
    while (!released_) changed_.Wait(&mutex_);
  }
  void WaitUntilHeld() {
    MutexLock lock(&mutex_);
    while (held_ == 0) changed_.Wait(&mutex_);
  }
  void Release() {
    MutexLock lock(&mutex_);
    released_ = true;
    changed_.SignalAll();
  }
  grpc::Status Prepare(const std::string& key, const std::string& ref = "") {
    grpc::ClientContext context;
    snapshots_v1::PrepareSnapshotRequest request;
    request.set_key(key);
    if (!ref.empty()) (*request.mutable_labels())[std::string(kRefLabel)] = ref;
    snapshots_v1::PrepareSnapshotResponse response;
    return Connect()->Prepare(&context, request, &response);
  }
  // Sends `request` to a method of a service whose messages this project does not have.
  grpc::Status Call(const std::string& method, const std::string& request, std::string* response) {
    grpc::GenericStub stub(
        grpc::CreateChannel("unix:" + socket_, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto next = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    const auto call = stub.PrepareCall(&context, method, &queue);
    call->StartCall(nullptr);
    EXPECT_TRUE(next());
    const grpc::Slice sent(request);
    call->WriteLast(grpc::ByteBuffer(&sent, 1), {}, nullptr);
    EXPECT_TRUE(next());
    grpc::ByteBuffer buffer;
    call->Read(&buffer, nullptr);
    if (next()) {
      std::vector<grpc::Slice> slices;
      EXPECT_TRUE(buffer.Dump(&slices).ok());
      for (const grpc::Slice& slice : slices) {
        response->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
      }
    }
    grpc::Status status;
    call->Finish(&status, nullptr);
    EXPECT_TRUE(next());
    return status;
  }
  static UniqueFd NewSocket() { return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
  sockaddr_un Address() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket_.data(), socket_.size());
    return address;
  }
  // A socket file that nobody listens on, unless the caller does.
  UniqueFd BindSocket() {
    const sockaddr_un address = Address();
    UniqueFd fd = NewSocket();
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  bool ConnectTo(const UniqueFd& fd) const {
    const sockaddr_un address = Address();
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  TempDir dir_;
  const std::string socket_ = dir_ / "s/slackerd.sock";
  FakeFileOps files_;
  FakeImages images_{dir_.path()};
  std::unique_ptr<Db> db_;
  std::unique_ptr<CoreSnapshotter> core_;
  FakeNodeControl control_;
  Mutex mutex_;
  CondVar changed_;
  int held_ ABSL_GUARDED_BY(mutex_) = 0;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
};

// Longer than any test may take.
constexpr std::chrono::hours kLongGrace{1};

TEST_F(ServerTest, HealthIsServed) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  std::string response;
  const grpc::Status status = Call("/grpc.health.v1.Health/Check", "", &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response, "\x08\x01") << "field 1, SERVING";
}

TEST_F(ServerTest, ReflectionListsTheService) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  std::string response;
  const std::string list_services("\x3a\x00", 2);  // field 7, empty
  const grpc::Status status = Call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                   list_services, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response, ::testing::HasSubstr("containerd.services.snapshots.v1.Snapshots"));
}

TEST_F(ServerTest, TheStatusOfTheNodeIsServed) {
  control_.status.version = "1";
  control_.status.features = {{"erofs", true}, {"loop", false, "why"}};
  control_.status.keeper_alive = true;
  control_.status.kept = {"lock"};
  StoreStatus store;
  store.places.resize(1);
  store.places[0].url = "memory:";
  store.places[0].aside = true;
  store.breaker.state = "open";
  store.breaker.next_probe_unix_seconds = 2;
  store.outage.silent = true;
  store.outage.given_up = 3;
  control_.status.store = store;
  control_.status.counters = {{"reads", 7}};
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  const auto stub = node_v1::Node::NewStub(
      grpc::CreateChannel("unix:" + socket_, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  node_v1::StatusResponse response;
  ASSERT_TRUE(stub->Status(&context, {}, &response).ok());
  EXPECT_EQ(response.version(), "1");
  ASSERT_EQ(response.features_size(), 2);
  EXPECT_TRUE(response.features(0).found());
  EXPECT_EQ(response.features(1).detail(), "why");
  EXPECT_EQ(response.keeper().kept(0), "lock");
  EXPECT_EQ(response.store().places(0).url(), "memory:");
  EXPECT_TRUE(response.store().places(0).aside());
  EXPECT_EQ(response.store().breaker().state(), "open");
  EXPECT_EQ(response.store().breaker().next_probe_unix_seconds(), 2);
  EXPECT_EQ(response.store().outage().given_up(), 3U);
  EXPECT_EQ(response.counters(0).value(), 7U);

  control_.status.store.reset();
  grpc::ClientContext again;
  ASSERT_TRUE(stub->Status(&again, {}, &response).ok());
  EXPECT_FALSE(response.has_store());
}

TEST_F(ServerTest, AScrubTellsOfEachLayerAndEndsWhenItIsCancelled) {
  const Digest record = Sha256::Of("record");
  control_.scrubbed = {
      {.record = record, .chunks = 3, .bytes = 7, .damaged = 2, .repaired = 1, .error = "why"}};
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  const auto stub = node_v1::Node::NewStub(
      grpc::CreateChannel("unix:" + socket_, grpc::InsecureChannelCredentials()));
  node_v1::ScrubRequest request;
  request.add_chain_ids(record.ToString());
  node_v1::ScrubbedLayer layer;
  {
    grpc::ClientContext context;
    const auto reader = stub->Scrub(&context, request);
    ASSERT_TRUE(reader->Read(&layer));
    EXPECT_EQ(layer.record(), record.ToString());
    EXPECT_EQ(layer.damaged(), 2U);
    EXPECT_EQ(layer.repaired(), 1U);
    EXPECT_EQ(layer.error(), "why");
    EXPECT_FALSE(reader->Read(&layer));
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_EQ(control_.scrubbed_chains, std::vector<Digest>{record});
  }
  control_.scrub_hangs = true;
  grpc::ClientContext context;
  const auto reader = stub->Scrub(&context, request);
  ASSERT_TRUE(reader->Read(&layer));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);

  request.add_chain_ids("no digest");
  grpc::ClientContext again;
  const auto refused = stub->Scrub(&again, request);
  EXPECT_EQ(refused->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServerTest, ShutdownDoesNotWaitForIdleConnections) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  const auto stub = Connect();
  grpc::ClientContext context;
  google::protobuf::Empty response;
  ASSERT_TRUE(stub->Cleanup(&context, {}, &response).ok());
  server->Shutdown(kLongGrace);
}

TEST_F(ServerTest, ShutdownLetsRunningCallsFinishAndRefusesNewOnes) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  grpc::Status running;
  std::thread caller([&] { running = Prepare("running", "a reference"); });
  WaitUntilHeld();
  std::thread stopper([&] { server->Shutdown(kLongGrace); });
  grpc::Status refused;
  for (int i = 0; refused.ok(); ++i) refused = Prepare("key " + std::to_string(i));
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  Release();
  caller.join();
  stopper.join();
  EXPECT_TRUE(running.ok()) << running.error_message();
  EXPECT_OK(core_->Stat("running"));
}

TEST_F(ServerTest, ACallThatOutlastsTheGraceIsCancelledForItsCaller) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  grpc::Status running;
  std::thread caller([&] { running = Prepare("running", "a reference"); });
  WaitUntilHeld();
  std::thread stopper([&] { server->Shutdown(std::chrono::milliseconds(0)); });
  caller.join();
  EXPECT_FALSE(running.ok());
  Release();
  stopper.join();
}

TEST_F(ServerTest, ServesOnAPrivateSocket) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  struct stat st {};
  ASSERT_EQ(stat(socket_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0600U);
  const auto stub = Connect();
  grpc::ClientContext context;
  snapshots_v1::PrepareSnapshotRequest request;
  request.set_key("k");
  snapshots_v1::PrepareSnapshotResponse response;
  const grpc::Status status = stub->Prepare(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.mounts_size(), 1);
}

// containerd sends the header or not, depending on who asks; the namespace is in the key.
TEST_F(ServerTest, TheNamespaceHeaderIsNeitherNeededNorUsed) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  ASSERT_TRUE(Prepare("k").ok());
  const auto stub = Connect();
  for (const char* name : {"a", "b"}) {
    grpc::ClientContext context;
    context.AddMetadata("containerd-namespace", name);
    snapshots_v1::StatSnapshotRequest request;
    request.set_key("k");
    snapshots_v1::StatSnapshotResponse response;
    EXPECT_TRUE(stub->Stat(&context, request, &response).ok()) << name;
    EXPECT_EQ(response.info().name(), "k");
  }
}

TEST_F(ServerTest, ListStreamsInBatchesOfAHundred) {
  for (int i = 0; i < 250; ++i) ASSERT_OK(core_->View(std::to_string(i), "", {}));
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  const auto stub = Connect();
  grpc::ClientContext context;
  const auto reader = stub->List(&context, {});
  std::vector<int> sizes;
  snapshots_v1::ListSnapshotsResponse batch;
  while (reader->Read(&batch)) sizes.push_back(batch.info_size());
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_THAT(sizes, ::testing::ElementsAre(100, 100, 50));
}

// As many labels as there may be, on as many snapshots as go into one answer.
TEST_F(ServerTest, ListStreamsNoMoreAtOnceThanAClientTakes) {
  Labels labels;
  for (int i = 0; i < 60; ++i) {
    labels["containerd.io/snapshot/" + std::to_string(i)] = std::string(4000, 'x');
  }
  for (int i = 0; i < 100; ++i) ASSERT_OK(core_->View(std::to_string(i), "", labels));
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  const auto stub = Connect();
  grpc::ClientContext context;
  const auto reader = stub->List(&context, {});
  int snapshots = 0;
  snapshots_v1::ListSnapshotsResponse batch;
  while (reader->Read(&batch)) {
    snapshots += batch.info_size();
    EXPECT_LT(batch.ByteSizeLong(), size_t{2} << 20);
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(snapshots, 100);
}

TEST_F(ServerTest, ACallerThatGoesAwayDuringListDisturbsNobody) {
  for (int i = 0; i < 250; ++i) ASSERT_OK(core_->View(std::to_string(i), "", {}));
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  const auto stub = Connect();
  {
    grpc::ClientContext context;
    const auto reader = stub->List(&context, {});
    snapshots_v1::ListSnapshotsResponse batch;
    ASSERT_TRUE(reader->Read(&batch));
    context.TryCancel();
    (void)reader->Finish();  // either code is right: the end may have been sent already
  }
  grpc::ClientContext context;
  snapshots_v1::StatSnapshotRequest request;
  request.set_key("0");
  snapshots_v1::StatSnapshotResponse response;
  EXPECT_TRUE(stub->Stat(&context, request, &response).ok());
}

TEST_F(ServerTest, AStaleSocketIsReplaced) {
  std::filesystem::create_directories(dir_ / "s");
  (void)BindSocket();
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  grpc::ClientContext context;
  google::protobuf::Empty response;
  EXPECT_TRUE(Connect()->Cleanup(&context, {}, &response).ok());
}

TEST_F(ServerTest, ALiveServerIsNotReplaced) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  EXPECT_THAT(Server::Listen(socket_, core_.get(), &control_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       socket_ + " is in use by PID " + std::to_string(getpid())));
  grpc::ClientContext context;
  google::protobuf::Empty response;
  EXPECT_TRUE(Connect()->Cleanup(&context, {}, &response).ok());
}

TEST_F(ServerTest, ALiveServerWhoseSocketWasRemovedKeepsTheAddress) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  std::filesystem::remove(socket_);
  EXPECT_THAT(Server::Listen(socket_, core_.get(), &control_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       socket_ + " is in use by PID " + std::to_string(getpid())));
}

TEST_F(ServerTest, ALiveSocketOfAnotherProgramIsNotReplaced) {
  std::filesystem::create_directories(dir_ / "s");
  const UniqueFd fd = BindSocket();
  ASSERT_EQ(listen(fd.get(), 1), 0);
  EXPECT_THAT(Server::Listen(socket_, core_.get(), &control_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       socket_ + " is in use by PID " + std::to_string(getpid())));
}

TEST_F(ServerTest, AFileThatIsNoSocketIsKept) {
  std::filesystem::create_directories(dir_ / "s");
  std::ofstream(socket_) << "precious";
  EXPECT_THAT(Server::Listen(socket_, core_.get(), &control_),
              StatusIs(absl::StatusCode::kFailedPrecondition, "not a socket"));
  EXPECT_EQ(std::filesystem::file_size(socket_), 8U);
}

TEST_F(ServerTest, AProgramThatListensAndTakesNothingIsNotWaitedFor) {
  std::filesystem::create_directories(dir_ / "s");
  const UniqueFd listening = BindSocket();
  ASSERT_EQ(listen(listening.get(), 0), 0);
  const UniqueFd waiting = NewSocket();
  ASSERT_TRUE(ConnectTo(waiting));  // all that the queue has room for
  EXPECT_THAT(Server::Listen(socket_, core_.get(), &control_),
              StatusIs(absl::StatusCode::kFailedPrecondition, "another program"));
}

// With gRPC's own listener the second caller would wait for ever.
TEST_F(ServerTest, AConnectionWithoutADescriptorIsClosedAndTheNextOnesAreTaken) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  UniqueFd client = NewSocket();
  {
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit few{.rlim_cur = 256, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    std::vector<UniqueFd> all;
    do {
      all.emplace_back(fcntl(client.get(), F_DUPFD_CLOEXEC, 0));
    } while (all.back().valid());
    all.pop_back();
    ASSERT_TRUE(ConnectTo(client));
    char byte = 0;
    EXPECT_EQ(read(client.get(), &byte, 1), 0) << "it must be closed";
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  }
  EXPECT_TRUE(Prepare("k").ok());
}

TEST_F(ServerTest, ConnectionsAreTakenAgainAfterAShortageOfMemory) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
  FailPoll("slk-accept", ENOMEM, 2);
  const UniqueFd first = NewSocket();  // is taken, and has the listener wait for the next one
  ASSERT_TRUE(ConnectTo(first));
  EXPECT_TRUE(Eventually([] { return PollFailuresLeft() == 0; }));
  EXPECT_TRUE(Prepare("k").ok());
}

TEST_F(ServerTest, AStopIsSeenInAShortageOfMemory) {
  {
    ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
    FailPoll("slk-accept", ENOMEM, 1 << 30);
    const UniqueFd first = NewSocket();
    ASSERT_TRUE(ConnectTo(first));
    EXPECT_TRUE(Eventually([] { return PollFailuresLeft() < 1 << 30; }));
  }
  FailPoll("slk-accept", 0, 0);
}

TEST_F(ServerTest, NothingIsLeftOfTheSocketAfterTheEnd) {
  {
    ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get(), &control_));
    EXPECT_TRUE(std::filesystem::exists(socket_));
  }
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(ServerTest, ImpossibleAddressesAreInvalid) {
  for (const std::string& path :
       {std::string("relative"), "/" + std::string(200, 'a'), std::string("/"), dir_ / "s/"}) {
    EXPECT_THAT(Listener::Check(path), StatusIs(absl::StatusCode::kInvalidArgument)) << path;
    EXPECT_THAT(Server::Listen(path, core_.get(), &control_),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << path;
  }
  EXPECT_FALSE(std::filesystem::exists(dir_ / "s"));
}

}  // namespace
}  // namespace slacker::testing
