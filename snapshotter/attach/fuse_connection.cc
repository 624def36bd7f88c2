#include "snapshotter/attach/fuse_connection.h"

#include <dirent.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/os/mount.h"

namespace slacker {
namespace {

constexpr std::string_view kDevicePrefix = "fuse.";
constexpr std::string_view kSlotsPrefix = "slots1.";
constexpr char kSource[] = "slacker";

bool ParseNumber(std::string_view text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

absl::StatusOr<bool> IsMounted(const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ListMounts());
  return std::any_of(mounts.begin(), mounts.end(), [&path](const MountEntry& mount) {
    return mount.mount_point == path && mount.fs_type == "fuse" && mount.source == kSource;
  });
}

// One more than the numbers in use. Only reads names: looking at a dead connection would fail.
absl::StatusOr<uint64_t> NextNumber(const std::string& parent) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(parent.c_str()), closedir);
  if (directory == nullptr) return ErrnoError(errno, "open " + parent);
  uint64_t next = 1;
  while (const dirent* entry = readdir(directory.get())) {
    uint64_t number = 0;
    if (ParseNumber(entry->d_name, &number)) next = std::max(next, number + 1);
  }
  return next;
}

absl::Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoError(errno, "mkdir " + path);
}

// Right after the mount too: the kernel then has nothing to send, and says yes or no all the same.
bool KernelResends(const UniqueFd& device) {
  return !SLACKER_WITHOUT("fuse_resend") && RequestResend(device).ok();
}

// Whether `name` is `prefix` and a number.
bool ParseName(std::string_view name, std::string_view prefix, uint64_t* number) {
  return name.starts_with(prefix) && ParseNumber(name.substr(prefix.size()), number);
}

std::string SlotsOf(uint64_t connection) {
  return std::string(kSlotsPrefix) + std::to_string(connection) + ".";
}

}  // namespace

absl::StatusOr<std::unique_ptr<FuseConnection>> FuseConnection::Open(const Options& options,
                                                                     KeeperClient* keeper,
                                                                     BlobSource* source) {
  const std::unique_ptr<char, void (*)(void*)> run_dir(realpath(options.run_dir.c_str(), nullptr),
                                                       free);
  if (run_dir == nullptr) return ErrnoError(errno, "realpath " + options.run_dir);
  const std::string parent = std::string(run_dir.get()) + "/fuse";
  RETURN_IF_ERROR(MakeDirectory(parent));
  std::unique_ptr<FuseConnection> connection(new FuseConnection(keeper));
  connection->stop_.Reset(eventfd(0, EFD_CLOEXEC));
  UniqueFd device;
  // Taken before anything is taken over, so that the end of this process cannot be missed.
  UniqueFd predecessor;
  if (keeper->dying_predecessor() > 0) {
    predecessor.Reset(static_cast<int>(syscall(SYS_pidfd_open, keeper->dying_predecessor(), 0)));
    if (!predecessor.valid() && errno != ESRCH) return ErrnoError(errno, "pidfd_open");
  }
  RETURN_IF_ERROR(connection->Adopt(parent, &device));
  SLACKER_FAILPOINT("attach.resend_requested");
  if (!device.valid()) RETURN_IF_ERROR(connection->Create(parent, &device));
  std::unique_ptr<fuse::RequestSlots> slots;
  if (!connection->kernel_resends_) {
    ASSIGN_OR_RETURN(slots, connection->MakeSlots());
  }
  connection->server_ = std::make_unique<FuseServer>(std::move(device), source, std::move(slots));
  RETURN_IF_ERROR(connection->server_->Start(options.threads));
  SLACKER_FAILPOINT("attach.serving");
  if (connection->adopted_) RETURN_IF_ERROR(connection->TakeOver(std::move(predecessor)));
  return connection;
}

FuseConnection::~FuseConnection() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);  // cannot fail: the counter is far from its limit
  if (server_ != nullptr) server_->Stop();
  if (when_gone_.joinable()) when_gone_.join();
}

