// The gRPC adapter, called directly: conversions, and every RPC × failure → status code.
#include <gmock/gmock.h>

#include <map>

#include "snapshotter/service/convert.h"
#include "snapshotter/service/snapshots_service.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using grpc::StatusCode;

// Answers every call with one status.
class CannedSnapshotter final : public Snapshotter {
 public:
  absl::Status status;
  bool throws = false;
  SnapshotInfo info{.name = "n",
                    .parent = "p",
                    .kind = Kind::kView,
                    .created_nanos = 1'700'000'000'123'456'789,
                    .updated_nanos = -1,
                    .labels = {{"k", "v"}}};
  Labels labels;
  UpdateMask mask;
  std::vector<std::string> arguments;

  absl::StatusOr<std::vector<MountSpec>> Prepare(const std::string& key, const std::string& parent,
                                                 const Labels& given) override {
    return MountsFrom({key, parent}, given);
  }
  absl::StatusOr<std::vector<MountSpec>> View(const std::string& key, const std::string& parent,
                                              const Labels& given) override {
    return MountsFrom({key, parent}, given);
  }
  absl::StatusOr<std::vector<MountSpec>> Mounts(const std::string& key) override {
    return MountsFrom({key}, {});
  }
  absl::Status Commit(const std::string& name, const std::string& key, const Labels& given,
                      const std::string& parent) override {
    return Note({name, key, parent}, given);
  }
  absl::Status Remove(const std::string& key) override { return Note({key}, {}); }
  absl::StatusOr<SnapshotInfo> Stat(const std::string& key) override {
    RETURN_IF_ERROR(Note({key}, {}));
    return info;
  }
  absl::StatusOr<SnapshotInfo> Update(const std::string& name, const Labels& given,
                                      const UpdateMask& given_mask) override {
    mask = given_mask;
    RETURN_IF_ERROR(Note({name}, given));
    return info;
  }
  absl::Status List(const std::vector<std::string>& filters,
                    const std::function<absl::Status(const SnapshotInfo&)>& /*visit*/) override {
    return Note(filters, {});
  }
  absl::StatusOr<SnapshotUsage> Usage(const std::string& key) override {
    RETURN_IF_ERROR(Note({key}, {}));
    return SnapshotUsage{.size_bytes = 7, .inodes = 3};
  }
  absl::Status Cleanup() override { return Note({}, {}); }

 private:
  absl::Status Note(std::vector<std::string> given, const Labels& given_labels) {
    if (throws) throw std::runtime_error("from a library");
    arguments = std::move(given);
    labels = given_labels;
    return status;
  }
  absl::StatusOr<std::vector<MountSpec>> MountsFrom(std::vector<std::string> given,
                                                    const Labels& given_labels) {
    RETURN_IF_ERROR(Note(std::move(given), given_labels));
    return std::vector<MountSpec>{{.type = "overlay", .source = "s", .options = {"a", "b"}}};
  }
};

class ServiceTest : public ::testing::Test {
 protected:
  // Every RPC by name, with an empty request.
  std::map<std::string, std::function<grpc::Status()>> Rpcs() {
    return {
        {"Prepare", [this] { return service_.Prepare(&context_, &prepare_, &prepared_); }},
        {"View", [this] { return service_.View(&context_, &view_, &viewed_); }},
        {"Mounts", [this] { return service_.Mounts(&context_, &mounts_, &mounted_); }},
        {"Commit", [this] { return service_.Commit(&context_, &commit_, &empty_); }},
        {"Remove", [this] { return service_.Remove(&context_, &remove_, &empty_); }},
        {"Stat", [this] { return service_.Stat(&context_, &stat_, &stated_); }},
        {"Update", [this] { return service_.Update(&context_, &update_, &updated_); }},
        {"List", [this] { return service_.List(&context_, &list_, nullptr); }},
        {"Usage", [this] { return service_.Usage(&context_, &usage_, &used_); }},
        {"Cleanup", [this] { return service_.Cleanup(&context_, &cleanup_, &empty_); }},
    };
  }

  CannedSnapshotter snapshotter_;
  SnapshotsService service_{&snapshotter_};
  grpc::ServerContext context_;
  google::protobuf::Empty empty_;
  snapshots_v1::PrepareSnapshotRequest prepare_;
  snapshots_v1::PrepareSnapshotResponse prepared_;
  snapshots_v1::ViewSnapshotRequest view_;
  snapshots_v1::ViewSnapshotResponse viewed_;
  snapshots_v1::MountsRequest mounts_;
  snapshots_v1::MountsResponse mounted_;
  snapshots_v1::CommitSnapshotRequest commit_;
  snapshots_v1::RemoveSnapshotRequest remove_;
  snapshots_v1::StatSnapshotRequest stat_;
  snapshots_v1::StatSnapshotResponse stated_;
  snapshots_v1::UpdateSnapshotRequest update_;
  snapshots_v1::UpdateSnapshotResponse updated_;
  snapshots_v1::ListSnapshotsRequest list_;
  snapshots_v1::UsageRequest usage_;
  snapshots_v1::UsageResponse used_;
  snapshots_v1::CleanupRequest cleanup_;
};

