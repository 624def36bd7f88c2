#include "snapshotter/fuse/fuse_server.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/fuse/fuse_handler.h"

namespace slacker {

struct FuseServer::State {
  State(UniqueFd fuse_device, BlobSource* source)
      : device(std::move(fuse_device)), handler(device.get(), source) {}
  UniqueFd device;
  fuse::Handler handler;
};

FuseServer::FuseServer(UniqueFd device, BlobSource* source)
    : state_(std::make_shared<State>(std::move(device), source)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

FuseServer::~FuseServer() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);  // cannot fail: the counter is far from its limit
  for (std::thread& thread : threads_) thread.join();
}

absl::Status FuseServer::Start(int threads) {
  if (!stop_.valid()) return ResourceExhausted("no descriptor for the FUSE server's eventfd");
  // Threads wait in poll(2), where stop_ reaches them; a request may have gone to another thread by
  // the time of the read(2), which therefore must not block.
  const int flags = fcntl(state_->device.get(), F_GETFL);
  if (flags < 0 || fcntl(state_->device.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return ErrnoError(errno, "fcntl /dev/fuse");
  }
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      (void)pthread_setname_np(pthread_self(), "fuse");  // only a label
      Serve();
    });
  }
  return absl::OkStatus();
}

void FuseServer::Serve() {
  const std::shared_ptr<State> state = state_;
  alignas(8) std::array<char, fuse::kRequestBufferBytes> buffer;
  for (;;) {
    std::array<pollfd, 2> waits{{{state->device.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    if (poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if ((waits[1].revents & POLLIN) != 0) return;
    const ssize_t size = read(state->device.get(), buffer.data(), buffer.size());
    if (size > 0) {
      state->handler.Handle({buffer.data(), static_cast<size_t>(size)}, state);
    } else if (errno != EAGAIN && errno != EINTR && errno != ENOENT) {
      return;  // ENODEV: aborted or unmounted; alive() tells
    }
  }
}

absl::Status FuseServer::RequestResend() { return slacker::RequestResend(state_->device); }

bool FuseServer::alive() const { return FuseDeviceIsConnected(state_->device); }

FuseCounters FuseServer::counters() const { return state_->handler.counters(); }

absl::StatusOr<UniqueFd> OpenFuseDevice() {
  UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device.valid()) return ErrnoError(errno, "open /dev/fuse");
  return device;
}

absl::Status RequestResend(const UniqueFd& device) {
  fuse_out_header header{};
  header.len = sizeof header;
  header.error = fuse::kNotifyResend;
  if (write(device.get(), &header, sizeof header) < 0) {
    return Unavailable("FUSE_NOTIFY_RESEND: " + Message(ErrnoError(errno, "write /dev/fuse")));
  }
  return absl::OkStatus();
}

bool FuseDeviceIsConnected(const UniqueFd& device) {
  pollfd wait{device.get(), POLLOUT, 0};
  return poll(&wait, 1, 0) >= 0 && (wait.revents & POLLERR) == 0;
}

}  // namespace slacker
