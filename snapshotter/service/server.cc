#include "snapshotter/service/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int kMaxMessageBytes = 16 << 20;  // containerd's own limit
// Threads that wait for calls; each call that finds none waiting starts one. With more of them they
// get into each other's way (measured: docs/benchmarks/rpc.md), with fewer calls wait for starts.
constexpr int kMaxPollers = 4;
constexpr mode_t kSocketUmask = 0177;
constexpr mode_t kLockMode = 0600;

absl::Status MakeParents(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(parent, error)) {
    std::filesystem::permissions(parent, std::filesystem::perms(0711), error);
  }
  if (error) return ErrnoError(error.value(), "mkdir " + parent.string());
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> TakeLock(const std::string& path) {
  UniqueFd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kLockMode));
  if (!lock.valid()) return ErrnoError(errno, "open " + path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return ErrnoError(errno, "lock " + path);
  return FailedPrecondition("another daemon serves this address: it holds " + path);
}

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  if (!path.starts_with('/') || path.size() >= sizeof address.sun_path) {
    return InvalidArgument("address " + path + ": must be an absolute path of at most " +
                           std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// gRPC would unlink whatever socket is there, a live one of another program too.
absl::Status RemoveStaleSocket(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, "stat " + path);
  }
  if (!S_ISSOCK(st.st_mode)) return FailedPrecondition(path + " is there and is not a socket");
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return ErrnoError(errno, "socket");
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return FailedPrecondition("another program serves " + path);
  }
  if (errno != ECONNREFUSED) return ErrnoError(errno, "connect to " + path);
  if (unlink(path.c_str()) != 0) return ErrnoError(errno, "unlink " + path);
  return absl::OkStatus();
}

}  // namespace

Server::Server(std::string path, UniqueFd lock, Snapshotter* snapshotter)
    : path_(std::move(path)), lock_(std::move(lock)), service_(snapshotter) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Listen(const std::string& path,
                                                       Snapshotter* snapshotter) {
  RETURN_IF_ERROR(AddressOf(path).status());
  RETURN_IF_ERROR(MakeParents(path));
  ASSIGN_OR_RETURN(UniqueFd lock, TakeLock(path + ".lock"));
  RETURN_IF_ERROR(RemoveStaleSocket(path));

  std::unique_ptr<Server> server(new Server(path, std::move(lock), snapshotter));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, kMaxPollers);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  builder.RegisterService(&server->service_);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(server->running_.NewReporter());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  const mode_t before = umask(kSocketUmask);
  server->server_ = builder.BuildAndStart();
  umask(before);
  if (server->server_ == nullptr) return Internal("cannot listen on " + path);
  return server;
}

Server::~Server() {
  if (server_ != nullptr) Shutdown(std::chrono::milliseconds(0));
}

void Server::Shutdown(std::chrono::milliseconds grace) {
  service_.RefuseCalls();
  server_->GetHealthCheckService()->SetServingStatus(false);
  running_.WaitForNone(grace);
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

}  // namespace slacker
