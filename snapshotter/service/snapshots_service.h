// containerd's Snapshots service over gRPC: a thin adapter to Snapshotter. The field `snapshotter`
// of the requests and the namespace header are ignored, as containerd's own proxies do.
//
// Every RPC that fails is logged once, here: at INFO when the answer is the caller's business (no
// such key, …), at WARN when something is wrong on this node. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "snapshots.grpc.pb.h"
#include "snapshotter/core/core_snapshotter.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

namespace snapshots_v1 = ::containerd::services::snapshots::v1;

// The same code, the same message.
grpc::Status ToGrpc(const absl::Status& status);

// Logs which path a Prepare with a reference took. The field "remote-snapshot-prepared" is what
// other remote snapshotters write, so that existing log queries work.
void LogPathDecision(const PathDecision& decision);

class SnapshotsService final : public snapshots_v1::Snapshots::Service {
 public:
  // `snapshotter` must outlive the service.
  explicit SnapshotsService(Snapshotter* snapshotter) : snapshotter_(snapshotter) {}

  grpc::Status Prepare(grpc::ServerContext* context,
                       const snapshots_v1::PrepareSnapshotRequest* request,
                       snapshots_v1::PrepareSnapshotResponse* response) override;
  grpc::Status View(grpc::ServerContext* context, const snapshots_v1::ViewSnapshotRequest* request,
                    snapshots_v1::ViewSnapshotResponse* response) override;
  grpc::Status Mounts(grpc::ServerContext* context, const snapshots_v1::MountsRequest* request,
                      snapshots_v1::MountsResponse* response) override;
  grpc::Status Commit(grpc::ServerContext* context,
                      const snapshots_v1::CommitSnapshotRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status Remove(grpc::ServerContext* context,
                      const snapshots_v1::RemoveSnapshotRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status Stat(grpc::ServerContext* context, const snapshots_v1::StatSnapshotRequest* request,
                    snapshots_v1::StatSnapshotResponse* response) override;
  grpc::Status Update(grpc::ServerContext* context,
                      const snapshots_v1::UpdateSnapshotRequest* request,
                      snapshots_v1::UpdateSnapshotResponse* response) override;
  grpc::Status List(grpc::ServerContext* context, const snapshots_v1::ListSnapshotsRequest* request,
                    grpc::ServerWriter<snapshots_v1::ListSnapshotsResponse>* writer) override;
  grpc::Status Usage(grpc::ServerContext* context, const snapshots_v1::UsageRequest* request,
                     snapshots_v1::UsageResponse* response) override;
  grpc::Status Cleanup(grpc::ServerContext* context, const snapshots_v1::CleanupRequest* request,
                       google::protobuf::Empty* response) override;

  // From now on every call is answered UNAVAILABLE; those that run go on.
  void RefuseCalls() { refusing_ = true; }

 private:
  grpc::Status Answer(const char* rpc, const std::string& key,
                      const std::function<absl::Status()>& call) const;

  Snapshotter* const snapshotter_;
  std::atomic<bool> refusing_{false};
};

}  // namespace slacker
