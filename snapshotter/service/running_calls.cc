#include "snapshotter/service/running_calls.h"

#include <string_view>

namespace slacker {
namespace {

constexpr std::string_view kCounted = "/containerd.services.snapshots.v1.Snapshots/";

}  // namespace

// gRPC destroys it with the call, after the answer was written.
class RunningCall final : public grpc::experimental::Interceptor {
 public:
  explicit RunningCall(RunningCalls* calls) : calls_(calls) { calls_->Begin(); }
  ~RunningCall() override { calls_->End(); }
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    methods->Proceed();
  }

 private:
  RunningCalls* const calls_;
};

namespace {

class Reporter final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Reporter(RunningCalls* calls) : calls_(calls) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    if (!std::string_view(info->method()).starts_with(kCounted)) return nullptr;
    return new RunningCall(calls_);  // the caller's, by gRPC's interface
  }

 private:
  RunningCalls* const calls_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> RunningCalls::NewReporter() {
  return std::make_unique<Reporter>(this);
}

void RunningCalls::WaitForNone(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(&mutex_);
  while (running_ > 0) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero() || !none_.WaitFor(&mutex_, left)) return;
  }
}

void RunningCalls::Begin() {
  MutexLock lock(&mutex_);
  ++running_;
}

void RunningCalls::End() {
  MutexLock lock(&mutex_);
  if (--running_ == 0) none_.SignalAll();
}

}  // namespace slacker
