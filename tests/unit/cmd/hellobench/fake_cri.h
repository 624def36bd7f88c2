// A CRI server in this process: remembers the calls, fails the one it is told to, and writes the
// containers' logs itself.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <climits>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cri.grpc.pb.h"

namespace slacker::hellobench {

// Thread-safe.
class FakeCri final : public runtime::v1::RuntimeService::Service,
                      public runtime::v1::ImageService::Service {
 public:
  // Serves the unix socket `path`.
  explicit FakeCri(const std::string& path);
  ~FakeCri() override;

  // What a container writes as it starts, in CRI's log format, and how it goes on.
  void SetContainer(const std::string& log, bool exits, int exit_code);
  // When it ended, as the runtime has it; without this it does not tell.
  void SetFinished(std::chrono::system_clock::time_point time);
  // What a container does as it starts, beside writing its log.
  void OnStart(std::function<void(const runtime::v1::CreateContainerRequest&)> action);
  // The next `times` calls of this name fail.
  void FailCall(const std::string& name, grpc::StatusCode code, int times = INT_MAX);
  void AddImage(const std::string& reference);
  // Calls of this name have no answer until whoever asked has given up; `begun` is called first.
  void HoldCall(const std::string& name, std::function<void()> begun);

  std::vector<std::string> calls() const;  // in their order; ContainerStatus is left out
  runtime::v1::CreateContainerRequest created() const;  // the last one

 private:
  template <typename T>
  using In = const T*;

  grpc::Status Record(const std::string& name);
  // False, and at once, unless it is to be held.
  bool Hold(const std::string& name, const grpc::ServerContext& context);

  grpc::Status RunPodSandbox(grpc::ServerContext*, In<runtime::v1::RunPodSandboxRequest>,
                             runtime::v1::RunPodSandboxResponse* response) override;
  grpc::Status StopPodSandbox(grpc::ServerContext*, In<runtime::v1::StopPodSandboxRequest>,
                              runtime::v1::StopPodSandboxResponse*) override;
  grpc::Status RemovePodSandbox(grpc::ServerContext*, In<runtime::v1::RemovePodSandboxRequest>,
                                runtime::v1::RemovePodSandboxResponse*) override;
  grpc::Status CreateContainer(grpc::ServerContext*,
                               In<runtime::v1::CreateContainerRequest> request,
                               runtime::v1::CreateContainerResponse* response) override;
  grpc::Status StartContainer(grpc::ServerContext* context,
                              In<runtime::v1::StartContainerRequest> request,
                              runtime::v1::StartContainerResponse*) override;
  grpc::Status ContainerStatus(grpc::ServerContext*, In<runtime::v1::ContainerStatusRequest>,
                               runtime::v1::ContainerStatusResponse* response) override;
  grpc::Status ImageStatus(grpc::ServerContext*, In<runtime::v1::ImageStatusRequest> request,
                           runtime::v1::ImageStatusResponse* response) override;
  grpc::Status PullImage(grpc::ServerContext* context, In<runtime::v1::PullImageRequest> request,
                         runtime::v1::PullImageResponse* response) override;

  mutable std::mutex mutex_;
  std::vector<std::string> calls_;
  struct Failing {
    grpc::StatusCode code;
    int times;
  };
  std::map<std::string, Failing> failing_;
  std::function<void(const runtime::v1::CreateContainerRequest&)> on_start_;
  std::map<std::string, std::function<void()>> held_;
  std::map<std::string, bool> images_;
  std::string log_;
  bool exits_ = true;
  int exit_code_ = 0;
  std::chrono::system_clock::time_point finished_;
  std::vector<runtime::v1::CreateContainerRequest> created_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace slacker::hellobench
