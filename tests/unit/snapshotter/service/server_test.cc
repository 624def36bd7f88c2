// The server on a real socket.
#include "snapshotter/service/server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "backend/base/clock.h"
#include "snapshotter/core/core_snapshotter.h"
#include "tests/support/fake_file_ops.h"
#include "tests/support/fake_images.h"
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
    auto core =
        CoreSnapshotter::Open(db_.get(), &files_, &images_, &SystemClock(),
                              {.root = dir_.path(), .overlay_index_off = false, .on_decision = {}});
    EXPECT_OK(core);
    core_ = *std::move(core);
  }
  std::unique_ptr<snapshots_v1::Snapshots::Stub> Connect() {
    return snapshots_v1::Snapshots::NewStub(
        grpc::CreateChannel("unix:" + socket_, grpc::InsecureChannelCredentials()));
  }
  // A socket file that nobody listens on.
  void LeaveStaleSocket() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket_.data(), socket_.size());
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }

  TempDir dir_;
  const std::string socket_ = dir_ / "s/slackerd.sock";
  FakeFileOps files_;
  FakeImages images_{dir_.path()};
  std::unique_ptr<Db> db_;
  std::unique_ptr<CoreSnapshotter> core_;
};

TEST_F(ServerTest, ServesOnAPrivateSocket) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get()));
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

TEST_F(ServerTest, ListStreamsInBatchesOfAHundred) {
  for (int i = 0; i < 250; ++i) ASSERT_OK(core_->View(std::to_string(i), "", {}));
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get()));
  const auto stub = Connect();
  grpc::ClientContext context;
  const auto reader = stub->List(&context, {});
  std::vector<int> sizes;
  snapshots_v1::ListSnapshotsResponse batch;
  while (reader->Read(&batch)) sizes.push_back(batch.info_size());
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_THAT(sizes, ::testing::ElementsAre(100, 100, 50));
}

TEST_F(ServerTest, ACallerThatGoesAwayDuringListDisturbsNobody) {
  for (int i = 0; i < 250; ++i) ASSERT_OK(core_->View(std::to_string(i), "", {}));
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get()));
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
  LeaveStaleSocket();
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get()));
  grpc::ClientContext context;
  google::protobuf::Empty response;
  EXPECT_TRUE(Connect()->Cleanup(&context, {}, &response).ok());
}

TEST_F(ServerTest, ALiveServerIsNotReplaced) {
  ASSERT_OK_AND_ASSIGN(const auto server, Server::Listen(socket_, core_.get()));
  EXPECT_THAT(Server::Listen(socket_, core_.get()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "another daemon"));
  grpc::ClientContext context;
  google::protobuf::Empty response;
  EXPECT_TRUE(Connect()->Cleanup(&context, {}, &response).ok());
}

TEST_F(ServerTest, ALiveSocketOfAnotherProgramIsNotReplaced) {
  std::filesystem::create_directories(dir_ / "s");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(fd.get(), 1), 0);
  EXPECT_THAT(Server::Listen(socket_, core_.get()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "another program"));
}

TEST_F(ServerTest, AFileThatIsNoSocketIsKept) {
  std::filesystem::create_directories(dir_ / "s");
  std::ofstream(socket_) << "precious";
  EXPECT_THAT(Server::Listen(socket_, core_.get()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "not a socket"));
  EXPECT_EQ(std::filesystem::file_size(socket_), 8U);
}

TEST_F(ServerTest, ImpossibleAddressesAreInvalid) {
  EXPECT_THAT(Server::Listen("relative", core_.get()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Server::Listen("/" + std::string(200, 'a'), core_.get()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace slacker::testing
