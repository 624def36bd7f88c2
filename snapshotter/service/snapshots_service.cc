#include "snapshotter/service/snapshots_service.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/service/convert.h"

namespace slacker {
namespace {

using grpc::ServerContext;

constexpr int kListBatch = 100;  // containerd's own services send batches of this size
// Labels of one snapshot may be 256 KiB: a hundred of them would be more than clients take (containerd 16 MiB,
// gRPC by itself 4).
constexpr size_t kListBatchBytes = size_t{1} << 20;
constexpr size_t kMaxLoggedBytes = 256;

std::string Logged(const std::string& text) {
  return text.size() <= kMaxLoggedBytes ? text : text.substr(0, kMaxLoggedBytes) + "…";
}

LogLevel LevelOf(absl::StatusCode code) {
  switch (code) {
    // "A remote snapshot is there": what a lazy pull is answered, layer by layer.
    case absl::StatusCode::kAlreadyExists:
      return LogLevel::kDebug;
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return LogLevel::kInfo;
    default:  // says something about this node rather than about the request
      return LogLevel::kWarning;
  }
}

}  // namespace

// Exceptions (of third parties; no memory for something large) must not end the daemon: containerd
// asks again and again, so one request that brings them about would end it as often, for everybody.
// Whoever comes by here leaves with destructors whatever others wait for.
grpc::Status SnapshotsService::Answer(const char* rpc, const std::string& key,
                                      const std::function<absl::Status()>& call) const {
  if (refusing_) return ToGrpc(Unavailable("slackerd is stopping"));
  absl::Status status;
  try {
    status = call();
  } catch (const std::exception& exception) {
    status = Internal(exception.what());
  }
  if (!status.ok()) {
    Log(LevelOf(status.code()), "request failed",
        {{"rpc", rpc},
         {"key", Logged(key)},
         {"code", absl::StatusCodeToString(status.code())},
         {"error", Message(status)}});
  }
  return ToGrpc(status);
}

grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.raw_code()), Message(status)};
}

void LogPathDecision(const PathDecision& decision) {
  Log(LogLevel::kInfo, decision.remote ? "remote snapshot prepared" : "ordinary snapshot",
      {{"remote-snapshot-prepared", decision.remote ? "true" : "false"},
       {"key", Logged(decision.key)},
       {"parent", Logged(decision.parent)},
       {"ref", Logged(decision.ref)},
       {"reason", decision.reason},
       {"error", decision.detail}});
}

grpc::Status SnapshotsService::Prepare(ServerContext* /*context*/,
                                       const snapshots_v1::PrepareSnapshotRequest* request,
                                       snapshots_v1::PrepareSnapshotResponse* response) {
  return Answer("Prepare", request->key(), [&] {
    auto mounts = snapshotter_->Prepare(request->key(), request->parent(),
                                        LabelsFromProto(request->labels()));
    RETURN_IF_ERROR(mounts.status());
    MountsToProto(*mounts, response->mutable_mounts());
    return absl::OkStatus();
  });
}

grpc::Status SnapshotsService::View(ServerContext* /*context*/,
                                    const snapshots_v1::ViewSnapshotRequest* request,
                                    snapshots_v1::ViewSnapshotResponse* response) {
  return Answer("View", request->key(), [&] {
    auto mounts =
        snapshotter_->View(request->key(), request->parent(), LabelsFromProto(request->labels()));
    RETURN_IF_ERROR(mounts.status());
    MountsToProto(*mounts, response->mutable_mounts());
    return absl::OkStatus();
  });
}

grpc::Status SnapshotsService::Mounts(ServerContext* /*context*/,
                                      const snapshots_v1::MountsRequest* request,
                                      snapshots_v1::MountsResponse* response) {
  return Answer("Mounts", request->key(), [&] {
    auto mounts = snapshotter_->Mounts(request->key());
    RETURN_IF_ERROR(mounts.status());
    MountsToProto(*mounts, response->mutable_mounts());
    return absl::OkStatus();
  });
}

grpc::Status SnapshotsService::Commit(ServerContext* /*context*/,
                                      const snapshots_v1::CommitSnapshotRequest* request,
                                      google::protobuf::Empty* /*response*/) {
  return Answer("Commit", request->key(), [&] {
    return snapshotter_->Commit(request->name(), request->key(), LabelsFromProto(request->labels()),
                                request->parent());
  });
}

grpc::Status SnapshotsService::Remove(ServerContext* /*context*/,
                                      const snapshots_v1::RemoveSnapshotRequest* request,
                                      google::protobuf::Empty* /*response*/) {
  return Answer("Remove", request->key(), [&] { return snapshotter_->Remove(request->key()); });
}

grpc::Status SnapshotsService::Stat(ServerContext* /*context*/,
                                    const snapshots_v1::StatSnapshotRequest* request,
                                    snapshots_v1::StatSnapshotResponse* response) {
  return Answer("Stat", request->key(), [&] {
    auto info = snapshotter_->Stat(request->key());
    RETURN_IF_ERROR(info.status());
    InfoToProto(*info, response->mutable_info());
    return absl::OkStatus();
  });
}

grpc::Status SnapshotsService::Update(ServerContext* /*context*/,
                                      const snapshots_v1::UpdateSnapshotRequest* request,
                                      snapshots_v1::UpdateSnapshotResponse* response) {
  return Answer("Update", request->info().name(), [&] {
    const auto& paths = request->update_mask().paths();
    auto info =
        snapshotter_->Update(request->info().name(), LabelsFromProto(request->info().labels()),
                             UpdateMask{{paths.begin(), paths.end()}});
    RETURN_IF_ERROR(info.status());
    InfoToProto(*info, response->mutable_info());
    return absl::OkStatus();
  });
}

grpc::Status SnapshotsService::List(
    ServerContext* context, const snapshots_v1::ListSnapshotsRequest* request,
    grpc::ServerWriter<snapshots_v1::ListSnapshotsResponse>* writer) {
  return Answer("List", "", [&] {
    snapshots_v1::ListSnapshotsResponse batch;
    size_t batch_bytes = 0;
    const auto send = [&] {
      if (context->IsCancelled() || !writer->Write(batch)) return Cancelled("the caller went away");
      batch.Clear();
      batch_bytes = 0;
      return absl::OkStatus();
    };
    const absl::Status listed = snapshotter_->List(
        {request->filters().begin(), request->filters().end()}, [&](const SnapshotInfo& info) {
          InfoToProto(info, batch.add_info());
          batch_bytes += batch.info(batch.info_size() - 1).ByteSizeLong();
          const bool full = batch.info_size() == kListBatch || batch_bytes >= kListBatchBytes;
          return full ? send() : absl::OkStatus();
        });
    RETURN_IF_ERROR(listed);
    return batch.info_size() == 0 ? absl::OkStatus() : send();
  });
}

grpc::Status SnapshotsService::Usage(ServerContext* /*context*/,
                                     const snapshots_v1::UsageRequest* request,
                                     snapshots_v1::UsageResponse* response) {
  return Answer("Usage", request->key(), [&] {
    auto usage = snapshotter_->Usage(request->key());
    RETURN_IF_ERROR(usage.status());
    response->set_size(usage->size_bytes);
    response->set_inodes(usage->inodes);
    return absl::OkStatus();
  });
}

grpc::Status SnapshotsService::Cleanup(ServerContext* /*context*/,
                                       const snapshots_v1::CleanupRequest* /*request*/,
                                       google::protobuf::Empty* /*response*/) {
  return Answer("Cleanup", "", [&] { return snapshotter_->Cleanup(); });
}

}  // namespace slacker