absl::Status FuseConnection::Adopt(const std::string& parent, UniqueFd* device) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, keeper_->List());
  for (const std::string& name : names) {
    uint64_t number = 0;
    if (!ParseName(name, kDevicePrefix, &number)) continue;
    const std::string directory = parent + "/" + std::to_string(number);
    ASSIGN_OR_RETURN(UniqueFd kept, keeper_->Get(name));
    ASSIGN_OR_RETURN(const bool mounted, IsMounted(directory));
    std::map<std::string, UniqueFd> slots;
    for (const std::string& other : names) {
      if (!other.starts_with(SlotsOf(number))) continue;
      ASSIGN_OR_RETURN(slots[other], keeper_->Get(other));
    }
    bool usable = mounted && !device->valid() && FuseDeviceIsConnected(kept);
    const bool resends = usable && KernelResends(kept);
    // Without either the readers whose requests the predecessor had taken would wait for ever.
    // Closing the connection answers them with errors.
    usable = usable && (resends || !slots.empty());
    if (!usable) {
      for (const auto& [left, memory] : slots) RETURN_IF_ERROR(keeper_->Drop(left));
      RETURN_IF_ERROR(keeper_->Drop(name));
      continue;
    }
    *device = std::move(kept);
    directory_ = directory;
    number_ = number;
    adopted_ = true;
    kernel_resends_ = resends;
    left_slots_ = std::move(slots);
  }
  return absl::OkStatus();
}

absl::Status FuseConnection::Create(const std::string& parent, UniqueFd* device) {
  ASSIGN_OR_RETURN(number_, NextNumber(parent));
  directory_ = parent + "/" + std::to_string(number_);
  RETURN_IF_ERROR(MakeDirectory(directory_));
  SLACKER_FAILPOINT("attach.fuse_directory_made");
  ASSIGN_OR_RETURN(*device, OpenFuseDevice());
  RETURN_IF_ERROR(MountFuse(device->get(), kSource, directory_));
  SLACKER_FAILPOINT("attach.fuse_mounted");
  kernel_resends_ = KernelResends(*device);
  // Before anything is attached: what dies here leaves an unused mount for the next one to remove.
  RETURN_IF_ERROR(
      keeper_->Put(std::string(kDevicePrefix) + std::to_string(number_), device->get()));
  SLACKER_FAILPOINT("attach.fuse_kept");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<fuse::RequestSlots>> FuseConnection::MakeSlots() {
  ASSIGN_OR_RETURN(std::unique_ptr<fuse::RequestSlots> slots, fuse::RequestSlots::Create());
  const std::string prefix = SlotsOf(number_);
  uint64_t next = 1;
  for (const auto& [name, memory] : left_slots_) {
    uint64_t number = 0;
    if (ParseName(name, prefix, &number)) next = std::max(next, number + 1);
  }
  // Before the first request is read.
  RETURN_IF_ERROR(keeper_->Put(prefix + std::to_string(next), slots->memory().get()));
  SLACKER_FAILPOINT("attach.slots_kept");
  return slots;
}

// `predecessor`: a pidfd of one that is still ending, if any.
absl::Status FuseConnection::TakeOver(UniqueFd predecessor) {
  using Predecessor = fuse::RequestSlots::Predecessor;
  if (!kernel_resends_) {
    RETURN_IF_ERROR(
        TakeSlotsOver(predecessor.valid() ? Predecessor::kMayBeReading : Predecessor::kGone));
    SLACKER_FAILPOINT("attach.slots_taken_over");
  }
  if (predecessor.valid()) FinishWhenGone(std::move(predecessor));
  return absl::OkStatus();
}

absl::Status FuseConnection::TakeSlotsOver(fuse::RequestSlots::Predecessor predecessor) {
  for (const auto& [name, memory] : left_slots_) {
    RETURN_IF_ERROR(server_->TakeOver(memory, predecessor));
  }
  if (predecessor == fuse::RequestSlots::Predecessor::kMayBeReading) return absl::OkStatus();
  for (const auto& [name, memory] : left_slots_) {
    // All that they had is in ours now. A keeper that has just died does not have them either.
    (void)keeper_->Drop(name);
  }
  left_slots_.clear();
  return absl::OkStatus();
}

void FuseConnection::FinishWhenGone(UniqueFd predecessor) {
  when_gone_ = std::thread([this, predecessor = std::move(predecessor)] {
    std::array<pollfd, 2> waits{{{predecessor.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    while (poll(waits.data(), waits.size(), -1) < 0 && errno == EINTR) {
    }
    if (waits[0].revents == 0) return;  // we end, our successor sees to it
    if (kernel_resends_) {
      // Fails only when the connection is gone, and then there is nothing to send.
      (void)server_->RequestResend();
    } else if (const absl::Status status = TakeSlotsOver(fuse::RequestSlots::Predecessor::kGone);
               !status.ok() && !absl::IsCancelled(status)) {
      Log(LogLevel::kWarning, "requests of the last slackerd may be left unanswered, ignoring",
          {{"error", Message(status)}});
    }
  });
}

}  // namespace slacker
