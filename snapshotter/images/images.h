// Published images on this node, as the snapshot semantics (snapshotter/core) need them.
// Implemented by snapshotter/images/image_manager.h; faked in tests/support/fake_images.h.
//
// An image is a chain ID. It is *present* when its records are on this node, verified and durable;
// *attached* when its flattened tree is mounted and readable. Being attached survives slackerd; a
// reboot takes it away.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

// Keeps an image from being collected while no snapshot in the database refers to it yet.
// Move-only; releases when destroyed.
class ImagePin {
 public:
  ImagePin() = default;
  explicit ImagePin(std::function<void()> release) : release_(std::move(release)) {}
  ImagePin(ImagePin&& other) noexcept : release_(std::exchange(other.release_, nullptr)) {}
  ImagePin& operator=(ImagePin&& other) noexcept {
    std::swap(release_, other.release_);
    return *this;
  }
  ImagePin(const ImagePin&) = delete;
  ImagePin& operator=(const ImagePin&) = delete;
  ~ImagePin() {
    if (release_) release_();
  }

 private:
  std::function<void()> release_;
};

class Images {
 public:
  virtual ~Images() = default;

  // Makes the image present: asks the store for its manifest and for the records that are missing,
  // within the budget. `hints` are the labels of the request: they may steer prefetching and decide
  // nothing; but where the node's configuration says that containerd vouches for it, the label
  // containerd.io/snapshot/cri.image-ref says whose image is pulled. Also begins, in the
  // background, to build what Attach needs.
  //
  // NOT_FOUND: not published. UNAUTHENTICATED: published, but not for this caller.
  // FAILED_PRECONDITION: published, but not signed by a key that this node trusts. UNAVAILABLE or
  // DEADLINE_EXCEEDED: the store did not answer in time, or the circuit breaker is open. DATA_LOSS:
  // an object is damaged. In each case the caller takes the ordinary path, with the reason
  // recorded.
  virtual absl::StatusOr<ImagePin> Ensure(const Digest& chain_id, const Labels& hints) = 0;

  // Whether who asks with these labels may have the image, which is present. OK without asking the
  // store if anybody may. UNAUTHENTICATED, and the errors of Ensure.
  virtual absl::Status CheckAllowed(const Digest& chain_id, const Labels& hints) = 0;

  // The path of the image's readable tree, attached if it was not (also after a reboot, and after
  // its FUSE connection was lost). Needs no store. The same path for as long as the image is
  // present: it depends on the database only. UNAVAILABLE when it cannot be attached now, DATA_LOSS
  // when the node's records are damaged. Milliseconds once built. REQUIRES: a snapshot or a pin
  // refers to the image.
  virtual absl::StatusOr<std::string> Attach(const Digest& chain_id) = 0;

  // Bytes and inodes allocated on this node for the image's own top layer: what a committed remote
  // snapshot reports.
  virtual absl::StatusOr<SnapshotUsage> Usage(const Digest& chain_id) = 0;

  // Detaches and forgets images that neither a snapshot nor a pin refers to, and deletes blob
  // caches that no image and no open file needs. Idempotent.
  virtual absl::Status Collect() = 0;
};

}  // namespace slacker
