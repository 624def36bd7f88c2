#include "backend/registry/registry_source.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/registry/registry_client.h"
#include "backend/source/verifying_source.h"

namespace slacker {
namespace {

constexpr char kAccept[] =
    "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

// A connection that broke after so much was no failure: long downloads end all the same.
constexpr uint64_t kProgressBytes = 1 << 20;

// A blob's bytes across broken connections.
class ResumingBlob final : public ByteSource {
 public:
  ResumingBlob(RegistryClient* client, const Descriptor& descriptor)
      : client_(client),
        path_("blobs/" + descriptor.digest.ToString()),
        size_bytes_(descriptor.size_bytes),
        resumes_left_(client->options().max_resumes) {}

  absl::Status Open() {
    std::vector<std::string> headers;
    if (offset_ > 0) headers.push_back("Range: bytes=" + std::to_string(offset_) + "-");
    ASSIGN_OR_RETURN(response_, client_->Get(RegistryClient::Purpose::kPull, path_, headers));
    skip_ = 0;
    opened_at_ = offset_;
    if (offset_ == 0) {
      if (response_->status() == 200) return absl::OkStatus();
    } else if (response_->status() == 206) {
      const std::string range = response_->Header("content-range");
      if (range.starts_with("bytes " + std::to_string(offset_) + "-")) return absl::OkStatus();
    } else {
      skip_ = offset_;  // the registry does not know ranges
      return absl::OkStatus();
    }
    return Internal("the registry answers with another part of " + path_ + " than was asked for");
  }

  absl::StatusOr<std::string_view> Next() override {
    for (;;) {
      absl::StatusOr<std::string_view> bytes = response_->Next();
      if (bytes.ok() && !bytes->empty()) {
        const size_t skipped = static_cast<size_t>(std::min<uint64_t>(skip_, bytes->size()));
        bytes->remove_prefix(skipped);
        skip_ -= skipped;
        if (bytes->empty()) continue;
        offset_ += bytes->size();
        return bytes;
      }
      // A connection that broke behind the last byte took nothing with it.
      if (offset_ >= size_bytes_) return std::string_view();
      const absl::Status failure =
          bytes.ok() ? Unavailable(path_ + ": the answer ends too early") : bytes.status();
      if (offset_ - opened_at_ >= kProgressBytes) resumes_left_ = client_->options().max_resumes;
      if (absl::IsCancelled(failure) || resumes_left_-- <= 0) return failure;
      RETURN_IF_ERROR(Open());
    }
  }

 private:
  RegistryClient* const client_;
  const std::string path_;
  const uint64_t size_bytes_;
  int resumes_left_;
  std::unique_ptr<HttpResponse> response_;
  uint64_t offset_ = 0;     // handed out so far
  uint64_t opened_at_ = 0;  // by earlier answers
  uint64_t skip_ = 0;       // to drop from the present answer
};

RegistryClient::Purpose RootPurpose(const ImageReference& reference) {
  return reference.digest.empty() ? RegistryClient::Purpose::kResolve
                                  : RegistryClient::Purpose::kPull;
}

class RegistrySource final : public ImageSource {
 public:
  RegistrySource(std::unique_ptr<RegistryClient> client, std::unique_ptr<RegistryClient> anonymous)
      : client_(std::move(client)), anonymous_(std::move(anonymous)) {}

  std::string Name() const override { return "docker://" + client_->reference().ToString(); }

  absl::StatusOr<Document> Root() override {
    const ImageReference& reference = client_->reference();
    ASSIGN_OR_RETURN(Document root, FetchManifest(RootPurpose(reference), reference.TagOrDigest(),
                                                  kMaxOciManifestBytes));
    if (!reference.digest.empty() && root.digest.ToString() != reference.digest) {
      return DataLoss("the manifest of " + Name() + " has the digest " + root.digest.ToString());
    }
    MutexLock lock(&mutex_);
    root_ = root.digest;
    return root;
  }

