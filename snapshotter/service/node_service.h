// The service Node (proto/node.proto) over gRPC: a thin adapter to NodeControl. Thread-safe.
#pragma once

#include "node.grpc.pb.h"
#include "snapshotter/node_control.h"

namespace slacker {

namespace node_v1 = ::slacker::node::v1;

class NodeService final : public node_v1::Node::Service {
 public:
  // `control` must outlive the service.
  explicit NodeService(NodeControl* control) : control_(control) {}

  grpc::Status Status(grpc::ServerContext* context, const node_v1::StatusRequest* request,
                      node_v1::StatusResponse* response) override;
  grpc::Status Scrub(grpc::ServerContext* context, const node_v1::ScrubRequest* request,
                     grpc::ServerWriter<node_v1::ScrubbedLayer>* writer) override;

 private:
  NodeControl* const control_;
};

}  // namespace slacker
