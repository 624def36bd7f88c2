#include "cmd/hellobench/cri/cri_client.h"

#include <grpcpp/grpcpp.h>

#include "backend/base/status.h"
#include "cri.grpc.pb.h"

namespace slacker::hellobench {
namespace {

namespace cri = ::runtime::v1;

// How often an interrupt is looked for while there is no answer.
constexpr std::chrono::milliseconds kLookInterval{20};

absl::Status FromGrpc(const grpc::Status& status, std::string_view call) {
  if (status.ok()) return absl::OkStatus();
  return Annotate(
      absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()),
      call);
}

void FillSandbox(const SandboxSpec& spec, cri::PodSandboxConfig* config) {
  cri::PodSandboxMetadata* metadata = config->mutable_metadata();
  metadata->set_name(spec.name);
  metadata->set_uid(spec.name);
  metadata->set_namespace_("hellobench");
  config->set_log_directory(spec.log_directory);
  cri::NamespaceOption* options =
      config->mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_network(cri::NODE);
  options->set_pid(cri::CONTAINER);
}

ContainerState FromCri(cri::ContainerState state) {
  switch (state) {
    case cri::CONTAINER_CREATED:
      return ContainerState::kCreated;
    case cri::CONTAINER_RUNNING:
      return ContainerState::kRunning;
    case cri::CONTAINER_EXITED:
      return ContainerState::kExited;
    default:
      return ContainerState::kUnknown;
  }
}

}  // namespace

struct CriClient::Stubs {
  Stubs(const std::shared_ptr<grpc::Channel>& channel, std::chrono::seconds limit,
        const std::atomic<bool>* stop)
      : runtime(cri::RuntimeService::NewStub(channel)),
        image(cri::ImageService::NewStub(channel)),
        timeout(limit),
        interrupted(stop) {}

  // One call: the method's own request and response types, the deadline, the status.
  template <typename Stub, typename Method, typename Request, typename Response>
  absl::Status Call(Stub& stub, Method method, std::string_view name, const Request& request,
                    Response* response) {
    return Call(stub, method, name, request, response, nullptr);
  }
  // The same, and an interrupt gives it up.
  template <typename Stub, typename Method, typename Request, typename Response>
  absl::Status Wait(Stub& stub, Method method, std::string_view name, const Request& request,
                    Response* response) {
    return Call(stub, method, name, request, response, interrupted);
  }

  std::unique_ptr<cri::RuntimeService::Stub> runtime;
  std::unique_ptr<cri::ImageService::Stub> image;
  const std::chrono::seconds timeout;
  const std::atomic<bool>* const interrupted;

 private:
  template <typename Stub, typename Method, typename Request, typename Response>
  absl::Status Call(Stub& stub, Method method, std::string_view name, const Request& request,
                    Response* response, const std::atomic<bool>* stop) {
    if (IsSet(stop)) return Cancelled("interrupted");
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    grpc::CompletionQueue queue;
    grpc::Status status;
    const auto call = (stub.*method)(&context, request, &queue);
    call->Finish(response, &status, nullptr);
    AwaitAnswer(context, queue, stop);
    if (status.error_code() == grpc::StatusCode::CANCELLED && IsSet(stop)) {
      return Cancelled("interrupted");
    }
    return FromGrpc(status, name);
  }

  static bool IsSet(const std::atomic<bool>* stop) { return stop != nullptr && *stop; }

  // Of the queue's one call.
  static void AwaitAnswer(grpc::ClientContext& context, grpc::CompletionQueue& queue,
                          const std::atomic<bool>* stop) {
    void* tag = nullptr;
    bool ok = false;
    while (queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kLookInterval) ==
           grpc::CompletionQueue::TIMEOUT) {
      if (IsSet(stop)) context.TryCancel();
    }
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
  }
};

CriClient::CriClient(const std::string& socket, std::chrono::seconds rpc_timeout,
                     const std::atomic<bool>* interrupted)
    : stubs_(std::make_unique<Stubs>(
          grpc::CreateChannel("unix://" + socket, grpc::InsecureChannelCredentials()), rpc_timeout,
          interrupted)) {}

CriClient::~CriClient() = default;

absl::StatusOr<std::string> CriClient::Version() {
  cri::VersionResponse response;
  RETURN_IF_ERROR(stubs_->Wait(*stubs_->runtime, &cri::RuntimeService::Stub::AsyncVersion,
                               "Version", cri::VersionRequest(), &response));
  return response.runtime_name() + " " + response.runtime_version();
}

