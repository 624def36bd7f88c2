#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "cmd/common/sibling_program.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/mount/lazy_mount.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct MountArguments {
  ImageArguments image;
  MountOptions mount;
  int64_t timeout_seconds = 30;
};

// How often we look whether files are still open: the kernel does not tell.
constexpr int kLookMillis = 200;
constexpr int kLooksBeforeTelling = 5;  // the kernel takes loop devices away a moment later

// What wakes a mount that is in the foreground.
class Events {
 public:
  // Blocks the signals for this process: what we start inherits that, so that a terminal's Ctrl-C
  // is ours alone to act on.
  static absl::StatusOr<Events> Open() {
    const sigset_t signals = Signals();
    if (pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return Internal("pthread_sigmask");
    Events events;
    events.signals_.Reset(signalfd(-1, &signals, SFD_CLOEXEC));
    events.mounts_.Reset(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
    if (!events.signals_.valid() || !events.mounts_.valid()) return ErrnoError(errno, "signalfd");
    return events;
  }

  // Waits for a signal (true), or for another event or until the time is over (false).
  bool Wait(int millis) {
    // A change of the mounts shows as a priority event, until it has been asked for.
    std::array<pollfd, 2> waits{{{signals_.get(), POLLIN, 0}, {mounts_.get(), POLLPRI, 0}}};
    if (poll(waits.data(), waits.size(), millis) <= 0 || waits[0].revents == 0) return false;
    signalfd_siginfo information;
    return read(signals_.get(), &information, sizeof information) > 0;
  }

  static void Unblock() {
    const sigset_t signals = Signals();
    (void)pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // cannot fail for a good set
  }

 private:
  static sigset_t Signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
    return signals;
  }

  UniqueFd signals_;
  UniqueFd mounts_;
};

// A store behind a web server cannot be told anything.
decltype(MountOptions::open_for_lease) LeaseStore(const CommonArguments& common) {
  if (!CanBeListed(common.store)) return nullptr;
  return [url = common.store] { return OpenNodeBackend(url); };
}

absl::Status End(LazyMount& mount, Events& events, const Console& console) {
  for (int looks = 1;; ++looks) {
    ASSIGN_OR_RETURN(const bool ended, mount.Close());
    if (ended) return absl::OkStatus();
    if (looks == kLooksBeforeTelling) {
      console.err << "slackerctl: unmounted, but processes have files of it open: waiting for them "
                     "(another Ctrl-C: not any longer)"
                  << std::endl;
    }
    if (events.Wait(kLookMillis)) return mount.Abandon();
  }
}

absl::Status Mount(MountArguments& arguments, const Console& console) {
  arguments.mount.stall_timeout = std::chrono::seconds(arguments.timeout_seconds);
  ASSIGN_OR_RETURN(arguments.mount.programs, ProgramDirectory());
  ASSIGN_OR_RETURN(Events events, Events::Open());
  if (const absl::Status removed = RemoveLeftovers(arguments.mount); !removed.ok()) {
    console.err << "slackerctl: what an earlier mount left cannot be removed: "
                << Printable(Message(removed)) << std::endl;
  }
  ASSIGN_OR_RETURN(const ReadableImage opened, OpenForReading(arguments.image));
  arguments.mount.open_for_lease = LeaseStore(arguments.image.common);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<LazyMount> mount,
      LazyMount::Open(arguments.mount, opened.store, *opened.reader, opened.found.chain_id));
  if (arguments.image.common.json) {
    nlohmann::json json = {{"chain_id", opened.found.chain_id.ToString()}};
    SetBytes(&json, "directory", arguments.mount.directory);
    console.out << json.dump() << std::endl;
  } else {
    console.out << "mounted " << opened.found.chain_id.ToString() << " on "
                << Escape(arguments.mount.directory) << "; Ctrl-C unmounts it" << std::endl;
  }
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kRenewal = LazyMount::kLeaseRenewal;
  for (auto due = Clock::now() + kRenewal;
       mount->IsMounted() && !events.Wait(static_cast<int>(kRenewal.count()));) {
    if (Clock::now() < due) continue;  // mounts have changed
    due = Clock::now() + kRenewal;
    if (const absl::Status renewed = mount->RenewLease(); !renewed.ok()) {
      console.err << "slackerctl: the store cannot be told that the image is in use: "
                  << Printable(Message(renewed)) << std::endl;
    }
  }
  RETURN_IF_ERROR(End(*mount, events, console));
  // What is left to wait for is a store that keeps its answers: from now on a signal ends us.
  Events::Unblock();
  return absl::OkStatus();
}

Action DeclareMount(Command* command) {
  auto arguments = std::make_shared<MountArguments>();
  AddImageOptions(command, &arguments->image);
  command->Add("DIRECTORY", &arguments->mount.directory, "Where: an existing directory").Required();
  command
      ->Add("--timeout", &arguments->timeout_seconds,
            "Seconds that a read waits for the store before it fails")
      .Between(1, 86400)
      .ShowDefault();
  command->Add("--state-dir", &arguments->mount.state_dir, "Where what was read is kept")
      .ShowDefault();
  command->Add("--run-dir", &arguments->mount.run_dir, "Where the keeper's socket is")
      .ShowDefault();
  return [arguments](const Console& console) {
    const absl::Status status = Mount(*arguments, console);
    if (!status.ok()) PrintError(console.err, status);
    return status.ok() ? kExitOk : kExitFailed;
  };
}

}  // namespace

const Verb kMountVerb = {
    "mount", "Mount an image read-only until Ctrl-C; files come as they are read", DeclareMount};

}  // namespace slacker::ctl
