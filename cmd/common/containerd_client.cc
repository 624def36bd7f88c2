#include "cmd/common/containerd_client.h"

#include <grpcpp/grpcpp.h>

#include <ctime>
#include <utility>

#include "backend/base/random.h"
#include "backend/base/status.h"
#include "cmd/common/grpc_status.h"

namespace slacker {
namespace {

namespace content = ::containerd::services::content::v1;
namespace images = ::containerd::services::images::v1;
namespace leases = ::containerd::services::leases::v1;

constexpr time_t kLeaseSeconds = 24 * 60 * 60;

std::string InADay() {
  const time_t then = time(nullptr) + kLeaseSeconds;
  tm parts{};
  gmtime_r(&then, &parts);
  char text[32];
  return {text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<ContainerdClient>> ContainerdClient::Open(
    const ContainerdOptions& options) {
  if (!options.address.starts_with('/')) {
    return InvalidArgument("containerd's address must be the absolute path of its socket");
  }
  return std::unique_ptr<ContainerdClient>(new ContainerdClient(options));
}

ContainerdClient::ContainerdClient(const ContainerdOptions& options)
    : options_(options),
      channel_(
          grpc::CreateChannel("unix://" + options.address, grpc::InsecureChannelCredentials())),
      content_(content::Content::NewStub(channel_)),
      images_(images::Images::NewStub(channel_)),
      leases_(leases::Leases::NewStub(channel_)) {}

void ContainerdClient::Prepare(grpc::ClientContext* context) const {
  context->set_deadline(std::chrono::system_clock::now() + options_.rpc_timeout);
  context->AddMetadata("containerd-namespace", options_.name_space);
  if (!lease_.empty()) context->AddMetadata("containerd-lease", lease_);
}

absl::StatusOr<images::Image> ContainerdClient::GetImage(const std::string& name) {
  grpc::ClientContext context;
  Prepare(&context);
  images::GetImageRequest request;
  request.set_name(name);
  images::GetImageResponse response;
  RETURN_IF_ERROR(
      FromGrpc(images_->Get(&context, request, &response), "containerd: image " + name));
  return response.image();
}

absl::StatusOr<std::vector<images::Image>> ContainerdClient::ListImages() {
  grpc::ClientContext context;
  Prepare(&context);
  images::ListImagesResponse response;
  RETURN_IF_ERROR(FromGrpc(images_->List(&context, {}, &response), "containerd: images"));
  return std::vector<images::Image>(response.images().begin(), response.images().end());
}

absl::Status ContainerdClient::SetTarget(const std::string& name,
                                         const images::Descriptor& target) {
  grpc::ClientContext context;
  Prepare(&context);
  images::UpdateImageRequest request;
  request.mutable_image()->set_name(name);
  *request.mutable_image()->mutable_target() = target;
  request.mutable_update_mask()->add_paths("target");
  images::UpdateImageResponse response;
  return FromGrpc(images_->Update(&context, request, &response), "containerd: image " + name);
}

absl::StatusOr<uint64_t> ContainerdClient::GetSize(const Digest& digest) {
  grpc::ClientContext context;
  Prepare(&context);
  content::InfoRequest request;
  request.set_digest(digest.ToString());
  content::InfoResponse response;
  RETURN_IF_ERROR(FromGrpc(content_->Info(&context, request, &response),
                           "containerd: blob " + digest.ToString()));
  return static_cast<uint64_t>(response.info().size());
}

absl::Status ContainerdClient::Read(const Digest& digest, uint64_t offset, uint64_t size,
                                    std::string* bytes) {
  grpc::ClientContext context;
  Prepare(&context);
  content::ReadContentRequest request;
  request.set_digest(digest.ToString());
  request.set_offset(static_cast<int64_t>(offset));
  request.set_size(static_cast<int64_t>(size));
  const auto reader = content_->Read(&context, request);
  bytes->clear();
  content::ReadContentResponse response;
  while (reader->Read(&response)) {
    if (response.data().size() > size - bytes->size()) {
      context.TryCancel();
      return DataLoss("containerd answers with more of " + digest.ToString() +
                      " than was asked for");
    }
    bytes->append(response.data());
  }
  RETURN_IF_ERROR(FromGrpc(reader->Finish(), "containerd: reading " + digest.ToString()));
  if (bytes->size() == size) return absl::OkStatus();
  return DataLoss("containerd's blob " + digest.ToString() + " ends too early");
}

absl::Status ContainerdClient::Write(
    const Digest& digest, uint64_t size,
    const std::function<absl::StatusOr<std::string>(uint64_t offset)>& read) {
  // However large it is: containerd's own disk decides how long that takes.
  grpc::ClientContext context;
  context.AddMetadata("containerd-namespace", options_.name_space);
  if (!lease_.empty()) context.AddMetadata("containerd-lease", lease_);
  const auto stream = content_->Write(&context);
  content::WriteContentRequest request;
  request.set_ref("slacker-" + digest.ToString());
  request.set_total(static_cast<int64_t>(size));
  request.set_expected(digest.ToString());
  absl::Status failed;
  for (uint64_t offset = 0;;) {
    request.set_action(offset < size ? content::WRITE : content::COMMIT);
    request.set_offset(static_cast<int64_t>(offset));
    request.clear_data();
    if (offset < size) {
      auto bytes = read(offset);
      if (bytes.ok() && bytes->empty()) bytes = DataLoss("the blob ends too early");
      if (!bytes.ok()) {
        failed = bytes.status();
        context.TryCancel();
        break;
      }
      offset += bytes->size();
      request.set_data(*std::move(bytes));
    }
    // Where it ends, its status says what is wrong.
    content::WriteContentResponse response;
    if (!stream->Write(request) || !stream->Read(&response)) break;
    if (request.action() == content::COMMIT) break;
  }
  // To the end of its answers: else containerd's status would not come.
  stream->WritesDone();
  content::WriteContentResponse last;
  while (stream->Read(&last)) {
  }
  const absl::Status status =
      FromGrpc(stream->Finish(), "containerd: writing " + digest.ToString());
  if (!failed.ok()) return failed;
  return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
}

absl::Status ContainerdClient::SetLabels(const Digest& digest,
                                         const std::map<std::string, std::string>& labels) {
  grpc::ClientContext context;
  Prepare(&context);
  content::UpdateRequest request;
  request.mutable_info()->set_digest(digest.ToString());
  for (const auto& [name, value] : labels) {
    (*request.mutable_info()->mutable_labels())[name] = value;
    request.mutable_update_mask()->add_paths("labels." + name);
  }
  content::UpdateResponse response;
  return FromGrpc(content_->Update(&context, request, &response),
                  "containerd: labels of " + digest.ToString());
}

absl::Status ContainerdClient::TakeLease() {
  grpc::ClientContext context;
  Prepare(&context);
  leases::CreateRequest request;
  request.set_id("slacker-" + RandomHex());
  (*request.mutable_labels())["containerd.io/gc.expire"] = InADay();
  leases::CreateResponse response;
  RETURN_IF_ERROR(FromGrpc(leases_->Create(&context, request, &response), "containerd: lease"));
  lease_ = request.id();
  return absl::OkStatus();
}

absl::Status ContainerdClient::DropLease() {
  leases::DeleteRequest request;
  request.set_id(std::exchange(lease_, ""));
  if (request.id().empty()) return absl::OkStatus();
  grpc::ClientContext context;
  Prepare(&context);
  google::protobuf::Empty response;
  return FromGrpc(leases_->Delete(&context, request, &response), "containerd: lease");
}

}  // namespace slacker
