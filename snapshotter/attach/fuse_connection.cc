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
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/os/mount.h"

namespace slacker {
namespace {

constexpr std::string_view kKeptPrefix = "fuse.";  // and the number of the connection
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

}  // namespace

absl::StatusOr<std::unique_ptr<FuseConnection>> FuseConnection::Open(const Options& options,
                                                                     KeeperClient* keeper,
                                                                     BlobSource* source) {
  const std::unique_ptr<char, void (*)(void*)> run_dir(realpath(options.run_dir.c_str(), nullptr),
                                                       free);
  if (run_dir == nullptr) return ErrnoError(errno, "realpath " + options.run_dir);
  const std::string parent = std::string(run_dir.get()) + "/fuse";
  RETURN_IF_ERROR(MakeDirectory(parent));
  std::unique_ptr<FuseConnection> connection(new FuseConnection);
  connection->stop_.Reset(eventfd(0, EFD_CLOEXEC));
  UniqueFd device;
  // Taken before the first resend, so that the end of this process cannot be missed.
  UniqueFd predecessor;
  if (keeper->dying_predecessor() > 0) {
    predecessor.Reset(static_cast<int>(syscall(SYS_pidfd_open, keeper->dying_predecessor(), 0)));
  }
  RETURN_IF_ERROR(connection->Adopt(parent, keeper, &device));
  SLACKER_FAILPOINT("attach.resend_requested");
  if (!device.valid()) RETURN_IF_ERROR(connection->Create(parent, keeper, &device));
  connection->server_ = std::make_unique<FuseServer>(std::move(device), source);
  RETURN_IF_ERROR(connection->server_->Start(options.threads));
  SLACKER_FAILPOINT("attach.serving");
  if (connection->adopted_ && predecessor.valid()) {
    connection->ResendWhenGone(std::move(predecessor));
  }
  return connection;
}

FuseConnection::~FuseConnection() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);  // cannot fail: the counter is far from its limit
  if (late_resend_.joinable()) late_resend_.join();
}

absl::Status FuseConnection::Adopt(const std::string& parent, KeeperClient* keeper,
                                   UniqueFd* device) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, keeper->List());
  for (const std::string& name : names) {
    uint64_t number = 0;
    if (!name.starts_with(kKeptPrefix) ||
        !ParseNumber(std::string_view(name).substr(kKeptPrefix.size()), &number)) {
      continue;
    }
    const std::string directory = parent + "/" + std::to_string(number);
    ASSIGN_OR_RETURN(UniqueFd kept, keeper->Get(name));
    ASSIGN_OR_RETURN(const bool mounted, IsMounted(directory));
    // Without resending (before Linux 6.9) the readers whose requests the predecessor had taken
    // would wait for ever. Closing the connection answers them with errors.
    if (mounted && !device->valid() && FuseDeviceIsConnected(kept) && RequestResend(kept).ok()) {
      *device = std::move(kept);
      directory_ = directory;
      adopted_ = true;
    } else {
      RETURN_IF_ERROR(keeper->Drop(name));
    }
  }
  return absl::OkStatus();
}

absl::Status FuseConnection::Create(const std::string& parent, KeeperClient* keeper,
                                    UniqueFd* device) {
  ASSIGN_OR_RETURN(const uint64_t number, NextNumber(parent));
  directory_ = parent + "/" + std::to_string(number);
  RETURN_IF_ERROR(MakeDirectory(directory_));
  SLACKER_FAILPOINT("attach.fuse_directory_made");
  ASSIGN_OR_RETURN(*device, OpenFuseDevice());
  RETURN_IF_ERROR(MountFuse(device->get(), kSource, directory_));
  SLACKER_FAILPOINT("attach.fuse_mounted");
  // Before anything is attached: what dies here leaves an unused mount for the next one to remove.
  RETURN_IF_ERROR(keeper->Put(std::string(kKeptPrefix) + std::to_string(number), device->get()));
  SLACKER_FAILPOINT("attach.fuse_kept");
  return absl::OkStatus();
}

void FuseConnection::ResendWhenGone(UniqueFd process) {
  late_resend_ = std::thread([this, process = std::move(process)] {
    std::array<pollfd, 2> waits{{{process.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    while (poll(waits.data(), waits.size(), -1) < 0 && errno == EINTR) {
    }
    // Fails only when the connection is gone, and then there is nothing to send.
    if (waits[0].revents != 0) (void)server_->RequestResend();
  });
}

}  // namespace slacker
