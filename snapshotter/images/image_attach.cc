// How images become trees.
#include <malloc.h>

#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"
#include "snapshotter/images/image_manager.h"
#include "snapshotter/warm/touched_files.h"

namespace slacker {
namespace {

// Trees that no container has asked for yet: each has loop devices.
constexpr size_t kMaxAttachedAhead = 16;
// Of one tree; what is beyond is read when it is asked for.
constexpr size_t kMaxPlanBytes = 2 << 20;

}  // namespace

absl::StatusOr<std::string> ImageManager::Attach(const Digest& chain_id) {
  ++attach_calls_;
  const ImagePin pin = Pinned(chain_id);
  absl::StatusOr<std::string> path = AttachPinned(chain_id, /*asked_for=*/true);
  MutexLock lock(&mutex_);
  attached_ahead_.erase(chain_id);
  return path;
}

// What is warmed is going to be started: attached by then, it is warm by then.
void ImageManager::AttachAhead(const Digest& chain_id) {
  const std::optional<ImagePin> pin = TryPinned(chain_id);
  if (!pin.has_value()) return;
  const auto image = FindKnown(chain_id);
  if (!image.ok() || *image == nullptr) return;
  {
    MutexLock lock(&mutex_);
    if (trees_.contains((*image)->row.id) || attached_ahead_.size() >= kMaxAttachedAhead) return;
    attached_ahead_.insert(chain_id);
  }
  if (const auto attached = AttachPinned(chain_id, /*asked_for=*/false); !attached.ok()) {
    Log(LogLevel::kDebug, "an image is not attached in advance",
        {{"chain", chain_id.ToString()}, {"error", Message(attached.status())}});
    MutexLock lock(&mutex_);
    attached_ahead_.erase(chain_id);
  }
}

absl::StatusOr<std::string> ImageManager::AttachPinned(const Digest& chain_id, bool asked_for) {
  ASSIGN_OR_RETURN(const std::unique_ptr<KnownImage> image, FindKnown(chain_id));
  if (image == nullptr) return Internal("image " + chain_id.ToString() + " is not on this node");
  const std::string path = TreePath(options_.root, image->row.id);
  while (!TakeTree(image->row.id)) {
    if (options_.mounter->IsMounted(path)) return path;
    ForgetTree(image->row.id);  // unmounted by somebody else
  }
  absl::Status attached = Internal("attaching has thrown an exception");
  {
    // After an exception, too, the next one has its turn.
    const absl::Cleanup put = [&] { PutTree(image->row.id, attached.ok()); };
    // What is mounted already was read before, or is warm.
    const bool fresh = !options_.mounter->IsMounted(path);
    attached = AttachTree(*image);
    if (attached.ok() && fresh && !warmer_.OnAttached(chain_id, path) && asked_for &&
        options_.traces != nullptr) {
      options_.traces->Begin(chain_id, image->layers);
    }
    if (attached.ok()) (void)boots_->TakeTable(chain_id);  // nobody is going to look at it
  }
  if (absl::IsDataLoss(attached)) {
    ForgetFacts(image->layers);
    RunInBackground(
        [this, chain_id, known = *image, keep = std::make_shared<ImagePin>(Pinned(chain_id))] {
          const auto deadline = gateway_.Deadline();
          const absl::Status again =
              Once(chain_id, deadline, [&] { return BringImage(known, deadline); });
          if (!again.ok()) {
            Log(LogLevel::kWarning, "a damaged image cannot be fetched again, ignoring",
                {{"chain", chain_id.ToString()}, {"error", again.ToString()}});
          }
        });
  }
  RETURN_IF_ERROR(Annotate(attached, "attach " + chain_id.ToString()));
  return path;
}

absl::Status ImageManager::AttachTree(const KnownImage& image) {
  ASSIGN_OR_RETURN(const MetadataImage metadata, builds_->Get(image.row.chain_id));
  TreeSpec spec;
  spec.metadata_path = metadata.path;
  spec.mount_path = TreePath(options_.root, image.row.id);
  std::vector<BlobFiller::FileHold> holds;  // until the kernel has the files
  for (const uint32_t layer : metadata.devices) {
    const BlobRow& blob = image.layers[layer];
    auto hold = options_.filler->HoldSealed(blob);
    const bool local = hold.has_value();
    if (local) holds.push_back(*std::move(hold));
    spec.blobs.push_back({blob.id, blob.size_bytes, local ? BlobFile::kCache : BlobFile::kFuse});
  }
  RETURN_IF_ERROR(MakeDirectories(spec.mount_path));
  return options_.mounter->Attach(spec);
}

absl::StatusOr<MetadataImage> ImageManager::FindOrBuild(const Digest& chain_id) {
  ASSIGN_OR_RETURN(const std::unique_ptr<KnownImage> image, FindKnown(chain_id));
  if (image == nullptr) return Internal("image " + chain_id.ToString() + " is not on this node");
  auto kept = metadata_.Find(image->row, image->layers.size());
  if (kept.ok()) {
    (void)boots_->TakeTable(chain_id);  // nobody is going to look at it
    warmer_.Forget(chain_id);
    return kept;
  }
  auto built = metadata_.Build(
      image->row, image->layers,
      [&](const std::vector<const Layer*>& layers) { PlanWarming(chain_id, layers); });
  // The decoded layers were tens of megabytes; glibc would keep them for the next build.
  (void)malloc_trim(0);
  return built;
}

void ImageManager::PlanWarming(const Digest& chain_id, const std::vector<const Layer*>& layers) {
  const std::shared_ptr<const BootTable> table = boots_->TakeTable(chain_id);
  // Of whole chunks, as guesses have, nobody knows which part is going to be read.
  if (table == nullptr || !table->HasPages()) return;
  TouchedFiles files(layers);
  std::vector<std::vector<FileRange>> windows;
  size_t plan_bytes = 0;
  for (const BootTable::Window& window : table->windows) {
    windows.emplace_back();  // of each, since they are counted as they come
    if (!window.pages.has_value() || plan_bytes > kMaxPlanBytes) continue;
    windows.back() = files.Find(window.runs);
    for (const FileRange& range : windows.back()) plan_bytes += sizeof range + range.path.size();
  }
  if (!warmer_.Plan(chain_id, std::move(windows))) return;
  MutexLock lock(&mutex_);
  if (stopping_) return;
  ++attaching_unasked_;
  background_->Add([this, chain_id] {
    AttachAhead(chain_id);
    MutexLock end(&mutex_);
    --attaching_unasked_;
    changed_.SignalAll();
  });
}

// Waits for its turn; false when the tree is attached.
bool ImageManager::TakeTree(uint64_t image_id) {
  MutexLock lock(&mutex_);
  while (trees_[image_id].busy) changed_.Wait(&mutex_);
  if (trees_[image_id].attached) return false;
  trees_[image_id].busy = true;
  return true;
}

void ImageManager::ForgetTree(uint64_t image_id) {
  MutexLock lock(&mutex_);
  if (!trees_[image_id].busy) trees_.erase(image_id);
}

void ImageManager::PutTree(uint64_t image_id, bool attached) {
  MutexLock lock(&mutex_);
  if (attached) {
    trees_[image_id] = {false, true};
  } else {
    trees_.erase(image_id);
  }
  changed_.SignalAll();
}

void ImageManager::AttachMountedAgain(const std::vector<ImageRow>& images) {
  for (const ImageRow& image : images) {
    if (!options_.mounter->IsMounted(TreePath(options_.root, image.id))) continue;
    {
      MutexLock lock(&mutex_);
      ++attaching_unasked_;
    }
    RunInBackground([this, chain_id = image.chain_id] {
      if (const auto attached = Attach(chain_id); !attached.ok()) {
        Log(LogLevel::kWarning, "a mounted image cannot be connected again, ignoring",
            {{"chain", chain_id.ToString()}, {"error", attached.status().ToString()}});
      }
      MutexLock lock(&mutex_);
      --attaching_unasked_;
      changed_.SignalAll();
    });
  }
}

}  // namespace slacker