  absl::StatusOr<Document> ReadManifest(const Descriptor& descriptor) override {
    if (descriptor.size_bytes > kMaxOciManifestBytes) {
      return ResourceExhausted("manifest " + descriptor.digest.ToString() + " is too large");
    }
    ASSIGN_OR_RETURN(Document document,
                     FetchManifest(RegistryClient::Purpose::kPull, descriptor.digest.ToString(),
                                   descriptor.size_bytes));
    if (document.digest != descriptor.digest) {
      return DataLoss("the registry's manifest " + descriptor.digest.ToString() +
                      " has the digest " + document.digest.ToString());
    }
    return document;
  }

  absl::StatusOr<std::string> ReadConfig(const Descriptor& descriptor) override {
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> blob, OpenBlob(descriptor));
    absl::StatusOr<std::string> config = ReadAll(*blob, kMaxConfigBytes);
    if (!config.ok()) return Annotate(config.status(), "the image configuration");
    return config;
  }

  absl::StatusOr<std::unique_ptr<ByteSource>> OpenBlob(const Descriptor& descriptor) override {
    auto blob = std::make_unique<ResumingBlob>(client_.get(), descriptor);
    RETURN_IF_ERROR(blob->Open());
    return VerifyStream(std::move(blob), descriptor.digest, descriptor.size_bytes,
                        "blob " + descriptor.digest.ToString());
  }

  absl::StatusOr<std::string> PrivateRepository() override {
    std::optional<Digest> root;
    {
      MutexLock lock(&mutex_);
      root = root_;
    }
    if (!root.has_value()) return FailedPrecondition(Name() + ": its manifest was not read yet");
    if (!client_->used_credentials()) return std::string();
    const absl::Status answer = CheckAnonymousAccess(*anonymous_, *root);
    if (answer.ok()) return std::string();
    // Registries also call what one may not see missing.
    if (!absl::IsPermissionDenied(answer) && !absl::IsNotFound(answer)) return answer;
    return client_->reference().RepositoryName();
  }

  void Cancel() override {
    client_->Cancel();
    anonymous_->Cancel();
  }

 private:
  absl::StatusOr<Document> FetchManifest(RegistryClient::Purpose purpose,
                                         const std::string& tag_or_digest, uint64_t limit) {
    ASSIGN_OR_RETURN(std::unique_ptr<HttpResponse> response,
                     client_->Get(purpose, "manifests/" + tag_or_digest, {kAccept}));
    absl::StatusOr<std::string> content = ReadAll(*response, limit);
    if (!content.ok()) return Annotate(content.status(), "manifest " + tag_or_digest);
    return Document{response->Header("content-type"), Sha256::Of(*content), *std::move(content)};
  }

  const std::unique_ptr<RegistryClient> client_;
  const std::unique_ptr<RegistryClient> anonymous_;  // the same, without credentials
  Mutex mutex_;
  std::optional<Digest> root_ ABSL_GUARDED_BY(mutex_);  // as it was read last
};

}  // namespace

absl::Status CheckAnonymousAccess(RegistryClient& anonymous, const Digest& manifest) {
  const std::string path = "manifests/" + manifest.ToString();
  ASSIGN_OR_RETURN(const auto response,
                   anonymous.Get(RegistryClient::Purpose::kPull, path, {kAccept}));
  const absl::StatusOr<std::string> content = ReadAll(*response, kMaxOciManifestBytes);
  if (!content.ok() && !absl::IsResourceExhausted(content.status())) return content.status();
  // A page that asks to log in, or an image of a mirror that has the same name.
  if (!content.ok() || Sha256::Of(*content) != manifest) {
    return PermissionDenied(path + ": without credentials, something else is answered");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenRegistrySource(const ImageReference& reference,
                                                                const RegistryOptions& options) {
  ASSIGN_OR_RETURN(auto client, RegistryClient::Open(reference, options));
  ASSIGN_OR_RETURN(auto anonymous, RegistryClient::Open(reference, options, /*anonymous=*/true));
  return std::make_unique<RegistrySource>(std::move(client), std::move(anonymous));
}

}  // namespace slacker