absl::StatusOr<bool> CriClient::HasImage(const std::string& reference) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(reference);
  cri::ImageStatusResponse response;
  RETURN_IF_ERROR(stubs_->Wait(*stubs_->image, &cri::ImageService::Stub::AsyncImageStatus,
                               "ImageStatus", request, &response));
  return response.has_image();
}

absl::StatusOr<std::string> CriClient::Pull(const std::string& reference) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  cri::PullImageResponse response;
  RETURN_IF_ERROR(stubs_->Wait(*stubs_->image, &cri::ImageService::Stub::AsyncPullImage,
                               "PullImage", request, &response));
  return response.image_ref();
}

absl::Status CriClient::RemoveImage(const std::string& reference) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(reference);
  cri::RemoveImageResponse response;
  return stubs_->Call(*stubs_->image, &cri::ImageService::Stub::AsyncRemoveImage, "RemoveImage",
                      request, &response);
}

absl::StatusOr<std::string> CriClient::RunSandbox(const SandboxSpec& spec) {
  cri::RunPodSandboxRequest request;
  FillSandbox(spec, request.mutable_config());
  cri::RunPodSandboxResponse response;
  RETURN_IF_ERROR(stubs_->Call(*stubs_->runtime, &cri::RuntimeService::Stub::AsyncRunPodSandbox,
                               "RunPodSandbox", request, &response));
  return response.pod_sandbox_id();
}

absl::Status CriClient::RemoveSandbox(const std::string& sandbox_id) {
  cri::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(sandbox_id);
  cri::StopPodSandboxResponse stopped;
  RETURN_IF_ERROR(stubs_->Call(*stubs_->runtime, &cri::RuntimeService::Stub::AsyncStopPodSandbox,
                               "StopPodSandbox", stop, &stopped));
  cri::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(sandbox_id);
  cri::RemovePodSandboxResponse removed;
  return stubs_->Call(*stubs_->runtime, &cri::RuntimeService::Stub::AsyncRemovePodSandbox,
                      "RemovePodSandbox", remove, &removed);
}

absl::StatusOr<std::string> CriClient::CreateContainer(const std::string& sandbox_id,
                                                       const SandboxSpec& sandbox,
                                                       const ContainerSpec& spec) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(sandbox_id);
  FillSandbox(sandbox, request.mutable_sandbox_config());
  cri::ContainerConfig* config = request.mutable_config();
  config->mutable_metadata()->set_name(spec.name);
  config->mutable_image()->set_image(spec.image);
  for (const std::string& word : spec.command) config->add_command(word);
  for (const std::string& word : spec.arguments) config->add_args(word);
  for (const auto& [name, value] : spec.environment) {
    cri::KeyValue* variable = config->add_envs();
    variable->set_key(name);
    variable->set_value(value);
  }
  for (const auto& [place, directory] : spec.mounts) {
    cri::Mount* mount = config->add_mounts();
    mount->set_container_path(place);
    mount->set_host_path(directory);
  }
  config->set_log_path(spec.log_name);
  cri::NamespaceOption* options =
      config->mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_network(cri::NODE);
  options->set_pid(cri::CONTAINER);
  cri::CreateContainerResponse response;
  RETURN_IF_ERROR(stubs_->Call(*stubs_->runtime, &cri::RuntimeService::Stub::AsyncCreateContainer,
                               "CreateContainer", request, &response));
  return response.container_id();
}

absl::Status CriClient::StartContainer(const std::string& container_id) {
  cri::StartContainerRequest request;
  request.set_container_id(container_id);
  cri::StartContainerResponse response;
  return stubs_->Wait(*stubs_->runtime, &cri::RuntimeService::Stub::AsyncStartContainer,
                      "StartContainer", request, &response);
}

absl::StatusOr<ContainerStatus> CriClient::Status(const std::string& container_id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(container_id);
  cri::ContainerStatusResponse response;
  RETURN_IF_ERROR(stubs_->Wait(*stubs_->runtime, &cri::RuntimeService::Stub::AsyncContainerStatus,
                               "ContainerStatus", request, &response));
  const cri::ContainerStatus& status = response.status();
  return ContainerStatus{
      FromCri(status.state()), status.exit_code(),
      std::chrono::system_clock::time_point(std::chrono::nanoseconds(status.finished_at())),
      status.reason() + (status.message().empty() ? "" : ": ") + status.message()};
}

}  // namespace slacker::hellobench
