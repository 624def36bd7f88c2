#include "backend/publish/layout_source.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/publish/verifying_source.h"

namespace slacker {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr char kRefName[] = "org.opencontainers.image.ref.name";

class FileSource final : public ByteSource {
 public:
  FileSource(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  absl::StatusOr<std::string_view> Next() override {
    buffer_.resize(kReadBytes);
    ssize_t got = 0;
    do {
      got = read(fd_.get(), buffer_.data(), buffer_.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return ErrnoError(errno, "read " + path_);
    return std::string_view(buffer_).substr(0, static_cast<size_t>(got));
  }

 private:
  UniqueFd fd_;
  const std::string path_;
  std::string buffer_;
};

class LayoutSource final : public ImageSource {
 public:
  LayoutSource(UniqueFd directory, std::string path, std::string tag)
      : directory_(std::move(directory)), path_(std::move(path)), tag_(std::move(tag)) {}

  std::string Name() const override { return "oci:" + path_ + (tag_.empty() ? "" : ":" + tag_); }

  absl::Status CheckVersion() {
    ASSIGN_OR_RETURN(const std::string text, ReadFile("oci-layout", kMaxManifestBytes));
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const auto version = json.find("imageLayoutVersion");
    if (!json.is_object() || version == json.end() || *version != "1.0.0") {
      return InvalidArgument(path_ + "/oci-layout is not of version 1.0.0");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Document> Root() override {
    Document root;
    ASSIGN_OR_RETURN(root.content, ReadFile("index.json", kMaxManifestBytes));
    root.digest = Sha256::Of(root.content);
    if (tag_.empty()) return root;
    ASSIGN_OR_RETURN(const OciIndex index, ParseIndex(root.content));
    std::string tags;
    for (const Descriptor& manifest : index.manifests) {
      const auto name = manifest.annotations.find(kRefName);
      if (name == manifest.annotations.end()) continue;
      if (name->second == tag_) return ReadManifest(manifest);
      if (tags.size() < 500) tags += (tags.empty() ? "" : ", ") + name->second;
    }
    return NotFound(path_ + " has no image with the tag " + tag_ +
                    "; there is: " + (tags.empty() ? "none" : tags));
  }

  absl::StatusOr<Document> ReadManifest(const Descriptor& descriptor) override {
    ASSIGN_OR_RETURN(std::string content, ReadBlob(descriptor, kMaxManifestBytes));
    return Document{descriptor.media_type, descriptor.digest, std::move(content)};
  }

  absl::StatusOr<std::string> ReadConfig(const Descriptor& descriptor) override {
    return ReadBlob(descriptor, kMaxConfigBytes);
  }

  absl::StatusOr<std::unique_ptr<ByteSource>> OpenBlob(const Descriptor& descriptor) override {
    const std::string name = "blobs/sha256/" + descriptor.digest.ToHex();
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, OpenFile(name));
    return VerifyStream(std::move(file), descriptor.digest, descriptor.size_bytes,
                        path_ + "/" + name);
  }

 private:
  absl::StatusOr<std::unique_ptr<ByteSource>> OpenFile(const std::string& name) {
    const std::string full = path_ + "/" + name;
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a fifo must not hold us up
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    UniqueFd fd(
        static_cast<int>(syscall(SYS_openat2, directory_.get(), name.c_str(), &how, sizeof how)));
    if (!fd.valid()) {
      if (errno == ENOENT) return NotFound("there is no " + full);
      if (errno == EXDEV || errno == ELOOP) {
        return InvalidArgument(full + " leads out of the image layout");
      }
      return ErrnoError(errno, "open " + full);
    }
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) return ErrnoError(errno, "stat " + full);
    if (!S_ISREG(info.st_mode)) return InvalidArgument(full + " is not a regular file");
    return std::make_unique<FileSource>(std::move(fd), full);
  }

  absl::StatusOr<std::string> ReadFile(const std::string& name, uint64_t limit) {
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, OpenFile(name));
    absl::StatusOr<std::string> content = ReadAll(*file, limit);
    if (!content.ok()) return Annotate(content.status(), path_ + "/" + name);
    return content;
  }

  absl::StatusOr<std::string> ReadBlob(const Descriptor& descriptor, uint64_t limit) {
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> blob, OpenBlob(descriptor));
    absl::StatusOr<std::string> content = ReadAll(*blob, limit);
    if (!content.ok()) return Annotate(content.status(), descriptor.digest.ToString());
    return content;
  }

  UniqueFd directory_;
  const std::string path_;
  const std::string tag_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenLayoutSource(std::string_view directory,
                                                              std::string_view tag) {
  if (directory.empty()) return InvalidArgument("oci: without a directory");
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(directory, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // a '/' at the end
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return NotFound("there is no directory " + path.string());
    }
    return ErrnoError(errno, "open " + path.string());
  }
  auto source = std::make_unique<LayoutSource>(std::move(fd), path.string(), std::string(tag));
  RETURN_IF_ERROR(source->CheckVersion());
  return std::unique_ptr<ImageSource>(std::move(source));
}

}  // namespace slacker
