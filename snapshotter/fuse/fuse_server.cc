#include "snapshotter/fuse/fuse_server.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "snapshotter/fuse/fuse_handler.h"

namespace slacker {
namespace {

constexpr std::chrono::milliseconds kPause{100};

}  // namespace

struct FuseServer::State {
  State(UniqueFd fuse_device, BlobSource* source, std::unique_ptr<fuse::RequestSlots> request_slots,
        UniqueFd serving)
      : device(std::move(fuse_device)),
        slots(std::move(request_slots)),
        handler(device.get(), source, slots.get(), std::move(serving)) {}
  // Whether a thread goes on after a turn that has brought `error` instead of a request.
  bool MayGoOn(int error);

  UniqueFd device;
  std::unique_ptr<fuse::RequestSlots> slots;
  fuse::Handler handler;
  std::atomic<bool> failing{false};  // so that it is told once
  Mutex mutex;
  CondVar stopped;  // where the eventfd cannot be waited for
  bool stopping ABSL_GUARDED_BY(mutex) = false;
};

bool FuseServer::State::MayGoOn(int error) {
  if (error == EAGAIN || error == EINTR || error == ENOENT) return true;
  // Aborted or unmounted; alive() tells.
  if (error == ENODEV || error == ECONNABORTED) return false;
  // The node is short of memory, say. Whoever reads waits for us: there is no giving up.
  if (!failing.exchange(true)) {
    Log(LogLevel::kWarning, "requests cannot be read, tried again, ignoring",
        {{"error", Message(ErrnoError(error, "/dev/fuse"))}});
  }
  MutexLock lock(&mutex);
  if (!stopping) (void)stopped.WaitFor(&mutex, kPause);
  return !stopping;
}

FuseServer::FuseServer(UniqueFd device, BlobSource* source,
                       std::unique_ptr<fuse::RequestSlots> slots, UniqueFd serving)
    : state_(
          std::make_shared<State>(std::move(device), source, std::move(slots), std::move(serving))),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

FuseServer::~FuseServer() {
  Stop();
  for (std::thread& thread : threads_) thread.join();
}

void FuseServer::Stop() {
  {
    MutexLock lock(&state_->mutex);
    state_->stopping = true;
    state_->stopped.SignalAll();
  }
  if (state_->slots != nullptr) state_->slots->Stop();
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);  // cannot fail: the counter is far from its limit
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
  fuse::RequestSlots* const slots = state->slots.get();
  const fuse::LockedBuffer buffer(fuse::kRequestBufferBytes);
  for (;;) {
    // Not before there is room for one: a request that nobody can keep stays with the kernel.
    size_t slot = 0;
    if (slots != nullptr) {
      const std::optional<size_t> taken = slots->Take();
      if (!taken.has_value()) return;
      slot = *taken;
    }
    std::array<pollfd, 2> waits{{{state->device.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    const bool waited = poll(waits.data(), waits.size(), -1) >= 0;
    if (waited && (waits[1].revents & POLLIN) != 0) return;
    // The beginning of a request goes into its slot, what is kept of none into the buffer: the
    // kernel wants more room than almost all requests have bytes.
    const std::span<char> kept = slots != nullptr ? slots->Buffer(slot) : std::span<char>();
    std::array<iovec, 2> parts{{{kept.data(), kept.size()}, {buffer.data(), buffer.size()}}};
    ssize_t size = -1;
    if (waited && slots != nullptr) {
      size = readv(state->device.get(), parts.data(), parts.size());
    } else if (waited) {
      size = read(state->device.get(), buffer.data(), buffer.size());
    }
    if (size > 0) {
      state->failing = false;
      SLACKER_FAILPOINT("fuse.request_read");
      if (slots != nullptr) {
        slots->Filled(slot);
        state->handler.Handle(slots->Request(slot), slot, state);
      } else {
        state->handler.Handle({buffer.data(), static_cast<size_t>(size)}, std::nullopt, state);
      }
      continue;
    }
    const int error = size == 0 ? ENODEV : errno;
    // The kernel may have begun to write a request that then ended.
    if (slots != nullptr) slots->Free(slot);
    if (!state->MayGoOn(error)) return;
  }
}

absl::Status FuseServer::TakeOver(const UniqueFd& memory,
                                  fuse::RequestSlots::Predecessor predecessor) {
  return state_->slots->TakeOver(memory, predecessor,
                                 [this](size_t slot) { HandleTakenOver(slot); });
}

void FuseServer::HandleGathered(const std::vector<size_t>& slots) {
  for (const size_t slot : slots) HandleTakenOver(slot);
}

void FuseServer::HandleTakenOver(size_t slot) {
  state_->handler.CountTakenOver();
  state_->handler.Handle(state_->slots->Request(slot), slot, state_);
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
