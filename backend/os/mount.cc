#include "backend/os/mount.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

// Spaces, tabs, newlines and backslashes stand as three octal digits in mountinfo.
std::string Unescape(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, value, 8).ptr ==
            text.data() + i + 4) {
      plain += static_cast<char>(value);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

bool ParseNumber(std::string_view text, uint32_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

// "36 35 98:0 /root /mount/point options [optional fields] - type source super-options"
bool ParseLine(std::string_view line, MountEntry* entry) {
  const size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return false;
  const std::vector<std::string_view> left = Split(line.substr(0, dash), ' ');
  const std::vector<std::string_view> right = Split(line.substr(dash + 3), ' ');
  if (left.size() < 6 || right.size() < 2) return false;
  const std::vector<std::string_view> device = Split(left[2], ':');
  if (device.size() != 2 || !ParseNumber(device[0], &entry->major) ||
      !ParseNumber(device[1], &entry->minor)) {
    return false;
  }
  entry->mount_point = Unescape(left[4]);
  entry->fs_type = Unescape(right[0]);
  entry->source = Unescape(right[1]);
  return true;
}

// An error with what the kernel wrote into the context's message queue ("e erofs: …").
absl::Status ContextError(int error, const UniqueFd& context, const std::string& what) {
  std::string text = what;
  std::array<char, 512> message;
  for (ssize_t size = 0; (size = read(context.get(), message.data(), message.size())) > 0;) {
    text += " (" + std::string(message.data(), static_cast<size_t>(size)) + ")";
  }
  return ErrnoError(error, text);
}

}  // namespace

absl::StatusOr<std::vector<MountEntry>> ParseMountInfo(std::string_view text) {
  std::vector<MountEntry> entries;
  for (const std::string_view line : Split(text, '\n')) {
    if (line.empty()) continue;
    MountEntry entry;
    if (!ParseLine(line, &entry)) {
      return Internal("mountinfo: unreadable line: " + std::string(line));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

absl::StatusOr<std::vector<MountEntry>> ListMounts() {
  constexpr char kPath[] = "/proc/self/mountinfo";
  const UniqueFd fd(open(kPath, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, std::string("open ") + kPath);
  std::string text;
  std::array<char, 16384> buffer;
  ssize_t size = 0;
  while ((size = read(fd.get(), buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<size_t>(size));
  }
  if (size < 0) return ErrnoError(errno, std::string("read ") + kPath);
  return ParseMountInfo(text);
}

absl::Status MountErofs(const std::string& primary, const std::vector<std::string>& devices,
                        const std::string& mount_point) {
  // fsconfig(2), because the options of mount(2) end at one page.
  const UniqueFd context(fsopen("erofs", FSOPEN_CLOEXEC));
  if (!context.valid()) return ErrnoError(errno, "fsopen erofs");
  const auto set = [&context](const char* key, const std::string& value) {
    if (fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) {
      return absl::OkStatus();
    }
    return ContextError(errno, context, std::string("fsconfig ") + key + "=" + value);
  };
  RETURN_IF_ERROR(set("source", primary));
  for (const std::string& device : devices) RETURN_IF_ERROR(set("device", device));
  if (fsconfig(context.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0) != 0) {
    return ContextError(errno, context, "fsconfig ro");
  }
  SLACKER_FAILPOINT("attach.before_create");
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ContextError(errno, context, "mount erofs on " + primary);
  }
  SLACKER_FAILPOINT("attach.created");
  const UniqueFd mounted(fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY));
  if (!mounted.valid()) return ContextError(errno, context, "fsmount " + primary);
  SLACKER_FAILPOINT("attach.before_move");
  if (move_mount(mounted.get(), "", AT_FDCWD, mount_point.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return ErrnoError(errno, "move_mount to " + mount_point);
  }
  SLACKER_FAILPOINT("attach.moved");
  return absl::OkStatus();
}

absl::Status MountFuse(int fuse_fd, const std::string& source, const std::string& mount_point) {
  const std::string options =
      "fd=" + std::to_string(fuse_fd) + ",rootmode=40000,user_id=0,group_id=0";
  if (mount(source.c_str(), mount_point.c_str(), "fuse",
            MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) != 0) {
    return ErrnoError(errno, "mount fuse on " + mount_point);
  }
  return absl::OkStatus();
}

absl::Status MakeMountsPrivate() {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) return absl::OkStatus();
  return ErrnoError(errno, "make mounts private");
}

absl::Status MountNodev(const std::string& type, const std::string& mount_point,
                        const std::string& options) {
  if (mount(type.c_str(), mount_point.c_str(), type.c_str(), 0, options.c_str()) == 0) {
    return absl::OkStatus();
  }
  return ErrnoError(errno, "mount " + type + " at " + mount_point);
}

absl::Status BindMount(const std::string& source, const std::string& mount_point) {
  if (mount(source.c_str(), mount_point.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0) {
    return absl::OkStatus();
  }
  return ErrnoError(errno, "bind " + source + " at " + mount_point);
}

absl::Status UnmountAll(const std::string& mount_point) {
  while (umount2(mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  // EINVAL: not a mount point (any more); ENOENT: no such path.
  if (errno == EINVAL || errno == ENOENT) return absl::OkStatus();
  return ErrnoError(errno, "umount " + mount_point);
}

}  // namespace slacker
