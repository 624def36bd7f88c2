// The parts of a containerd that slackerctl speaks to, on a socket.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "backend/base/digest.h"
#include "content.grpc.pb.h"
#include "images.grpc.pb.h"
#include "leases.grpc.pb.h"

namespace slacker::testing {

namespace content = ::containerd::services::content::v1;
namespace images = ::containerd::services::images::v1;
namespace leases = ::containerd::services::leases::v1;

// Its namespace is "ns". Changed between calls only.
class FakeContainerd final : public content::Content::Service, public images::Images::Service,
                             public leases::Leases::Service {
 public:
  explicit FakeContainerd(const std::string& socket) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix://" + socket, grpc::InsecureServerCredentials());
    builder.RegisterService(static_cast<content::Content::Service*>(this));
    builder.RegisterService(static_cast<images::Images::Service*>(this));
    builder.RegisterService(static_cast<leases::Leases::Service*>(this));
    server_ = builder.BuildAndStart();
  }

  std::map<std::string, std::string> blobs;  // by digest
  std::map<std::string, images::Descriptor> images;
  std::map<std::string, std::map<std::string, std::string>> labels;  // of blobs
  std::string lease;          // the one that there is
  size_t unleased_writes = 0;
  size_t lost_bytes = 0;  // at the end of what it sends
  size_t extra_bytes = 0;

 private:
  static bool InNamespace(grpc::ServerContext* context) {
    const auto it = context->client_metadata().find("containerd-namespace");
    return it != context->client_metadata().end() && it->second == "ns";
  }

  grpc::Status Get(grpc::ServerContext* context, const images::GetImageRequest* request,
                   images::GetImageResponse* response) override {
    const auto image = images.find(request->name());
    if (!InNamespace(context) || image == images.end()) {
      return {grpc::StatusCode::NOT_FOUND, "image: not found"};
    }
    response->mutable_image()->set_name(request->name());
    *response->mutable_image()->mutable_target() = image->second;
    return grpc::Status::OK;
  }

  grpc::Status Info(grpc::ServerContext* context, const content::InfoRequest* request,
                    content::InfoResponse* response) override {
    const auto blob = blobs.find(request->digest());
    if (!InNamespace(context) || blob == blobs.end()) {
      return {grpc::StatusCode::NOT_FOUND, "content: not found"};
    }
    response->mutable_info()->set_size(static_cast<int64_t>(blob->second.size()));
    return grpc::Status::OK;
  }

  grpc::Status Read(grpc::ServerContext* context, const content::ReadContentRequest* request,
                    grpc::ServerWriter<content::ReadContentResponse>* writer) override {
    const auto blob = blobs.find(request->digest());
    if (!InNamespace(context) || blob == blobs.end()) {
      return {grpc::StatusCode::NOT_FOUND, "content: not found"};
    }
    std::string bytes = blob->second.substr(static_cast<size_t>(request->offset()),
                                            static_cast<size_t>(request->size()));
    bytes.resize(bytes.size() - std::min(lost_bytes, bytes.size()));
    bytes.append(extra_bytes, 'x');
    constexpr size_t kPiece = 1 << 20;
    for (size_t at = 0; at < bytes.size(); at += kPiece) {
      content::ReadContentResponse response;
      response.set_data(bytes.substr(at, kPiece));
      writer->Write(response);
    }
    return grpc::Status::OK;
  }

  grpc::Status List(grpc::ServerContext* /*context*/, const images::ListImagesRequest* /*request*/,
                    images::ListImagesResponse* response) override {
    for (const auto& [name, target] : images) {
      images::Image* image = response->add_images();
      image->set_name(name);
      *image->mutable_target() = target;
    }
    return grpc::Status::OK;
  }

  grpc::Status Update(grpc::ServerContext* /*context*/, const images::UpdateImageRequest* request,
                      images::UpdateImageResponse* /*response*/) override {
    const auto image = images.find(request->image().name());
    if (image == images.end()) return {grpc::StatusCode::NOT_FOUND, "image: not found"};
    image->second = request->image().target();
    return grpc::Status::OK;
  }

  grpc::Status Write(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<content::WriteContentResponse, content::WriteContentRequest>* stream)
      override {
    const auto leased = context->client_metadata().find("containerd-lease");
    if (leased == context->client_metadata().end() || leased->second != lease) ++unleased_writes;
    std::string bytes;
    content::WriteContentRequest request;
    while (stream->Read(&request)) {
      if (request.ref().empty()) return {grpc::StatusCode::INVALID_ARGUMENT, "no ref"};
      if (blobs.contains(request.expected())) return {grpc::StatusCode::ALREADY_EXISTS, "exists"};
      if (static_cast<size_t>(request.offset()) != bytes.size()) {
        return {grpc::StatusCode::OUT_OF_RANGE, "offset"};
      }
      bytes += request.data();
      content::WriteContentResponse response;
      response.set_action(request.action());
      response.set_offset(static_cast<int64_t>(bytes.size()));
      if (request.action() == content::COMMIT) {
        if (Sha256::Of(bytes).ToString() != request.expected() ||
            static_cast<size_t>(request.total()) != bytes.size()) {
          return {grpc::StatusCode::FAILED_PRECONDITION, "unexpected commit"};
        }
        blobs[request.expected()] = bytes;
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  grpc::Status Update(grpc::ServerContext* /*context*/, const content::UpdateRequest* request,
                      content::UpdateResponse* /*response*/) override {
    if (!blobs.contains(request->info().digest())) return {grpc::StatusCode::NOT_FOUND, "content"};
    for (const auto& [name, value] : request->info().labels()) {
      labels[request->info().digest()][name] = value;
    }
    return grpc::Status::OK;
  }

  grpc::Status Create(grpc::ServerContext* /*context*/, const leases::CreateRequest* request,
                      leases::CreateResponse* /*response*/) override {
    lease = request->id();
    return grpc::Status::OK;
  }

  grpc::Status Delete(grpc::ServerContext* /*context*/, const leases::DeleteRequest* request,
                      google::protobuf::Empty* /*response*/) override {
    if (lease == request->id()) lease.clear();
    return grpc::Status::OK;
  }

  std::unique_ptr<grpc::Server> server_;
};

}  // namespace slacker::testing
