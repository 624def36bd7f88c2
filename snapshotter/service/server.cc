#include "snapshotter/service/server.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_posix.h>

#include <string>
#include <utility>
#include <vector>

#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int kMaxMessageBytes = 16 << 20;  // containerd's own limit
// Threads that wait for calls; each call that finds none waiting starts one. With more of them they
// get into each other's way (measured: docs/benchmarks/rpc.md), with fewer calls wait for starts.
constexpr int kMaxPollers = 4;

void LogOfGrpc(gpr_log_func_args* line) {
  const bool error = line->severity == GPR_LOG_SEVERITY_ERROR;
  Log(error ? LogLevel::kWarning : LogLevel::kDebug, "gRPC", {{"error", line->message}});
}

void LogOfProtobuf(google::protobuf::LogLevel level, const char* /*file*/, int /*line*/,
                   const std::string& message) {
  const bool error = level >= google::protobuf::LOGLEVEL_WARNING;
  Log(error ? LogLevel::kWarning : LogLevel::kDebug, "protobuf", {{"error", message}});
}

}  // namespace

void TakeLogsOfLibraries() {
  gpr_set_log_function(&LogOfGrpc);
  (void)google::protobuf::SetLogHandler(&LogOfProtobuf);
}

Server::Server(std::unique_ptr<Listener> listener, Snapshotter* snapshotter, NodeControl* control)
    : listener_(std::move(listener)), service_(snapshotter), node_service_(control) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Listen(SocketClaim claim, Snapshotter* snapshotter,
                                                       NodeControl* control) {
  const std::string path = claim.path();
  ASSIGN_OR_RETURN(std::unique_ptr<Listener> listener, Listener::Open(std::move(claim)));
  std::unique_ptr<Server> server(new Server(std::move(listener), snapshotter, control));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, kMaxPollers);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.RegisterService(&server->service_);
  builder.RegisterService(&server->node_service_);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(server->running_.NewReporter());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) return Internal("gRPC cannot serve " + path);
  server->listener_->Start([grpc = server->server_.get()](UniqueFd connection) {
    grpc::AddInsecureChannelFromFd(grpc, connection.Release());
  });
  return server;
}

Server::~Server() {
  if (server_ != nullptr) Shutdown(std::chrono::milliseconds(0));
}

void Server::Shutdown(std::chrono::milliseconds grace) {
  service_.RefuseCalls();
  server_->GetHealthCheckService()->SetServingStatus(false);
  running_.WaitForNone(grace);
  listener_->Stop();
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

}  // namespace slacker
