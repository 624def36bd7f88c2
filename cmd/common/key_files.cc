#include "cmd/common/key_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

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

// The file appears whole or not at all, and in nobody's place: made without a name, then linked.
absl::Status WriteNew(const std::string& path, mode_t mode, const std::string& text) {
  const std::string folder = std::filesystem::path(path).parent_path();
  const UniqueFd fd(
      open(folder.empty() ? "." : folder.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoError(errno, "create " + path);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t put = write(fd.get(), text.data() + done, text.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoError(errno, "write " + path);
    done += static_cast<size_t>(put);
  }
  if (fsync(fd.get()) != 0) return ErrnoError(errno, "fsync " + path);
  const std::string unnamed = "/proc/self/fd/" + std::to_string(fd.get());
  if (linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    return ErrnoError(errno, "create " + path);
  }
  return absl::OkStatus();
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
