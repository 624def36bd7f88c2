#include "snapshotter/keeper/keeper_client.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "backend/base/digest.h"
#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/keeper/packet.h"
#include "snapshotter/keeper/protocol.h"

namespace slacker {
namespace {

using keeper::Verb;

constexpr char kLockName[] = "lock";
constexpr std::chrono::seconds kRetryInterval(1);
// A keeper that is ending holds its socket and its lock until it has gone; meanwhile it neither
// answers nor can be replaced.
constexpr int kAttempts = 200;
constexpr std::chrono::milliseconds kAttemptInterval(10);

absl::Status InUse(const std::string& root, pid_t pid) {
  return FailedPrecondition(root + " is in use by " +
                            (pid > 0 ? "PID " + std::to_string(pid) : "another process"));
}

// mkdir with its missing parents, for root only.
absl::Status MakeDirectories(const std::string& path) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string prefix = path.substr(0, end);
    if (mkdir(prefix.c_str(), 0700) != 0 && errno != EEXIST) {
      return ErrnoError(errno, "mkdir " + prefix);
    }
    if (end == std::string::npos) return absl::OkStatus();
  }
}

bool SameFile(int a, int b) {
  struct stat first, second;
  return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

}  // namespace

struct KeeperClient::Answer {
  keeper::Reply reply;
  UniqueFd fd;
};

absl::StatusOr<std::string> RootRunDir(const std::string& node_run_dir, const std::string& root) {
  const std::unique_ptr<char, void (*)(void*)> canonical(realpath(root.c_str(), nullptr), free);
  if (canonical == nullptr) return ErrnoError(errno, "realpath " + root);
  return node_run_dir + "/" + Sha256::Of(std::string_view(canonical.get())).ToHex().substr(0, 16);
}

KeeperClient::KeeperClient(const KeeperOptions& options)
    : options_(options),
      stop_(eventfd(0, EFD_CLOEXEC)),
      serving_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

absl::StatusOr<std::unique_ptr<KeeperClient>> KeeperClient::Open(const KeeperOptions& options) {
  RETURN_IF_ERROR(MakeDirectories(options.run_dir));
  std::unique_ptr<KeeperClient> client(new KeeperClient(options));
  if (!client->stop_.valid() || !client->serving_.valid())
    return ResourceExhausted("no descriptor for the keeper's watcher");
  {
    MutexLock lock(&client->mutex_);
    ASSIGN_OR_RETURN(client->dying_predecessor_, client->Connect());
    RETURN_IF_ERROR(client->Renew());
    if (absl::Status locked = client->TakeLock(); !locked.ok()) {
      client->EndIdleKeeper();
      return locked;
    }
  }
  client->watcher_ = std::thread([raw = client.get()] { raw->Watch(); });
  return client;
}

KeeperClient::~KeeperClient() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);  // cannot fail: the counter is far from its limit
  if (watcher_.joinable()) watcher_.join();
}

// Connects and acquires; starts a keeper when nobody listens. The predecessor that is still ending, or 0.
absl::StatusOr<pid_t> KeeperClient::Connect() {
  absl::StatusOr<Answer> acquired = TryToAcquire();
  // A keeper of ours would take the place of the one that has what was stored, and store nothing.
  const auto until = std::chrono::steady_clock::now() + options_.unit_wait;
  while (absl::IsUnavailable(acquired.status()) && HasUnit() &&
         std::chrono::steady_clock::now() < until) {
    if (!Pause(kAttemptInterval)) return Cancelled("we are ending");
    acquired = TryToAcquire();
  }
  for (int attempt = 0; absl::IsUnavailable(acquired.status()) && attempt < kAttempts; ++attempt) {
    RETURN_IF_ERROR(Spawn());
    if (attempt > 0 && !Pause(kAttemptInterval)) return Cancelled("we are ending");
    acquired = TryToAcquire();
  }
  ASSIGN_OR_RETURN(const Answer answer, std::move(acquired));
  if (answer.reply.error == EBUSY) return InUse(options_.root, answer.reply.pid);
  if (answer.reply.error != 0) return ErrnoError(answer.reply.error, "own the keeper");
  return answer.reply.pid;
}

absl::StatusOr<KeeperClient::Answer> KeeperClient::TryToAcquire() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = options_.run_dir + "/keeper.sock";
  if (path.size() >= sizeof address.sun_path) return InvalidArgument(path + ": path too long");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  socket_.Reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket_.valid()) return ErrnoError(errno, "socket");
  if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Unavailable(Message(ErrnoError(errno, "connect " + path)));
  }
  return Call(static_cast<int>(Verb::kAcquire), "", -1);
}

