#include "tests/unit/cmd/hellobench/fake_cri.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <utility>

#include "tests/support/eventually.h"

namespace slacker::hellobench {

namespace cri = ::runtime::v1;

FakeCri::FakeCri(const std::string& path) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix://" + path, grpc::InsecureServerCredentials());
  builder.RegisterService(static_cast<cri::RuntimeService::Service*>(this));
  builder.RegisterService(static_cast<cri::ImageService::Service*>(this));
  server_ = builder.BuildAndStart();
}

FakeCri::~FakeCri() { server_->Shutdown(); }

void FakeCri::SetContainer(const std::string& log, bool exits, int exit_code) {
  const std::lock_guard lock(mutex_);
  log_ = log;
  exits_ = exits;
  exit_code_ = exit_code;
}

void FakeCri::SetFinished(std::chrono::system_clock::time_point time) {
  const std::lock_guard lock(mutex_);
  finished_ = time;
}

void FakeCri::OnStart(std::function<void(const cri::CreateContainerRequest&)> action) {
  const std::lock_guard lock(mutex_);
  on_start_ = std::move(action);
}

void FakeCri::FailCall(const std::string& name, grpc::StatusCode code, int times) {
  const std::lock_guard lock(mutex_);
  failing_[name] = {code, times};
}

void FakeCri::AddImage(const std::string& reference) {
  const std::lock_guard lock(mutex_);
  images_[reference] = true;
}

void FakeCri::HoldCall(const std::string& name, std::function<void()> begun) {
  const std::lock_guard lock(mutex_);
  held_[name] = std::move(begun);
}

bool FakeCri::Hold(const std::string& name, const grpc::ServerContext& context) {
  std::function<void()> begun;
  {
    const std::lock_guard lock(mutex_);
    const auto held = held_.find(name);
    if (held == held_.end()) return false;
    begun = held->second;
  }
  begun();
  EXPECT_TRUE(slacker::testing::Eventually([&context] { return context.IsCancelled(); })) << name;
  return true;
}

std::vector<std::string> FakeCri::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

cri::CreateContainerRequest FakeCri::created() const {
  const std::lock_guard lock(mutex_);
  return created_.back();
}

grpc::Status FakeCri::Record(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (name != "ContainerStatus") calls_.push_back(name);
  const auto failing = failing_.find(name);
  if (failing == failing_.end() || failing->second.times == 0) return grpc::Status::OK;
  --failing->second.times;
  return grpc::Status(failing->second.code, "told to fail");
}

grpc::Status FakeCri::RunPodSandbox(grpc::ServerContext*, In<cri::RunPodSandboxRequest>,
                                    cri::RunPodSandboxResponse* response) {
  const grpc::Status status = Record("RunPodSandbox");
  response->set_pod_sandbox_id("sandbox");
  return status;
}

grpc::Status FakeCri::StopPodSandbox(grpc::ServerContext*, In<cri::StopPodSandboxRequest>,
                                     cri::StopPodSandboxResponse*) {
  return Record("StopPodSandbox");
}

grpc::Status FakeCri::RemovePodSandbox(grpc::ServerContext*, In<cri::RemovePodSandboxRequest>,
                                       cri::RemovePodSandboxResponse*) {
  return Record("RemovePodSandbox");
}

grpc::Status FakeCri::CreateContainer(grpc::ServerContext*, In<cri::CreateContainerRequest> request,
                                      cri::CreateContainerResponse* response) {
  const grpc::Status status = Record("CreateContainer");
  const std::lock_guard lock(mutex_);
  response->set_container_id("container" + std::to_string(created_.size()));
  created_.push_back(*request);
  return status;
}

grpc::Status FakeCri::StartContainer(grpc::ServerContext* context,
                                     In<cri::StartContainerRequest> request,
                                     cri::StartContainerResponse*) {
  const grpc::Status status = Record("StartContainer");
  if (Hold("StartContainer", *context)) return grpc::Status::CANCELLED;
  const std::lock_guard lock(mutex_);
  const size_t number = std::stoul(request->container_id().substr(std::strlen("container")));
  const cri::CreateContainerRequest& created = created_.at(number);
  std::ofstream(created.sandbox_config().log_directory() + "/" + created.config().log_path())
      << log_;
  if (on_start_) on_start_(created);
  return status;
}

grpc::Status FakeCri::ContainerStatus(grpc::ServerContext*, In<cri::ContainerStatusRequest>,
                                      cri::ContainerStatusResponse* response) {
  const grpc::Status status = Record("ContainerStatus");
  const std::lock_guard lock(mutex_);
  response->mutable_status()->set_state(exits_ ? cri::CONTAINER_EXITED : cri::CONTAINER_RUNNING);
  response->mutable_status()->set_exit_code(exit_code_);
  response->mutable_status()->set_finished_at(
      std::chrono::nanoseconds(finished_.time_since_epoch()).count());
  response->mutable_status()->set_reason("Completed");
  return status;
}

grpc::Status FakeCri::ImageStatus(grpc::ServerContext*, In<cri::ImageStatusRequest> request,
                                  cri::ImageStatusResponse* response) {
  const grpc::Status status = Record("ImageStatus");
  const std::lock_guard lock(mutex_);
  if (images_.count(request->image().image()) != 0) response->mutable_image()->set_id("id");
  return status;
}

grpc::Status FakeCri::PullImage(grpc::ServerContext* context, In<cri::PullImageRequest> request,
                                cri::PullImageResponse* response) {
  response->set_image_ref("pulled:" + request->image().image());
  const grpc::Status status = Record("PullImage");
  return Hold("PullImage", *context) ? grpc::Status::CANCELLED : status;
}

}  // namespace slacker::hellobench
