#include "snapshotter/attach/fuse_connection.h"

#include <dirent.h>
#include <fcntl.h>
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
  RETURN_IF_ERROR(connection->Adopt(parent, predecessor, &device));
  SLACKER_FAILPOINT("attach.resend_requested");
  if (!device.valid()) RETURN_IF_ERROR(connection->Create(parent, &device));
  ASSIGN_OR_RETURN(std::unique_ptr<fuse::RequestSlots> slots, connection->KeepSlots());
  ASSIGN_OR_RETURN(UniqueFd serving, keeper->ServingEvent());
  connection->server_ =
      std::make_unique<FuseServer>(std::move(device), source, std::move(slots), std::move(serving));
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

absl::Status FuseConnection::Adopt(const std::string& parent, const UniqueFd& predecessor,
                                   UniqueFd* device) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, keeper_->List());
  for (const std::string& name : names) {
    uint64_t number = 0;
    if (!ParseName(name, kFuseDevicePrefix, &number)) continue;
    const std::string directory = parent + "/" + std::to_string(number);
    ASSIGN_OR_RETURN(UniqueFd kept, keeper_->Get(name));
    ASSIGN_OR_RETURN(const bool mounted, IsMounted(directory));
    ASSIGN_OR_RETURN(LeftSlots slots, GetSlots(names, number, predecessor));
    bool usable = mounted && !device->valid() && FuseDeviceIsConnected(kept);
    const bool resends = usable && KernelResends(kept);
    // Without either the readers whose requests the predecessor had taken would wait for ever.
    // Closing the connection answers them with errors.
    usable = usable && (resends || !slots.empty());
    if (!usable) {
      for (const auto& [left, unused] : slots) RETURN_IF_ERROR(keeper_->Drop(left));
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

absl::StatusOr<FuseConnection::LeftSlots> FuseConnection::GetSlots(
    const std::vector<std::string>& names, uint64_t connection, const UniqueFd& predecessor) {
  LeftSlots slots;
  for (const std::string& name : names) {
    if (!name.starts_with(SlotsOf(connection))) continue;
    Left& left = slots[name];
    ASSIGN_OR_RETURN(left.memory, keeper_->Get(name));
    auto reader = fuse::RequestSlots::ReaderOf(left.memory);
    if (absl::IsNotFound(reader.status())) {
      // Of a version before: it may be whoever is still ending.
      reader = UniqueFd(predecessor.valid() ? fcntl(predecessor.get(), F_DUPFD_CLOEXEC, 0) : -1);
      if (predecessor.valid() && !reader->valid()) return ErrnoError(errno, "dup");
    }
    RETURN_IF_ERROR(reader.status());
    left.reader = *std::move(reader);
  }
  return slots;
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
      keeper_->Put(std::string(kFuseDevicePrefix) + std::to_string(number_), device->get()));
  SLACKER_FAILPOINT("attach.fuse_kept");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<fuse::RequestSlots>> FuseConnection::KeepSlots() {
  std::unique_ptr<fuse::RequestSlots> slots;
  UniqueFd without_slots;
  if (kernel_resends_) {
    ASSIGN_OR_RETURN(without_slots, fuse::RequestSlots::MakeMemory());
  } else {
    ASSIGN_OR_RETURN(slots, fuse::RequestSlots::Create());
  }
  const std::string prefix = SlotsOf(number_);
  std::vector<std::string> copied;
  uint64_t next = 1;
  for (const auto& [name, left] : left_slots_) {
    uint64_t number = 0;
    if (ParseName(name, prefix, &number)) next = std::max(next, number + 1);
    if (left.reader.valid()) continue;
    bool all = true;
    if (slots != nullptr) {
      ASSIGN_OR_RETURN(all, slots->Gather(left.memory, &gathered_));
    }
    if (all) copied.push_back(name);
  }
  // Before the first request is read. In the place of one whose requests it has.
  const std::string name = copied.empty() ? prefix + std::to_string(next) : copied.front();
  const absl::Status put =
      keeper_->Put(name, slots != nullptr ? slots->memory().get() : without_slots.get());
  // Where the kernel resends it only says whom a successor has to wait for, should we be dying slowly.
  if (!put.ok() && !(kernel_resends_ && absl::IsResourceExhausted(put))) return put;
  if (!put.ok()) {
    Log(LogLevel::kWarning,
        "the keeper is full; the next slackerd may not wait for this one, ignoring",
        {{"error", Message(put)}});
  }
  SLACKER_FAILPOINT("attach.slots_kept");
  for (const std::string& other : copied) {
    // A keeper that has just died does not have it either.
    if (other != name) (void)keeper_->Drop(other);
    left_slots_.erase(other);
  }
  return slots;
}

// `predecessor`: a pidfd of one that is still ending, if any.
absl::Status FuseConnection::TakeOver(UniqueFd predecessor) {
  server_->HandleGathered(gathered_);
  RETURN_IF_ERROR(TakeSlotsOver());
  SLACKER_FAILPOINT("attach.slots_taken_over");
  if (predecessor.valid() || !left_slots_.empty()) FinishWhenGone(std::move(predecessor));
  return absl::OkStatus();
}

absl::Status FuseConnection::TakeSlotsOver() {
  using Predecessor = fuse::RequestSlots::Predecessor;
  for (auto left = left_slots_.begin(); left != left_slots_.end();) {
    const bool gone = !left->second.reader.valid();
    if (!kernel_resends_) {
      RETURN_IF_ERROR(server_->TakeOver(left->second.memory,
                                        gone ? Predecessor::kGone : Predecessor::kMayBeReading));
    }
    // All that it had is in ours now. A keeper that has just died does not have it either.
    if (gone) (void)keeper_->Drop(left->first);
    left = gone ? left_slots_.erase(left) : std::next(left);
  }
  return absl::OkStatus();
}

// Until one of those that are still ending has gone. False when we end, and our successor sees to it.
bool FuseConnection::WaitForAnEnd(UniqueFd* predecessor) {
  std::vector<UniqueFd*> readers;
  if (predecessor->valid()) readers.push_back(predecessor);
  for (auto& [name, left] : left_slots_) readers.push_back(&left.reader);
  std::vector<pollfd> waits;
  for (const UniqueFd* reader : readers) waits.push_back({reader->get(), POLLIN, 0});
  waits.push_back({stop_.get(), POLLIN, 0});
  while (poll(waits.data(), waits.size(), -1) < 0 && errno == EINTR) {
  }
  if (waits.back().revents != 0) return false;
  for (size_t i = 0; i < readers.size(); ++i) {
    if (waits[i].revents != 0) readers[i]->Reset();
  }
  return true;
}

void FuseConnection::FinishWhenGone(UniqueFd predecessor) {
  when_gone_ = std::thread([this, predecessor = std::move(predecessor)]() mutable {
    while (predecessor.valid() || !left_slots_.empty()) {
      if (!WaitForAnEnd(&predecessor)) return;
      // Fails only when the connection is gone, and then there is nothing to send.
      if (kernel_resends_) (void)server_->RequestResend();
      const absl::Status status = TakeSlotsOver();
      if (absl::IsCancelled(status)) return;
      if (!status.ok()) {
        Log(LogLevel::kWarning, "requests of the last slackerd may be left unanswered, ignoring",
            {{"error", Message(status)}});
        return;
      }
    }
  });
}

}  // namespace slacker