// Whether a service manager starts the keeper that is not there.
bool KeeperClient::HasUnit() const {
  const std::string path = options_.run_dir + "/keeper.sock.lock";
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, keeper::kUnitMark.size()> mark{};
  return file.valid() && pread(file.get(), mark.data(), mark.size(), 0) == ssize_t{mark.size()} &&
         std::string_view(mark.data(), mark.size()) == keeper::kUnitMark;
}

// The program puts itself into the background once it listens; its exit tells.
absl::Status KeeperClient::Spawn() const {
  std::string program = options_.keeper_path;
  std::string socket = options_.run_dir + "/keeper.sock";
  std::string deadline = std::to_string(options_.deadline_seconds);
  std::string flags[] = {"--background", "--socket", "--deadline"};
  char* const arguments[] = {program.data(),  flags[0].data(), flags[1].data(), socket.data(),
                             flags[2].data(), deadline.data(), nullptr};
  pid_t child = 0;
  if (const int error = posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ);
      error != 0) {
    return Unavailable("start " + program + ": " + Message(ErrnoError(error, "posix_spawn")));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoError(errno, "waitpid");
  }
  if (status == 0) return absl::OkStatus();
  return Unavailable(program + " ended with wait status " + std::to_string(status));
}

// After an upgrade, or a downgrade, the keeper is still the program of before. Should it end over it, because the new one
// cannot read its state, all that it had is with us, and goes to the next one: also what belongs to a
// predecessor that is still ending, its lock before all.
absl::Status KeeperClient::Renew() {
  const UniqueFd program(open(options_.keeper_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!program.valid())
    return absl::OkStatus();  // and so it cannot be started either, should it end
  ASSIGN_OR_RETURN(Descriptors held, CopyAll());
  const absl::StatusOr<Answer> answer = Call(static_cast<int>(Verb::kReplace), "", program.get());
  if (answer.ok() && answer->reply.error == 0) return absl::OkStatus();
  Log(LogLevel::kWarning, "the keeper stays an older program, ignoring",
      {{"error", answer.ok() ? Message(ErrnoError(answer->reply.error, "replace it"))
                             : Message(answer.status())}});
  if (answer.ok()) return absl::OkStatus();
  RETURN_IF_ERROR(Connect().status());  // another one, which knows of nobody before us
  kept_ = std::move(held);
  return PutAgain();
}

absl::StatusOr<KeeperClient::Descriptors> KeeperClient::CopyAll() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListNames());
  Descriptors copies;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(Answer answer, Call(static_cast<int>(Verb::kGet), name, -1));
    if (!answer.fd.valid()) return ResourceExhausted("no descriptor for a copy of " + name);
    copies[name] = std::move(answer.fd);
  }
  return copies;
}

absl::Status KeeperClient::TakeLock() {
  const std::string path = options_.root + "/lock";
  UniqueFd own(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!own.valid()) return ErrnoError(errno, "open " + path);
  ASSIGN_OR_RETURN(Answer answer, Call(static_cast<int>(Verb::kGet), kLockName, -1));
  // Another file: the root was removed and made anew since.
  if (answer.fd.valid() && SameFile(answer.fd.get(), own.get())) own = std::move(answer.fd);
  // On the shared description this holds already and asks for nothing.
  if (flock(own.get(), LOCK_EX | LOCK_NB) != 0) {
    return errno == EWOULDBLOCK ? InUse(options_.root, 0) : ErrnoError(errno, "flock " + path);
  }
  kept_[kLockName] = std::move(own);
  return PutAgain();
}

// One that we have started for nothing would wait for its deadline.
void KeeperClient::EndIdleKeeper() {
  const auto names = ListNames();
  if (names.ok() && names->empty()) (void)Call(static_cast<int>(Verb::kBye), "", -1);
}

absl::Status KeeperClient::PutAgain() {
  for (const auto& [name, fd] : kept_) {
    ASSIGN_OR_RETURN(const Answer answer, Call(static_cast<int>(Verb::kPut), name, fd.get()));
    if (answer.reply.error != 0) return ErrnoError(answer.reply.error, "keep " + name);
  }
  return absl::OkStatus();
}

