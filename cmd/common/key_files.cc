#include "cmd/common/key_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "backend/base/random.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker {
namespace {

constexpr size_t kMaxKeyBytes = 16 * 1024;

absl::StatusOr<std::string> ReadKeyFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  std::string text(kMaxKeyBytes, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read " + path);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  return text;
}

absl::Status WriteAll(int file, const std::string& path, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t put = write(file, text.data() + done, text.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoError(errno, "write " + path);
    done += static_cast<size_t>(put);
  }
  if (fsync(file) != 0) return ErrnoError(errno, "fsync " + path);
  return absl::OkStatus();
}

absl::Status NotMade(const std::string& path, int error) {
  if (error == EEXIST) return AlreadyExists(path + " exists");
  return ErrnoError(error, "create " + path);
}

// Gives a file its name unless another one has it. FAT has no links, NFS no such renames.
absl::Status NameNew(const std::string& aside, const std::string& path) {
  if (link(aside.c_str(), path.c_str()) == 0) {
    (void)unlink(aside.c_str());  // it has its name; this one is to be seen and harmless
    return absl::OkStatus();
  }
  if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) {
    return NotMade(path, errno);
  }
  if (renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) {
    return absl::OkStatus();
  }
  return NotMade(path, errno);
}

// Under another name first. For file systems without O_TMPFILE.
absl::Status WriteAside(const std::string& path, mode_t mode, const std::string& text) {
  const std::string aside = path + ".new-" + RandomHex();
  const UniqueFd fd(open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoError(errno, "create " + aside);
  absl::Status written = WriteAll(fd.get(), aside, text);
  if (written.ok()) written = NameNew(aside, path);
  if (!written.ok()) (void)unlink(aside.c_str());  // nobody else knows of it
  return written;
}

// The file appears whole or not at all, and in nobody's place: made without a name, then linked.
absl::Status WriteNew(const std::string& path, mode_t mode, const std::string& text) {
  std::string folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  const UniqueFd fd(open(folder.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, mode));
  if (!fd.valid()) {
    // EISDIR: a kernel, or a file system in user space, that does not know the flag.
    if (errno != EOPNOTSUPP && errno != EISDIR) return ErrnoError(errno, "create " + path);
    RETURN_IF_ERROR(WriteAside(path, mode, text));
  } else {
    RETURN_IF_ERROR(WriteAll(fd.get(), path, text));
    const std::string unnamed = "/proc/self/fd/" + std::to_string(fd.get());
    if (linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return NotMade(path, errno);
    }
  }
  const UniqueFd directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.valid() && fsync(directory.get()) == 0) return absl::OkStatus();
  const absl::Status failed = ErrnoError(errno, "fsync " + folder);
  (void)unlink(path.c_str());  // ours, a moment old
  return failed;
}

}  // namespace

absl::StatusOr<SigningKey> ReadSigningKey(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, ReadKeyFile(path));
  auto key = SigningKey::FromPem(pem);
  if (!key.ok()) return Annotate(key.status(), path);
  return key;
}

absl::StatusOr<std::vector<PublicKey>> ReadPublicKeys(const std::vector<std::string>& paths) {
  std::vector<PublicKey> keys;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const std::string pem, ReadKeyFile(path));
    auto key = PublicKey::FromPem(pem);
    if (!key.ok()) return Annotate(key.status(), path);
    keys.push_back(*std::move(key));
  }
  return keys;
}

absl::Status WriteKeyPair(const SigningKey& key, const std::string& path) {
  const std::string public_path = path + ".pub";
  struct stat info {};
  if (stat(public_path.c_str(), &info) == 0) return AlreadyExists(public_path + " exists");
  RETURN_IF_ERROR(WriteNew(path, 0600, key.ToPem()));
  const absl::Status written = WriteNew(public_path, 0644, key.public_key().ToPem());
  if (!written.ok()) (void)unlink(path.c_str());  // ours, a moment old
  return written;
}

}  // namespace slacker
