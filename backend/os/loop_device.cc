#include "backend/os/loop_device.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <random>
#include <string_view>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr uint32_t kBlockSize = 4096;
// Others take devices between our question for a free one and our use of it; each lost race is one
// attempt.
constexpr int kAttempts = 64;
// Everybody who asks for a free device is told the same one. Who has lost so often chooses among all;
constexpr int kSharedAttempts = 8;
// and who has lost so often adds one: somebody may hold all that look free.
constexpr int kFoundAttempts = 56;

std::string DevicePath(uint32_t number) { return "/dev/loop" + std::to_string(number); }

std::string SysfsPath(uint32_t number, std::string_view attribute) {
  return "/sys/block/loop" + std::to_string(number) + "/" + std::string(attribute);
}

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  return fd;
}

// The content of a sysfs attribute without its final newline.
absl::StatusOr<std::string> ReadAttribute(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path, O_RDONLY));
  std::string text(4096, '\0');
  const ssize_t size = read(fd.get(), text.data(), text.size());
  if (size < 0) return ErrnoError(errno, "read " + path);
  text.resize(static_cast<size_t>(size));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

absl::Status CheckDirectIo(uint32_t number, LoopDevice::DirectIo direct_io) {
  if (direct_io == LoopDevice::DirectIo::kPreferred) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string value, ReadAttribute(SysfsPath(number, "loop/dio")));
  if (value == "1") return absl::OkStatus();
  return FailedPrecondition(DevicePath(number) + " does not do direct I/O");
}

// OK, or the errno of the attempt.
int Configure(const UniqueFd& device, const UniqueFd& backing, const std::string& backing_path) {
  loop_config config{};
  config.fd = static_cast<uint32_t>(backing.get());
  config.block_size = kBlockSize;
  config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  // Only a label for losetup(8); the whole path is in sysfs.
  std::memcpy(config.info.lo_file_name, backing_path.data(),
              std::min(backing_path.size(), size_t{LO_NAME_SIZE - 1}));
  return ioctl(device.get(), LOOP_CONFIGURE, &config) == 0 ? 0 : errno;
}

// Whether an attempt failed because the device is another's by now, was removed since, or is not
// yet there.
bool IsLostRace(const absl::Status& status) {
  const int error = ErrnoOf(status);
  return error == EBUSY || error == ENXIO || error == ENOENT;
}

absl::StatusOr<std::vector<uint32_t>> ListNumbers() {
  constexpr std::string_view kPrefix = "loop";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/sys/block"), closedir);
  if (directory == nullptr) return ErrnoError(errno, "open /sys/block");
  std::vector<uint32_t> numbers;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(kPrefix)) continue;
    uint32_t number = 0;
    const char* end = name.data() + name.size();
    const auto [stop, failure] = std::from_chars(name.data() + kPrefix.size(), end, number);
    if (failure == std::errc() && stop == end) numbers.push_back(number);
  }
  return numbers;
}

// The attribute is there only while the device is configured.
bool IsConfigured(uint32_t number) {
  return access(SysfsPath(number, "loop/backing_file").c_str(), F_OK) == 0;
}

// One that is free now, any of them; a new one if there is none, or `add`.
absl::StatusOr<uint32_t> ChooseFree(const UniqueFd& control, bool add) {
  ASSIGN_OR_RETURN(std::vector<uint32_t> numbers, ListNumbers());
  std::erase_if(numbers, IsConfigured);
  if (!add && !numbers.empty()) return numbers[std::random_device()() % numbers.size()];
  const int number = ioctl(control.get(), LOOP_CTL_ADD, -1);
  if (number < 0) return ErrnoError(errno, "LOOP_CTL_ADD");
  return static_cast<uint32_t>(number);
}

absl::StatusOr<uint32_t> FindFree(const UniqueFd& control, int attempt) {
  if (attempt >= kSharedAttempts) return ChooseFree(control, attempt >= kFoundAttempts);
  const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
  if (number < 0) return ErrnoError(errno, "LOOP_CTL_GET_FREE");
  return static_cast<uint32_t>(number);
}