absl::StatusOr<KeeperClient::Answer> KeeperClient::Call(int verb, const std::string& name, int fd) {
  keeper::Request request;
  request.verb = static_cast<Verb>(verb);
  request.version = keeper::VersionOf(request.verb);
  if (name.size() >= sizeof request.name) return InvalidArgument("keeper: name too long: " + name);
  std::memcpy(request.name, name.data(), name.size());
  Answer answer;
  int error = keeper::SendPacket(socket_.get(), request, fd);
  if (error == 0) error = keeper::ReceivePacket(socket_.get(), &answer.reply, &answer.fd);
  if (error == 0 && answer.reply.version != request.version) error = EPROTO;
  if (error != 0) return Unavailable(Message(ErrnoError(error, "talk to the keeper")));
  return answer;
}

absl::Status KeeperClient::Put(const std::string& name, int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoError(errno, "dup");
  MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const Answer answer, Call(static_cast<int>(Verb::kPut), name, fd));
  if (answer.reply.error != 0) return ErrnoError(answer.reply.error, "keep " + name);
  kept_[name] = std::move(copy);
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> KeeperClient::Get(const std::string& name) {
  MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Answer answer, Call(static_cast<int>(Verb::kGet), name, -1));
  if (answer.reply.error == ENOENT || !answer.fd.valid()) return NotFound("not kept: " + name);
  UniqueFd copy(fcntl(answer.fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoError(errno, "dup");
  kept_[name] = std::move(copy);
  return std::move(answer.fd);
}

absl::Status KeeperClient::Drop(const std::string& name) {
  MutexLock lock(&mutex_);
  kept_.erase(name);
  return Call(static_cast<int>(Verb::kDrop), name, -1).status();
}

absl::StatusOr<std::vector<std::string>> KeeperClient::List() {
  MutexLock lock(&mutex_);
  return ListNames();
}

absl::StatusOr<std::vector<std::string>> KeeperClient::ListNames() {
  ASSIGN_OR_RETURN(const Answer answer, Call(static_cast<int>(Verb::kList), "", -1));
  const size_t size = std::min<size_t>(answer.reply.names_bytes, sizeof answer.reply.names);
  std::vector<std::string> names;
  for (size_t at = 0; at < size;) {
    names.emplace_back(answer.reply.names + at, strnlen(answer.reply.names + at, size - at));
    at += names.back().size() + 1;
  }
  return names;
}

absl::StatusOr<UniqueFd> KeeperClient::ServingEvent() const {
  UniqueFd copy(fcntl(serving_.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoError(errno, "dup");
  return copy;
}

absl::Status KeeperClient::Bye() {
  MutexLock lock(&mutex_);
  said_bye_ = true;
  kept_.clear();
  return Call(static_cast<int>(Verb::kBye), "", -1).status();
}

// Ends early, and says false, when we are to stop.
bool KeeperClient::Pause(std::chrono::milliseconds time) const {
  pollfd stop{stop_.get(), POLLIN, 0};
  return poll(&stop, 1, static_cast<int>(time.count())) <= 0;
}

// A keeper that is older does not know the word, and counts seconds; one that ends meanwhile is seen to.
void KeeperClient::SayServing() {
  (void)Call(static_cast<int>(Verb::kServing), "", -1);
  uint64_t count = 0;
  (void)!read(serving_.get(), &count, sizeof count);  // whether anything is in it or not
  SLACKER_FAILPOINT("keeper.told_serving");
}

void KeeperClient::Watch() {
  bool serving = false;
  for (;;) {
    std::array<pollfd, 3> waits{};
    {
      MutexLock lock(&mutex_);
      waits = {
          {{stop_.get(), POLLIN, 0}, {socket_.get(), POLLRDHUP, 0}, {serving_.get(), POLLIN, 0}}};
    }
    if (poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if (waits[0].revents != 0) return;
    if (waits[2].revents != 0) serving = true;
    absl::Status status;
    {
      MutexLock lock(&mutex_);
      if (said_bye_) return;
      if (waits[1].revents != 0) {
        status = Connect().status();
        if (status.ok()) status = PutAgain();
      }
      if (status.ok() && serving && (waits[1].revents | waits[2].revents) != 0) SayServing();
    }
    if (status.ok()) continue;
    if (absl::IsCancelled(status)) return;
    Log(LogLevel::kWarning, "the keeper ended and cannot be replaced now, ignoring",
        {{"error", Message(status)}});
    // Tried again, until it works or we end.
    (void)Pause(kRetryInterval);  // what there is to see is seen above
  }
}

}  // namespace slacker
