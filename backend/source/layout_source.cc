#include "backend/source/layout_source.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/status.h"
#include "backend/source/layout_files.h"
#include "backend/source/tar_file.h"
#include "backend/source/verifying_source.h"

namespace slacker {
namespace {

constexpr const char* kNameKeys[] = {"org.opencontainers.image.ref.name",
                                     "io.containerd.image.name"};

class LayoutSource final : public ImageSource {
 public:
  LayoutSource(std::string kind, std::unique_ptr<LayoutFiles> files, std::string tag)
      : kind_(std::move(kind)), files_(std::move(files)), tag_(std::move(tag)) {}

  std::string Name() const override {
    return kind_ + ":" + files_->path() + (tag_.empty() ? "" : ":" + tag_);
  }

  absl::Status CheckVersion() {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadLayoutFile(*files_, "oci-layout", kMaxOciManifestBytes));
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const auto version = json.find("imageLayoutVersion");
    if (!json.is_object() || version == json.end() || *version != "1.0.0") {
      return InvalidArgument(files_->path() + "/oci-layout is not of version 1.0.0");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Document> Root() override {
    Document root;
    ASSIGN_OR_RETURN(root.content, ReadLayoutFile(*files_, "index.json", kMaxOciManifestBytes));
    root.digest = Sha256::Of(root.content);
    if (tag_.empty()) return root;
    ASSIGN_OR_RETURN(const OciIndex index, ParseIndex(root.content));
    std::string tags;
    for (const Descriptor& manifest : index.manifests) {
      for (const char* key : kNameKeys) {
        const auto name = manifest.annotations.find(key);
        if (name == manifest.annotations.end()) continue;
        if (name->second == tag_) return ReadManifest(manifest);
        if (tags.size() < 500) tags += (tags.empty() ? "" : ", ") + name->second;
      }
    }
    return NotFound(files_->path() + " has no image with the tag " + tag_ +
                    "; there is: " + (tags.empty() ? "none" : tags));
  }

  absl::StatusOr<Document> ReadManifest(const Descriptor& descriptor) override {
    ASSIGN_OR_RETURN(std::string content, ReadBlob(descriptor, kMaxOciManifestBytes));
    return Document{descriptor.media_type, descriptor.digest, std::move(content)};
  }

  absl::StatusOr<std::string> ReadConfig(const Descriptor& descriptor) override {
    return ReadBlob(descriptor, kMaxConfigBytes);
  }

  absl::StatusOr<std::unique_ptr<ByteSource>> OpenBlob(const Descriptor& descriptor) override {
    const std::string name = "blobs/sha256/" + descriptor.digest.ToHex();
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, files_->Open(name));
    return VerifyStream(std::move(file), descriptor.digest, descriptor.size_bytes,
                        files_->path() + "/" + name);
  }

 private:
  absl::StatusOr<std::string> ReadBlob(const Descriptor& descriptor, uint64_t limit) {
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> blob, OpenBlob(descriptor));
    absl::StatusOr<std::string> content = ReadAll(*blob, limit);
    if (!content.ok()) return Annotate(content.status(), descriptor.digest.ToString());
    return content;
  }

  const std::string kind_;
  const std::unique_ptr<LayoutFiles> files_;
  const std::string tag_;
};

absl::StatusOr<std::unique_ptr<ImageSource>> Open(
    std::string kind, absl::StatusOr<std::unique_ptr<LayoutFiles>> files, std::string_view tag) {
  RETURN_IF_ERROR(files.status());
  auto source =
      std::make_unique<LayoutSource>(std::move(kind), *std::move(files), std::string(tag));
  RETURN_IF_ERROR(source->CheckVersion());
  return std::unique_ptr<ImageSource>(std::move(source));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenLayoutSource(std::string_view directory,
                                                              std::string_view tag) {
  return Open("oci", OpenDirectory(directory), tag);
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenOciArchiveSource(std::string_view file,
                                                                  std::string_view tag) {
  return Open("oci-archive", OpenTarFile(file), tag);
}

}  // namespace slacker
