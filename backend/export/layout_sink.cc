#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "backend/base/status.h"
#include "backend/export/image_sink.h"
#include "backend/export/layout_index.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxIndexBytes = 4 << 20;

absl::Status Sync(const UniqueFd& file, const std::string& path) {
  return fsync(file.get()) == 0 ? absl::OkStatus() : ErrnoError(errno, "fsync " + path);
}

absl::Status WriteAll(const UniqueFd& file, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t done = write(file.get(), bytes.data(), bytes.size());
    if (done < 0 && errno != EINTR) return ErrnoError(errno, "write " + path);
    if (done > 0) bytes.remove_prefix(static_cast<size_t>(done));
  }
  return absl::OkStatus();
}

// Durable and atomic; `content` hands the bytes to its argument. One writer at a time of one path.
template <typename Content>
absl::Status WriteFile(const std::string& path, const Content& content) {
  const std::string aside = path + ".new";
  UniqueFd file(open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) return ErrnoError(errno, "open " + aside);
  absl::Status status =
      content([&](std::string_view bytes) { return WriteAll(file, bytes, aside); });
  if (status.ok()) status = Sync(file, aside);
  if (status.ok() && rename(aside.c_str(), path.c_str()) != 0) {
    status = ErrnoError(errno, "rename " + aside);
  }
  if (!status.ok()) (void)unlink(aside.c_str());  // what fills a disk must not stay on it
  return status;
}

absl::Status WriteText(const std::string& path, std::string_view text) {
  return WriteFile(path, [text](const auto& put) { return put(text); });
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t limit) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, "open " + path);
  std::string content;
  char buffer[64 << 10];
  for (ssize_t size = 0; (size = read(file.get(), buffer, sizeof buffer)) != 0;) {
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoError(errno, "read " + path);
    content.append(buffer, static_cast<size_t>(size));
    if (content.size() > limit) return ResourceExhausted(path + " is too large");
  }
  return content;
}

class LayoutSink final : public ImageSink {
 public:
  LayoutSink(std::string directory, ImageNames names, UniqueFd lock)
      : directory_(std::move(directory)), names_(std::move(names)), lock_(std::move(lock)) {}

  absl::Status PutBlob(const Descriptor& blob, const Spool& content) override {
    const std::string path = directory_ + "/" + LayoutBlobPath(blob.digest);
    // What is there is not believed: it is written again.
    return WriteFile(path, [&content](const auto& put) { return content.ReadAll(put); });
  }

  absl::Status PutManifest(const Descriptor& manifest, std::string_view content) override {
    RETURN_IF_ERROR(WriteText(directory_ + "/" + LayoutBlobPath(manifest.digest), content));
    RETURN_IF_ERROR(WriteText(directory_ + "/oci-layout", kLayoutFile));
    const std::string path = directory_ + "/index.json";
    absl::StatusOr<std::string> existing = ReadSmallFile(path, kMaxIndexBytes);
    if (ErrnoOf(existing.status()) == ENOENT) existing = std::string();
    RETURN_IF_ERROR(existing.status());
    const absl::StatusOr<std::string> index = AddToIndex(*existing, manifest, names_);
    if (!index.ok()) return Annotate(index.status(), path);
    RETURN_IF_ERROR(WriteText(path, *index));
    return Sync(lock_, directory_);
  }

 private:
  const std::string directory_;
  const ImageNames names_;
  const UniqueFd lock_;  // of the directory, held: others that export into it wait
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSink>> OpenLayoutSink(const std::string& directory,
                                                          const ImageNames& names) {
  std::error_code error;
  std::filesystem::create_directories(directory + "/blobs/sha256", error);
  if (error) return ErrnoError(error.value(), "mkdir " + directory);
  UniqueFd lock(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid()) return ErrnoError(errno, "open " + directory);
  while (flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoError(errno, "lock " + directory);
  }
  return std::unique_ptr<ImageSink>(
      std::make_unique<LayoutSink>(directory, names, std::move(lock)));
}

}  // namespace slacker
