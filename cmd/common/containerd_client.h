// Calls of a running containerd: its images, its content store, its leases.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "content.grpc.pb.h"
#include "images.grpc.pb.h"
#include "leases.grpc.pb.h"

namespace slacker {

struct ContainerdOptions {
  std::string address = "/run/containerd/containerd.sock";
  std::string name_space = "default";  // kubelets use "k8s.io"
  std::chrono::seconds rpc_timeout{30};
};

// Of one containerd in one namespace. Thread-safe. Errors are containerd's own codes; UNAVAILABLE,
// DEADLINE_EXCEEDED: it does not answer.
class ContainerdClient {
 public:
  // INVALID_ARGUMENT: the address is no absolute path. Connects at the first call.
  static absl::StatusOr<std::unique_ptr<ContainerdClient>> Open(const ContainerdOptions& options);

  absl::StatusOr<containerd::services::images::v1::Image> GetImage(const std::string& name);
  absl::StatusOr<std::vector<containerd::services::images::v1::Image>> ListImages();
  absl::Status SetTarget(const std::string& name,
                         const containerd::services::images::v1::Descriptor& target);

  // NOT_FOUND: it is not in the content store.
  absl::StatusOr<uint64_t> GetSize(const Digest& digest);
  // [offset, offset + size) of a blob that is long enough.
  absl::Status Read(const Digest& digest, uint64_t offset, uint64_t size, std::string* bytes);
  // Puts a blob into the content store; nothing where it is there already. `read` gives the bytes
  // from an offset on, some at a time.
  absl::Status Write(const Digest& digest, uint64_t size,
                     const std::function<absl::StatusOr<std::string>(uint64_t offset)>& read);
  // Sets these of a blob's labels.
  absl::Status SetLabels(const Digest& digest, const std::map<std::string, std::string>& labels);

  // From now on what is written here is kept for a day, or until DropLease.
  absl::Status TakeLease();
  absl::Status DropLease();

  const std::string& name_space() const { return options_.name_space; }

 private:
  explicit ContainerdClient(const ContainerdOptions& options);
  void Prepare(grpc::ClientContext* context) const;

  const ContainerdOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<containerd::services::content::v1::Content::Stub> content_;
  const std::unique_ptr<containerd::services::images::v1::Images::Stub> images_;
  const std::unique_ptr<containerd::services::leases::v1::Leases::Stub> leases_;
  std::string lease_;  // set by TakeLease, before anything is written
};

}  // namespace slacker
