#include "cmd/slackerctl/node_client.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "backend/base/status.h"
#include "cmd/common/grpc_status.h"
#include "cmd/common/hint.h"

namespace slacker::ctl {
namespace {

constexpr std::chrono::seconds kAnswerTime{30};
constexpr char kHint[] = "see whether it runs, and whether this is its socket (--address)";

}  // namespace

void AddAddress(Command* command, std::string* address) {
  *address = "/run/slacker/slackerd.sock";
  command->Add("--address", address, "slackerd's socket").ShowDefault();
}

absl::StatusOr<std::unique_ptr<NodeClient>> NodeClient::Open(const std::string& address) {
  if (!address.starts_with('/')) {
    return InvalidArgument("slackerd's address must be the absolute path of its socket");
  }
  if (access(address.c_str(), F_OK) != 0 && errno == ENOENT) {
    return WithHint(NotFound("there is no slackerd at " + address), kHint);
  }
  return std::unique_ptr<NodeClient>(new NodeClient(address));
}

NodeClient::NodeClient(const std::string& address)
    : address_(address),
      stub_(node_v1::Node::NewStub(
          grpc::CreateChannel("unix://" + address, grpc::InsecureChannelCredentials()))) {}

absl::StatusOr<node_v1::StatusResponse> NodeClient::Status() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kAnswerTime);
  node_v1::StatusResponse response;
  RETURN_IF_ERROR(FromGrpc(stub_->Status(&context, {}, &response), "slackerd at " + address_));
  return response;
}

absl::Status NodeClient::Scrub(const node_v1::ScrubRequest& request,
                               const std::function<void(const node_v1::ScrubbedLayer&)>& told) {
  grpc::ClientContext context;  // as long as it takes
  const auto reader = stub_->Scrub(&context, request);
  node_v1::ScrubbedLayer layer;
  while (reader->Read(&layer)) told(layer);
  return FromGrpc(reader->Finish(), "slackerd at " + address_);
}

}  // namespace slacker::ctl