TEST_F(ServiceTest, EveryFailureOfEveryRpcKeepsItsCodeAndText) {
  const std::vector<std::pair<absl::Status, StatusCode>> failures = {
      {InvalidArgument("text"), StatusCode::INVALID_ARGUMENT},
      {NotFound("text"), StatusCode::NOT_FOUND},
      {AlreadyExists("text"), StatusCode::ALREADY_EXISTS},
      {FailedPrecondition("text"), StatusCode::FAILED_PRECONDITION},
      {Unavailable("text"), StatusCode::UNAVAILABLE},
      {DeadlineExceeded("text"), StatusCode::DEADLINE_EXCEEDED},
      {ResourceExhausted("text"), StatusCode::RESOURCE_EXHAUSTED},
      {PermissionDenied("text"), StatusCode::PERMISSION_DENIED},
      {DataLoss("text"), StatusCode::DATA_LOSS},
      {Internal("text"), StatusCode::INTERNAL},
      {Cancelled("text"), StatusCode::CANCELLED},
  };
  for (const auto& [rpc, call] : Rpcs()) {
    for (const auto& [status, code] : failures) {
      snapshotter_.status = status;
      const grpc::Status answer = call();
      EXPECT_EQ(answer.error_code(), code) << rpc;
      EXPECT_EQ(answer.error_message(), "text") << rpc;
    }
    snapshotter_.status = absl::OkStatus();
    EXPECT_TRUE(call().ok()) << rpc;
  }
}

TEST_F(ServiceTest, AnExceptionOfALibraryIsInternal) {
  snapshotter_.throws = true;
  for (const auto& [rpc, call] : Rpcs()) {
    EXPECT_EQ(call().error_code(), StatusCode::INTERNAL) << rpc;
  }
}

TEST_F(ServiceTest, PrepareAndViewPassEverythingOn) {
  prepare_.set_key("k");
  prepare_.set_parent("p");
  (*prepare_.mutable_labels())["l"] = "v";
  ASSERT_TRUE(service_.Prepare(&context_, &prepare_, &prepared_).ok());
  EXPECT_THAT(snapshotter_.arguments, ::testing::ElementsAre("k", "p"));
  EXPECT_EQ(snapshotter_.labels, (Labels{{"l", "v"}}));
  ASSERT_EQ(prepared_.mounts_size(), 1);
  EXPECT_EQ(prepared_.mounts(0).type(), "overlay");
  EXPECT_EQ(prepared_.mounts(0).source(), "s");
  EXPECT_EQ(prepared_.mounts(0).target(), "");
  EXPECT_THAT(prepared_.mounts(0).options(), ::testing::ElementsAre("a", "b"));
}

TEST_F(ServiceTest, TheSnapshotterFieldAndUnknownFieldsAreIgnored) {
  prepare_.set_snapshotter("another");
  prepare_.set_key("k");
  // Field 100, text: of a protocol that is newer than this program.
  ASSERT_TRUE(prepare_.MergeFromString("\xa2\x06\x03new"));
  ASSERT_TRUE(service_.Prepare(&context_, &prepare_, &prepared_).ok());
  EXPECT_THAT(snapshotter_.arguments, ::testing::ElementsAre("k", ""));
}

TEST_F(ServiceTest, NothingIsAskedOfTheSnapshotterOnceCallsAreRefused) {
  snapshotter_.arguments = {"untouched"};
  service_.RefuseCalls();
  for (const auto& [rpc, call] : Rpcs()) {
    EXPECT_EQ(call().error_code(), StatusCode::UNAVAILABLE) << rpc;
  }
  EXPECT_THAT(snapshotter_.arguments, ::testing::ElementsAre("untouched"));
}

TEST_F(ServiceTest, CommitPassesNameKeyAndParent) {
  commit_.set_name("n");
  commit_.set_key("k");
  commit_.set_parent("p");
  ASSERT_TRUE(service_.Commit(&context_, &commit_, &empty_).ok());
  EXPECT_THAT(snapshotter_.arguments, ::testing::ElementsAre("n", "k", "p"));
}

TEST_F(ServiceTest, CommitsParentIsField5OfTheWire) {
  ASSERT_TRUE(commit_.ParseFromString("\x12\x01n\x1a\x01k\x2a\x01p"));
  ASSERT_TRUE(service_.Commit(&context_, &commit_, &empty_).ok());
  EXPECT_THAT(snapshotter_.arguments, ::testing::ElementsAre("n", "k", "p"));
}

TEST_F(ServiceTest, UpdatePassesTheMaskAndAnswersTheInfo) {
  update_.mutable_info()->set_name("n");
  (*update_.mutable_info()->mutable_labels())["l"] = "v";
  update_.mutable_update_mask()->add_paths("labels.l");
  ASSERT_TRUE(service_.Update(&context_, &update_, &updated_).ok());
  EXPECT_THAT(snapshotter_.mask.paths, ::testing::ElementsAre("labels.l"));
  EXPECT_EQ(snapshotter_.labels, (Labels{{"l", "v"}}));
  EXPECT_EQ(updated_.info().name(), "n");
}

TEST_F(ServiceTest, InfosKeepNanosecondsAlsoBefore1970) {
  ASSERT_TRUE(service_.Stat(&context_, &stat_, &stated_).ok());
  const snapshots_v1::Info& info = stated_.info();
  EXPECT_EQ(info.parent(), "p");
  EXPECT_EQ(info.kind(), snapshots_v1::VIEW);
  EXPECT_EQ(info.created_at().seconds(), 1'700'000'000);
  EXPECT_EQ(info.created_at().nanos(), 123'456'789);
  EXPECT_EQ(info.updated_at().seconds(), -1);
  EXPECT_EQ(info.updated_at().nanos(), 999'999'999);
  EXPECT_EQ(info.labels().at("k"), "v");
}

TEST_F(ServiceTest, UsageIsPassedOn) {
  ASSERT_TRUE(service_.Usage(&context_, &usage_, &used_).ok());
  EXPECT_EQ(used_.size(), 7);
  EXPECT_EQ(used_.inodes(), 3);
}

}  // namespace
}  // namespace slacker::testing
