#include "snapshotter/service/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/process_state.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr mode_t kSocketMode = 0600;
constexpr mode_t kLockMode = 0600;
// Where the kernel lacks what a connection needs there is nothing to wait for but time.
constexpr int kPauseMillis = 100;

absl::Status MakeParents(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(parent, error)) {
    std::filesystem::permissions(parent, std::filesystem::perms(0711), error);
  }
  if (error) return ErrnoError(error.value(), "mkdir " + parent.string());
  return absl::OkStatus();
}

absl::Status InUse(const std::string& path, pid_t pid) {
  std::string who = "another program";
  if (pid > 0) who = "PID " + std::to_string(pid);
  return FailedPrecondition(path + " is in use by " + who);
}

// Who holds the lock has written its PID into the file; 0 where that cannot be told.
pid_t HolderOf(int lock) {
  std::array<char, 16> text{};
  const ssize_t size = pread(lock, text.data(), text.size(), 0);
  pid_t pid = 0;
  if (size > 0) (void)std::from_chars(text.data(), text.data() + size, pid);
  return pid;
}

// For people only: a file system that is full does not keep us from serving.
void NoteHolder(int lock) {
  const std::string text = std::to_string(getpid()) + "\n";
  if (ftruncate(lock, 0) == 0) (void)!pwrite(lock, text.data(), text.size(), 0);
}

// One start at a time takes or replaces a lock in this directory.
absl::StatusOr<UniqueFd> LockParent(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  UniqueFd directory(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoError(errno, "open " + parent);
  while (flock(directory.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoError(errno, "lock " + parent);
  }
  return directory;
}

absl::StatusOr<UniqueFd> OpenLock(const std::string& path) {
  UniqueFd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kLockMode));
  if (!lock.valid()) return ErrnoError(errno, "open " + path);
  return lock;
}

absl::StatusOr<UniqueFd> TakeLock(const std::string& address) {
  const std::string path = address + ".lock";
  ASSIGN_OR_RETURN(const UniqueFd alone, LockParent(path));
  ASSIGN_OR_RETURN(UniqueFd lock, OpenLock(path));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoError(errno, "lock " + path);
    const pid_t holder = HolderOf(lock.get());
    if (holder == 0 || !IsBeyondActing(holder)) return InUse(address, holder);
    // For how long the kernel holds it nobody can tell. What it locks has no name from here on.
    if (unlink(path.c_str()) != 0) return ErrnoError(errno, "unlink " + path);
    ASSIGN_OR_RETURN(lock, OpenLock(path));
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return ErrnoError(errno, "lock " + path);
  }
  NoteHolder(lock.get());
  return lock;
}

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  if (!path.starts_with('/') || path.ends_with('/') || path.size() >= sizeof address.sun_path) {
    return InvalidArgument("address " + path +
                           ": must be the absolute path of a file, of at most " +
                           std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoError(errno, "socket");
  return fd;
}

// Whether a dead or dying server's socket is there. FAILED_PRECONDITION: a living one's is, or something else.
absl::StatusOr<bool> HasStaleSocket(const std::string& path, const sockaddr_un& address) {
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return false;
    return ErrnoError(errno, "stat " + path);
  }
  if (!S_ISSOCK(st.st_mode)) return FailedPrecondition(path + " is there and is not a socket");
  ASSIGN_OR_RETURN(const UniqueFd probe, NewSocket());
  const int connected =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  // EAGAIN: somebody listens, and does not come to take connections.
  if (connected == 0 || errno == EAGAIN) {
    ucred peer{};
    socklen_t size = sizeof peer;
    const bool known =
        connected == 0 && getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    if (known && peer.pid > 0 && IsBeyondActing(peer.pid)) return true;
    return InUse(path, known ? peer.pid : 0);
  }
  if (errno != ECONNREFUSED) return ErrnoError(errno, "connect to " + path);
  return true;
}

absl::Status RemoveStaleSocket(const std::string& path, const sockaddr_un& address) {
  ASSIGN_OR_RETURN(const bool stale, HasStaleSocket(path, address));
  if (stale && unlink(path.c_str()) != 0) return ErrnoError(errno, "unlink " + path);
  return absl::OkStatus();
}

UniqueFd OpenSpare() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

Listener::Listener(std::string path, UniqueFd lock)
    : path_(std::move(path)),
      lock_(std::move(lock)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      spare_(OpenSpare()) {}

absl::Status Listener::Check(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  return HasStaleSocket(path, address).status();
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  RETURN_IF_ERROR(MakeParents(path));
  ASSIGN_OR_RETURN(UniqueFd lock, TakeLock(path));
  RETURN_IF_ERROR(RemoveStaleSocket(path, address));
  std::unique_ptr<Listener> listener(new Listener(path, std::move(lock)));
  if (!listener->stop_.valid() || !listener->spare_.valid()) {
    return ResourceExhausted("no descriptor for the socket " + path);
  }
  ASSIGN_OR_RETURN(UniqueFd socket, NewSocket());
  // Before it has a name: bind(2) gives the file this mode, and nobody's umask has to be changed.
  if (fchmod(socket.get(), kSocketMode) != 0) return ErrnoError(errno, "chmod " + path);
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoError(errno, "bind " + path);
  }
  if (listen(socket.get(), SOMAXCONN) != 0) return ErrnoError(errno, "listen on " + path);
  listener->socket_ = std::move(socket);
  return listener;
}

Listener::~Listener() { Stop(); }

void Listener::Start(Take take) {
  thread_ = std::thread([this, take = std::move(take)] {
    (void)pthread_setname_np(pthread_self(), "slk-accept");  // only a label
    Serve(take);
  });
}

void Listener::Stop() {
  if (!socket_.valid()) return;
  (void)unlink(path_.c_str());  // a start would replace it
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    stopped_.SignalAll();
  }
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);  // cannot fail: the counter is far from its limit
  if (thread_.joinable()) thread_.join();
  socket_.Reset();
}

void Listener::Serve(const Take& take) {
  bool failing = false;
  for (;;) {
    std::array<pollfd, 2> waits{{{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    if (poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      if (!std::exchange(failing, true)) {
        Log(LogLevel::kWarning, "connections cannot be waited for, tried again, ignoring",
            {{"error", Message(ErrnoError(errno, "poll"))}});
      }
      MutexLock lock(&mutex_);
      if (!stopping_) (void)stopped_.WaitFor(&mutex_, std::chrono::milliseconds(kPauseMillis));
      if (stopping_) return;
      continue;
    }
    if (waits[1].revents != 0) return;
    UniqueFd connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid()) {
      failing = false;
      take(std::move(connection));
      continue;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
    if (!std::exchange(failing, true)) {
      Log(LogLevel::kWarning, "connections cannot be taken and are closed, ignoring",
          {{"error", Message(ErrnoError(errno, "accept"))}});
    }
    RefuseOne();
  }
}

void Listener::RefuseOne() {
  spare_.Reset();
  {
    const UniqueFd refused(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!refused.valid()) {
      pollfd stop{stop_.get(), POLLIN, 0};
      (void)poll(&stop, 1, kPauseMillis);
    }
  }
  spare_ = OpenSpare();
}

}  // namespace slacker
