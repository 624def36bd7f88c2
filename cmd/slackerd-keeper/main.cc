// slackerd-keeper --socket /PATH [--deadline SECONDS] [--background]
//
// Listens on PATH, and serves (keeper.h). Exits with 0 at once when another keeper serves PATH
// already. --background: in a session of its own; the started process exits with 0 once the socket
// listens. Without it, and with systemd's NOTIFY_SOCKET, what is kept is stored with systemd too.
//
// --state FD: used by the keeper that this one replaces (keeper_state.h).
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "cmd/slackerd-keeper/keeper.h"

namespace slacker::keeper {
namespace {

constexpr size_t kMaxStateBytes = 64 << 10;

struct Flags {
  std::string socket;
  int deadline_seconds = 300;
  bool background = false;
  int state = -1;
};

bool ParseNumber(std::string_view text, int* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size() && *number >= 0;
}

bool ParseFlags(int argc, char** argv, Flags* flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--background") {
      flags->background = true;
    } else if (flag == "--socket" && i + 1 < argc) {
      flags->socket = argv[++i];
    } else if (flag == "--deadline" && i + 1 < argc) {
      if (!ParseNumber(argv[++i], &flags->deadline_seconds)) return false;
    } else if (flag == "--state" && i + 1 < argc) {
      if (!ParseNumber(argv[++i], &flags->state)) return false;
    } else {
      return false;
    }
  }
  return flags->socket.starts_with('/');  // in the background the working directory is another one
}

int Fail(const std::string& what) {
  std::fprintf(stderr, "slackerd-keeper: %s: %s\n", what.c_str(), std::strerror(errno));
  return 1;
}

bool Listen(const std::string& path, UniqueFd* listener) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  listener->Reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!listener->valid()) return false;
  // Left behind by a keeper that was killed: we hold the lock, so nobody listens there.
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return false;
  return bind(listener->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         listen(listener->get(), SOMAXCONN) == 0;
}

void StayAlive() {
  // slackerd starts it with the signals blocked that it waits for itself.
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
  // All best effort: without them the keeper works, and is only easier to lose.
  (void)signal(SIGPIPE, SIG_IGN);
  (void)signal(SIGHUP, SIG_IGN);
  (void)mlockall(MCL_CURRENT | MCL_FUTURE);
  const UniqueFd score(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  constexpr std::string_view kNever = "-999";
  if (score.valid()) (void)!write(score.get(), kNever.data(), kNever.size());
}

bool GoToBackground() {
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return false;
  for (int fd = 0; fd <= 2; ++fd) {
    if (dup2(null.get(), fd) < 0) return false;
  }
  const pid_t child = fork();
  if (child < 0) return false;
  if (child > 0) _exit(0);
  return setsid() >= 0 && chdir("/") == 0;
}

// Says in the file of the lock whether somebody starts this keeper again should it be killed. A keeper
// that serves and does not say it is better than none. What the one before has said is never taken back
// first: it is read at any time, and a file system that is full may not take it again.
void NoteUnit(int lock, bool has_unit) {
  constexpr auto kSize = static_cast<ssize_t>(kUnitMark.size());
  const bool noted = (!has_unit || pwrite(lock, kUnitMark.data(), kUnitMark.size(), 0) == kSize) &&
                     ftruncate(lock, has_unit ? kSize : 0) == 0;
  if (!noted) (void)Fail("note in the lock's file who starts this program, ignoring");
}

int Serve(const Flags& flags) {
  const std::string lock_path = flags.socket + ".lock";
  UniqueFd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return Fail("open " + lock_path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Fail("flock " + lock_path);
    // Another one serves already. A unit that ends without having been ready would be started for ever.
    if (!flags.background) DescriptorStore::FromEnvironment().Ready();
    return 0;
  }
  UniqueFd listener;
  if (!Listen(flags.socket, &listener)) return Fail("listen on " + flags.socket);
  if (flags.background) {
    // The unit is slackerd's, whose descriptors are not to be mixed with ours.
    ForgetServiceManager();
    if (!GoToBackground()) return Fail("go to the background");
  }
  StayAlive();
  DescriptorStore store = DescriptorStore::FromEnvironment();
  NoteUnit(lock.get(), store.is_there());
  store.Ready();
  return Keeper(std::move(listener), std::move(lock), flags.socket,
                std::chrono::seconds(flags.deadline_seconds), std::move(store),
                TakeStoredDescriptors())
      .Run();
}

int GoOn(const Flags& flags) {
  UniqueFd memory(flags.state);
  std::string text(kMaxStateBytes, '\0');
  const ssize_t size = pread(memory.get(), text.data(), text.size(), 0);
  if (size < 0) return Fail("read the state of the keeper before");
  text.resize(static_cast<size_t>(size));
  KeeperState state;
  if (!DecodeState(text, &state)) {
    errno = EINVAL;
    return Fail("the state of the keeper before");
  }
  memory.Reset();
  StayAlive();
  DescriptorStore store = DescriptorStore::FromEnvironment();
  NoteUnit(state.lock, store.is_there());  // the program before may not have
  return Keeper(state, flags.socket, std::move(store)).Run();
}

int Main(int argc, char** argv) {
  Flags flags;
  if (!ParseFlags(argc, argv, &flags)) {
    std::fputs("usage: slackerd-keeper --socket /PATH [--deadline SECONDS] [--background]\n",
               stderr);
    return 2;
  }
  (void)umask(0077);
  (void)prctl(PR_SET_NAME, "slackerd-keeper");  // a replaced one would be called like a descriptor
  return flags.state >= 0 ? GoOn(flags) : Serve(flags);
}

}  // namespace
}  // namespace slacker::keeper

int main(int argc, char** argv) { return slacker::keeper::Main(argc, argv); }
