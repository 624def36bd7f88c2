#include "backend/nfs/v3_mount.h"

#include <cerrno>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "backend/nfs/v3_calls.h"

namespace slacker::nfs {
namespace {

constexpr uint16_t kPortmapperPort = 111;
constexpr int kMountProgram = 100005;
constexpr int kMountVersion = 3;
constexpr int kTcp = 6;

std::string PathOf(const std::vector<std::string>& path, size_t length) {
  std::string joined;
  for (size_t i = 0; i < length; ++i) joined += "/" + path[i];
  return joined;
}

}  // namespace

// One Enter, with the channels that it needs.
struct V3Mounter::Entering {
  std::vector<std::string> path;
  Done<Entrance> done;
  std::unique_ptr<Channel> portmapper;
  std::unique_ptr<Channel> mount;
  // What the server said of the whole path: that counts if no part of it can be mounted.
  absl::Status first_error;
};

V3Mounter::V3Mounter(EventLoop* loop, ThreadPool* resolver, const NfsTarget& target,
                     const Patience& patience)
    : loop_(loop), resolver_(resolver), target_(target), patience_(patience) {}

std::unique_ptr<Channel> V3Mounter::NewChannel(uint16_t port) const {
  return std::make_unique<Channel>(
      loop_, resolver_,
      ChannelOptions{target_.host, port, target_.uid, target_.gid, 1, patience_.longest});
}

void V3Mounter::Enter(const std::vector<std::string>& path, Done<Entrance> done) {
  auto entering = std::make_shared<Entering>();
  entering->path = path;
  entering->done = std::move(done);
  entering_.push_back(entering);
  if (closed_) {
    FinishEntering(entering, Unavailable("the backend was closed"));
    return;
  }
  if (target_.mount_port == 0) {
    AskForMountPort(entering);
  } else {
    entering->mount = NewChannel(target_.mount_port);
    Mount(entering, path.size());
  }
}

void V3Mounter::AskForMountPort(const std::shared_ptr<Entering>& entering) {
  entering->portmapper = NewChannel(kPortmapperPort);
  auto port = std::make_shared<uint32_t>(0);
  Call call;
  call.name = "GETPORT";
  call.patience = patience_.reading;
  call.send = [](rpc_context* rpc, RpcCallback callback, void* cookie) {
    return rpc_pmap2_getport_async(rpc, kMountProgram, kMountVersion, kTcp, callback, cookie);
  };
  call.decode = [port](const void* reply) {
    *port = *static_cast<const uint32_t*>(reply);
    // 0: the server has not registered (yet): it may be starting.
    return *port == 0 || *port > UINT16_MAX ? EAGAIN : 0;
  };
  call.done = [this, entering, port](const absl::Status& status, bool /*resent*/) {
    if (!status.ok()) {
      FinishEntering(entering, status);
    } else {
      entering->mount = NewChannel(static_cast<uint16_t>(*port));
      Mount(entering, entering->path.size());
    }
  };
  entering->portmapper->Start(std::move(call));
}

void V3Mounter::Mount(const std::shared_ptr<Entering>& entering, size_t length) {
  auto handle = std::make_shared<Handle>();
  const std::string path = PathOf(entering->path, length);
  Call call;
  call.name = "MNT";
  call.patience = patience_.reading;
  call.send = [path](rpc_context* rpc, RpcCallback callback, void* cookie) {
    return rpc_mount3_mnt_async(rpc, callback, v3::Chars(path), cookie);
  };
  call.decode = [handle](const void* data) {
    const auto& reply = *static_cast<const mountres3*>(data);
    if (const int error = ErrnoOfServerStatus(NumberOf(reply.fhs_status)); error != 0) return error;
    const fhandle3& wire = reply.mountres3_u.mountinfo.fhandle;
    const nfs_fh3 same{{wire.fhandle3_len, wire.fhandle3_val}};
    return v3::TakeHandle(same, handle.get()) ? 0 : EBADMSG;
  };
  call.done = [this, entering, length, path, handle](const absl::Status& status, bool) {
    if (status.ok()) {
      const auto rest = entering->path.begin() + static_cast<ptrdiff_t>(length);
      FinishEntering(entering, Entrance{*handle, {rest, entering->path.end()}});
      return;
    }
    if (entering->first_error.ok()) entering->first_error = Annotate(status, "mount " + path);
    const int error = ErrnoOf(status);
    // A server may export a directory above it; what is below may not even be there.
    if ((error == ENOENT || error == EACCES || error == EPERM || error == ENOTDIR) && length > 1) {
      Mount(entering, length - 1);
    } else {
      FinishEntering(entering, entering->first_error);
    }
  };
  entering->mount->Start(std::move(call));
}

void V3Mounter::FinishEntering(const std::shared_ptr<Entering>& entering,
                               absl::StatusOr<Entrance> entrance) {
  std::erase(entering_, entering);
  entering->done(std::move(entrance));
  // Not within their own callbacks.
  loop_->Post([entering] {
    entering->portmapper.reset();
    entering->mount.reset();
  });
}

void V3Mounter::Close() {
  closed_ = true;
  const auto entering = entering_;
  for (const auto& one : entering) {
    if (one->mount != nullptr) one->mount->Close();
    if (one->portmapper != nullptr) one->portmapper->Close();
  }
}

}  // namespace slacker::nfs
