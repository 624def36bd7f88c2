#include "backend/source/layout_source.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/source/layout_files.h"
#include "backend/source/platform.h"
#include "backend/source/tar_file.h"
#include "backend/source/verifying_source.h"

namespace slacker {
namespace {

constexpr const char* kNameKeys[] = {"org.opencontainers.image.ref.name",
                                     "io.containerd.image.name"};

std::set<std::string> Names(const Descriptor& manifest) {
  std::set<std::string> names;
  for (const char* key : kNameKeys) {
    const auto name = manifest.annotations.find(key);
    if (name != manifest.annotations.end()) names.insert(name->second);
  }
  return names;
}

// Whether there are several for one platform, and only their names tell which is meant.
bool SeveralImages(const OciIndex& index) {
  std::map<std::string, std::set<std::string>> images;
  for (const Descriptor& manifest : index.manifests) {
    std::set<std::string> names = Names(manifest);
    if (names.empty()) continue;
    const Platform platform = manifest.platform.value_or(Platform());
    const auto [other, is_new] = images.try_emplace(FormatPlatform(platform), names);
    if (!is_new && other->second != names) return true;
  }
  return false;
}

// For people.
std::string List(const std::set<std::string>& tags) {
  std::string list;
  for (const std::string& tag : tags) {
    if (list.size() < 500) list += (list.empty() ? "" : ", ") + tag;
  }
  return list.empty() ? "none" : list;
}

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
    ASSIGN_OR_RETURN(const OciIndex index, ParseIndex(root.content));
    std::set<std::string> tags;
    std::vector<size_t> tagged;  // those that are tagged with tag_: one, or one for each platform
    for (size_t i = 0; i < index.manifests.size(); ++i) {
      const std::set<std::string> names = Names(index.manifests[i]);
      if (names.contains(tag_)) tagged.push_back(i);
      tags.insert(names.begin(), names.end());
    }
    if (tag_.empty() && SeveralImages(index)) {
      return InvalidArgument(files_->path() +
                             " has several images; name one by its tag: " + List(tags));
    }
    if (tag_.empty()) return root;
    if (tagged.empty()) {
      return NotFound(files_->path() + " has no image with the tag " + tag_ +
                      "; there is: " + List(tags));
    }
    if (tagged.size() == 1) return ReadManifest(index.manifests[tagged.front()]);
    nlohmann::json all = nlohmann::json::parse(root.content, nullptr, /*allow_exceptions=*/false);
    nlohmann::json manifests = nlohmann::json::array();
    for (const size_t i : tagged) manifests.push_back(std::move(all["manifests"][i]));
    all["manifests"] = std::move(manifests);
    root.content = all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    root.digest = Sha256::Of(root.content);
    return root;
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
