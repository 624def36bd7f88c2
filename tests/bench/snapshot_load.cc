// Fills a slackerd for the script "footprint", which measures it from outside:
//
//   snapshot_load SOCKET prepare COUNT [PARENT]   makes so many snapshots, every second one committed
//   snapshot_load SOCKET attach CHAIN_ID...       makes a published image's layers known, bottom
//                                                 first, and prepares a snapshot on the last one
#include <grpcpp/grpcpp.h>

#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "snapshots.grpc.pb.h"

namespace slacker {
namespace {

namespace api = containerd::services::snapshots::v1;

constexpr char kRefLabel[] = "containerd.io/snapshot.ref";

class Client {
 public:
  explicit Client(const std::string& socket)
      : stub_(api::Snapshots::NewStub(
            grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()))) {}

  grpc::Status Prepare(const std::string& key, const std::string& parent, const std::string& ref) {
    api::PrepareSnapshotRequest request;
    request.set_key(key);
    request.set_parent(parent);
    if (!ref.empty()) (*request.mutable_labels())[kRefLabel] = ref;
    grpc::ClientContext context;
    api::PrepareSnapshotResponse response;
    return stub_->Prepare(&context, request, &response);
  }

  // The committed snapshot of that chain on that parent; empty if there is none.
  std::string Find(const std::string& parent, const std::string& ref) {
    api::ListSnapshotsRequest request;
    request.add_filters("labels.\"" + std::string(kRefLabel) + "\"==" + ref + ",parent==\"" +
                        parent + "\"");
    grpc::ClientContext context;
    const auto reader = stub_->List(&context, request);
    std::string name;
    for (api::ListSnapshotsResponse part; reader->Read(&part);) {
      for (const auto& info : part.info()) name = info.name();
    }
    return reader->Finish().ok() ? name : "";
  }

  grpc::Status Commit(const std::string& name, const std::string& key) {
    api::CommitSnapshotRequest request;
    request.set_name(name);
    request.set_key(key);
    grpc::ClientContext context;
    google::protobuf::Empty response;
    return stub_->Commit(&context, request, &response);
  }

 private:
  const std::unique_ptr<api::Snapshots::Stub> stub_;
};

grpc::Status PrepareMany(Client& client, int count, const std::string& parent) {
  for (int i = 0; i < count; ++i) {
    const std::string key = "load-" + std::to_string(i);
    if (const auto status = client.Prepare(key, parent, ""); !status.ok()) return status;
    if (i % 2 == 0) continue;
    if (const auto status = client.Commit(key + "-done", key); !status.ok()) return status;
  }
  return grpc::Status::OK;
}

grpc::Status AttachImage(Client& client, const std::vector<std::string>& chain) {
  std::string parent;
  for (const std::string& id : chain) {
    const auto status = client.Prepare("extract " + id, parent, id);
    if (status.ok()) return {grpc::StatusCode::NOT_FOUND, id + " is not published"};
    if (status.error_code() != grpc::StatusCode::ALREADY_EXISTS) return status;
    parent = client.Find(parent, id);
    if (parent.empty()) return {grpc::StatusCode::NOT_FOUND, id + " was not committed"};
  }
  return client.Prepare("container on " + parent, parent, "");
}

int Main(const std::vector<std::string>& words) {
  grpc::Status status(grpc::StatusCode::INVALID_ARGUMENT, "see the head of snapshot_load.cc");
  if (words.size() >= 3) {
    Client client(words[0]);
    int count = 0;
    const std::string& third = words[2];
    if (words[1] == "attach") {
      status = AttachImage(client, {words.begin() + 2, words.end()});
    } else if (words[1] == "prepare" &&
               std::from_chars(third.data(), third.data() + third.size(), count).ec ==
                   std::errc()) {
      status = PrepareMany(client, count, words.size() > 3 ? words[3] : "");
    }
  }
  if (!status.ok()) std::fprintf(stderr, "snapshot_load: %s\n", status.error_message().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace slacker

int main(int argc, char** argv) { return slacker::Main({argv + 1, argv + argc}); }