// One attempt to put a device on the file.
absl::StatusOr<UniqueFd> Take(uint32_t number, const UniqueFd& backing,
                              const std::string& backing_path) {
  ASSIGN_OR_RETURN(UniqueFd device, OpenFile(DevicePath(number), O_RDONLY));
  SLACKER_FAILPOINT("attach.loop_opened");
  if (const int error = Configure(device, backing, backing_path); error != 0) {
    return ErrnoError(error, "LOOP_CONFIGURE of " + DevicePath(number) + " with " + backing_path);
  }
  SLACKER_FAILPOINT("attach.loop_configured");
  return device;
}

}  // namespace

absl::StatusOr<LoopDevice> LoopDevice::Attach(const std::string& backing_path, DirectIo direct_io) {
  ASSIGN_OR_RETURN(const UniqueFd backing, OpenFile(backing_path, O_RDONLY));
  SLACKER_FAILPOINT("attach.backing_opened");
  ASSIGN_OR_RETURN(const UniqueFd control, OpenFile("/dev/loop-control", O_RDWR));
  absl::Status lost;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ASSIGN_OR_RETURN(const uint32_t number, FindFree(control, attempt));
    absl::StatusOr<UniqueFd> device = Take(number, backing, backing_path);
    if (!device.ok() && IsLostRace(device.status())) {
      lost = device.status();
      continue;
    }
    RETURN_IF_ERROR(device.status());
    RETURN_IF_ERROR(CheckDirectIo(number, direct_io));
    return LoopDevice(number, *std::move(device));
  }
  return Unavailable("no free loop device: " + Message(lost));
}

std::string LoopDevice::path() const { return DevicePath(number_); }

void LoopDevice::ReadInAdvance(uint64_t bytes) const {
  // One call reads no more than a request of the device holds, or its read-ahead.
  constexpr uint64_t kStepBytes = 256 << 10;
  const off_t size = lseek(fd_.get(), 0, SEEK_END);
  const uint64_t end = std::min(bytes, size < 0 ? 0 : static_cast<uint64_t>(size));
  for (uint64_t at = 0; at < end; at += kStepBytes) {
    (void)posix_fadvise(fd_.get(), static_cast<off_t>(at), kStepBytes, POSIX_FADV_WILLNEED);
  }
}

absl::Status SetReadAhead(uint32_t number, uint32_t kib) {
  const std::string path = SysfsPath(number, "queue/read_ahead_kb");
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_WRONLY));
  const std::string text = std::to_string(kib);
  if (write(fd.get(), text.data(), text.size()) < 0) return ErrnoError(errno, "write " + path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LoopBacking>> ListLoopDevices() {
  ASSIGN_OR_RETURN(const std::vector<uint32_t> numbers, ListNumbers());
  std::vector<LoopBacking> devices;
  for (const uint32_t number : numbers) {
    absl::StatusOr<std::string> path = ReadAttribute(SysfsPath(number, "loop/backing_file"));
    if (path.ok() && !path->empty()) devices.push_back({number, *std::move(path)});
  }
  std::sort(devices.begin(), devices.end(),
            [](const LoopBacking& a, const LoopBacking& b) { return a.number < b.number; });
  return devices;
}

absl::Status ChangeBackingFile(const LoopBacking& loop, const std::string& backing_path,
                               LoopDevice::DirectIo direct_io) {
  const uint32_t number = loop.number;
  const absl::StatusOr<UniqueFd> device = OpenFile(DevicePath(number), O_RDONLY);
  // Open, it does not clear itself: what it is on now, it stays on.
  const absl::StatusOr<std::string> current = ReadAttribute(SysfsPath(number, "loop/backing_file"));
  if (!device.ok() || !current.ok() || *current != loop.backing_path) {
    return absl::AbortedError(DevicePath(number) + " is no longer on " + loop.backing_path);
  }
  ASSIGN_OR_RETURN(const UniqueFd backing, OpenFile(backing_path, O_RDONLY));
  SLACKER_FAILPOINT("attach.before_change");
  if (ioctl(device->get(), LOOP_CHANGE_FD, backing.get()) != 0) {
    return ErrnoError(errno, "LOOP_CHANGE_FD of " + DevicePath(number) + " to " + backing_path);
  }
  SLACKER_FAILPOINT("attach.changed");
  return CheckDirectIo(number, direct_io);
}

}  // namespace slacker
