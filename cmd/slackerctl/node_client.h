// slackerctl's side of the service Node (proto/node.proto): what a running slackerd says and does.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cmd/slackerctl/command.h"
#include "node.grpc.pb.h"

namespace slacker::ctl {

namespace node_v1 = ::slacker::node::v1;

// Adds --address.
void AddAddress(Command* command, std::string* address);

// Thread-safe. Errors: UNAVAILABLE, no slackerd serves the socket; UNIMPLEMENTED, an older one does.
class NodeClient {
 public:
  // `address`: the absolute path of slackerd's socket. Connects at the first call.
  static absl::StatusOr<std::unique_ptr<NodeClient>> Open(const std::string& address);

  absl::StatusOr<node_v1::StatusResponse> Status();
  // `told` of each layer as it is done.
  absl::Status Scrub(const node_v1::ScrubRequest& request,
                     const std::function<void(const node_v1::ScrubbedLayer&)>& told);

 private:
  explicit NodeClient(const std::string& address);

  const std::string address_;
  const std::unique_ptr<node_v1::Node::Stub> stub_;
};

}  // namespace slacker::ctl
