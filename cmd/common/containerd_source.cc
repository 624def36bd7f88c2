#include "cmd/common/containerd_source.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/registry/registry_client.h"
#include "backend/registry/registry_source.h"
#include "backend/source/verifying_source.h"

namespace slacker {
namespace {

constexpr uint64_t kReadBytes = 8 << 20;  // in one call, which has a time limit

class BlobSource final : public ByteSource {
 public:
  BlobSource(ContainerdClient* client, const std::atomic<bool>* cancelled, const Digest& digest,
             uint64_t size)
      : client_(client), cancelled_(cancelled), digest_(digest), size_(size) {}

  absl::StatusOr<std::string_view> Next() override {
    if (*cancelled_) return Cancelled("nobody wants " + digest_.ToString() + " any more");
    const uint64_t size = std::min(size_ - offset_, kReadBytes);
    if (size == 0) return std::string_view();
    RETURN_IF_ERROR(client_->Read(digest_, offset_, size, &bytes_));
    offset_ += size;
    return std::string_view(bytes_);
  }

 private:
  ContainerdClient* const client_;
  const std::atomic<bool>* const cancelled_;
  const Digest digest_;
  const uint64_t size_;
  uint64_t offset_ = 0;
  std::string bytes_;
};

class ContainerdSource final : public ImageSource {
 public:
  ContainerdSource(std::unique_ptr<ContainerdClient> client, std::string name, Descriptor target,
                   std::unique_ptr<RegistryClient> anonymous)
      : client_(std::move(client)),
        name_(std::move(name)),
        target_(std::move(target)),
        anonymous_(std::move(anonymous)) {}

  std::string Name() const override { return "containerd:" + name_; }

  absl::StatusOr<Document> Root() override { return ReadManifest(target_); }

  absl::StatusOr<Document> ReadManifest(const Descriptor& descriptor) override {
    ASSIGN_OR_RETURN(std::string text, ReadBlob(descriptor, kMaxOciManifestBytes));
    return Document{descriptor.media_type, descriptor.digest, std::move(text)};
  }

  absl::StatusOr<std::string> ReadConfig(const Descriptor& descriptor) override {
    return ReadBlob(descriptor, kMaxConfigBytes);
  }

  absl::StatusOr<std::unique_ptr<ByteSource>> OpenBlob(const Descriptor& descriptor) override {
    const absl::StatusOr<uint64_t> size = client_->GetSize(descriptor.digest);
    if (absl::IsNotFound(size.status())) {
      return FailedPrecondition(
          "containerd does not have the blob " + descriptor.digest.ToString() + " of " + name_ +
          ": a snapshotter had its layer already, or it was removed after unpacking (with "
          "discard_unpacked_layers in containerd's configuration); publish the image from its "
          "registry");
    }
    RETURN_IF_ERROR(size.status());
    return VerifyStream(
        std::make_unique<BlobSource>(client_.get(), &cancelled_, descriptor.digest, *size),
        descriptor.digest, descriptor.size_bytes,
        "containerd's blob " + descriptor.digest.ToString());
  }

  absl::StatusOr<std::string> PrivateRepository() override {
    const absl::StatusOr<ImageReference> reference = ParseImageReference(name_);
    if (!reference.ok()) {
      return FailedPrecondition("containerd's image " + name_ +
                                " has no registry's name, which could tell who may have it: say so "
                                "with --private REPOSITORY or --public");
    }
    // Whatever keeps us from knowing that everybody may have it keeps it private.
    if (anonymous_ != nullptr && CheckAnonymousAccess(*anonymous_, target_.digest).ok()) {
      return std::string();
    }
    return reference->RepositoryName();
  }

  void Cancel() override {
    cancelled_ = true;
    if (anonymous_ != nullptr) anonymous_->Cancel();
  }

 private:
  absl::StatusOr<std::string> ReadBlob(const Descriptor& descriptor, uint64_t limit) {
    ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> blob, OpenBlob(descriptor));
    absl::StatusOr<std::string> text = ReadAll(*blob, limit);
    if (!text.ok()) return Annotate(text.status(), descriptor.digest.ToString());
    return text;
  }

  const std::unique_ptr<ContainerdClient> client_;
  const std::string name_;
  const Descriptor target_;
  const std::unique_ptr<RegistryClient> anonymous_;  // null: it cannot be asked
  std::atomic<bool> cancelled_ = false;
};

// To ask the registry of the image of that name once, as anybody may. Null: there is none.
std::unique_ptr<RegistryClient> OpenAnonymous(const std::string& name,
                                              const RegistryOptions& registry) {
  const absl::StatusOr<ImageReference> reference = ParseImageReference(name);
  if (!reference.ok()) return nullptr;
  RegistryOptions once = registry;
  once.max_tries = 1;
  auto client = RegistryClient::Open(*reference, once, /*anonymous=*/true);
  return client.ok() ? *std::move(client) : nullptr;
}

// The image called `name`, or that of its full name, which `name` becomes.
absl::StatusOr<Descriptor> FindImage(ContainerdClient* client, std::string* name) {
  auto image = client->GetImage(*name);
  if (const auto full = ParseImageReference(*name); absl::IsNotFound(image.status()) && full.ok()) {
    image = client->GetImage(full->ToString());
    if (image.ok()) *name = full->ToString();
  }
  RETURN_IF_ERROR(image.status());
  Descriptor target;
  target.media_type = image->target().media_type();
  const absl::StatusOr<Digest> digest = Digest::Parse(image->target().digest());
  if (!digest.ok()) return Annotate(digest.status(), "containerd's image " + *name);
  target.digest = *digest;
  target.size_bytes = static_cast<uint64_t>(image->target().size());
  return target;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenContainerdSource(std::string_view name,
                                                                  const ContainerdOptions& options,
                                                                  const RegistryOptions& registry) {
  if (name.empty()) return InvalidArgument("containerd: without an image name");
  ASSIGN_OR_RETURN(auto client, ContainerdClient::Open(options));
  std::string found(name);
  absl::StatusOr<Descriptor> target = FindImage(client.get(), &found);
  if (absl::IsNotFound(target.status())) {
    return NotFound("containerd has no image " + std::string(name) + " in its namespace " +
                    options.name_space);
  }
  RETURN_IF_ERROR(target.status());
  auto anonymous = OpenAnonymous(found, registry);
  return std::make_unique<ContainerdSource>(std::move(client), std::move(found), *std::move(target),
                                            std::move(anonymous));
}

}  // namespace slacker
