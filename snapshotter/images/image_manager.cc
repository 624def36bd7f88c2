#include "snapshotter/images/image_manager.h"

#include <malloc.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

std::shared_ptr<ReadBackend> Counted(ReadBackend* backend,
                                     std::shared_ptr<TransferCounters> counters) {
  if (backend == nullptr) return nullptr;
  return std::make_shared<CountingBackend>(backend, std::move(counters));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageManager>> ImageManager::Open(Options options) {
  for (const char* directory : {"/images", "/snapshots", "/boot"}) {
    RETURN_IF_ERROR(MakeDirectories(options.root + directory));
  }
  return std::unique_ptr<ImageManager>(new ImageManager(std::move(options)));
}

ImageManager::ImageManager(Options options)
    : options_(std::move(options)),
      records_(options_.filler->records()),
      metadata_(options_.root + "/images", &records_),
      transfers_(std::make_shared<TransferCounters>()),
      references_(std::make_shared<References>()),
      gateway_(Counted(options_.backend.get(), transfers_), options_.clock, options_.gateway),
      wholes_(options_.clock),
      builds_(std::make_unique<BuildQueue>(
          [this](const Digest& chain_id) { return FindOrBuild(chain_id); }, options_.build_delay)),
      boots_(std::make_unique<BootStreams>(options_.backend, options_.filler, options_.clock,
                                           options_.root + "/boot", options_.gateway.trust.keys)),
      background_(std::make_unique<ThreadPool>("slk-images", 1)) {}

ImageManager::~ImageManager() { Stop(); }

void ImageManager::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  background_.reset();
  boots_.reset();
  builds_.reset();
}

absl::Status ImageManager::Start() {
  std::vector<ImageRow> images;
  std::vector<BlobRow> blobs;
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
    ASSIGN_OR_RETURN(images, AllImages(txn));
    ASSIGN_OR_RETURN(blobs, AllBlobs(txn));
  }
  std::set<Digest> records;
  std::vector<uint64_t> ids;
  for (const BlobRow& blob : blobs) {
    records.insert(blob.record);
    ids.push_back(blob.id);
  }
  RETURN_IF_ERROR(records_.RemoveAllBut(records));
  RETURN_IF_ERROR(metadata_.RemoveAllBut(images));
  RETURN_IF_ERROR(options_.filler->RemoveAllBut(ids));
  if (options_.traces != nullptr) {
    std::set<Digest> chains;
    for (const ImageRow& image : images) chains.insert(image.chain_id);
    RETURN_IF_ERROR(options_.traces->RemoveAllBut(chains));
  }
  RETURN_IF_ERROR(RemoveStrayTrees(images));
  AttachMountedAgain(images);
  ResumeBootPacks(images);
  return absl::OkStatus();
}

void ImageManager::ResumeBootPacks(const std::vector<ImageRow>& images) {
  for (const Digest& chain_id : boots_->Unfinished()) {
    const bool here = std::any_of(images.begin(), images.end(), [&](const ImageRow& image) {
      return image.chain_id == chain_id;
    });
    if (!here) {
      boots_->Forget(chain_id);
      continue;
    }
    RunInBackground([this, chain_id] { StreamBootPack(chain_id); });
  }
}

absl::Status ImageManager::RemoveStrayTrees(const std::vector<ImageRow>& images) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   ListDirectory(options_.root + "/snapshots"));
  for (const std::string& name : names) {
    uint64_t id = 0;
    const char* const end = name.data() + name.size();
    if (name.size() < 2 || name[0] != 'i') continue;
    if (const auto parsed = std::from_chars(name.data() + 1, end, id);
        parsed.ec != std::errc() || parsed.ptr != end) {
      continue;
    }
    const bool known = std::any_of(images.begin(), images.end(),
                                   [id](const ImageRow& image) { return image.id == id; });
    if (!known) RETURN_IF_ERROR(RemoveTree(id));
  }
  return absl::OkStatus();
}

void ImageManager::AttachMountedAgain(const std::vector<ImageRow>& images) {
  for (const ImageRow& image : images) {
    if (!options_.mounter->IsMounted(TreePath(options_.root, image.id))) continue;
    {
      MutexLock lock(&mutex_);
      ++attaching_again_;
    }
    RunInBackground([this, chain_id = image.chain_id] {
      if (const auto attached = Attach(chain_id); !attached.ok()) {
        Log(LogLevel::kWarning, "a mounted image cannot be connected again, ignoring",
            {{"chain", chain_id.ToString()}, {"error", attached.status().ToString()}});
      }
      MutexLock lock(&mutex_);
      --attaching_again_;
      changed_.SignalAll();
    });
  }
}

void ImageManager::RunInBackground(std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (!stopping_) background_->Add(std::move(task));
}

ImagePin ImageManager::Pinned(const Digest& chain_id) {
  references_->Pin(chain_id);
  return ImagePin([references = references_, chain_id] { references->Unpin(chain_id); });
}

std::optional<ImagePin> ImageManager::TryPinned(const Digest& chain_id) {
  if (!references_->TryPin(chain_id)) return std::nullopt;
  return ImagePin([references = references_, chain_id] { references->Unpin(chain_id); });
}

absl::StatusOr<std::unique_ptr<ImageManager::KnownImage>> ImageManager::FindKnown(
    const Digest& chain_id) {
  ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
  ASSIGN_OR_RETURN(const std::optional<uint64_t> id, FindImage(txn, chain_id));
  if (!id.has_value()) return std::unique_ptr<KnownImage>();
  auto image = std::make_unique<KnownImage>();
  image->row = {*id, chain_id};
  ASSIGN_OR_RETURN(image->layers, ImageLayers(txn, *id));
  return image;
}

absl::StatusOr<std::string> ImageManager::Attach(const Digest& chain_id) {
  ++attach_calls_;
  const ImagePin pin = Pinned(chain_id);
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
    // What is mounted already was read before.
    const bool fresh = !options_.mounter->IsMounted(path);
    attached = AttachTree(*image);
    if (attached.ok() && fresh && options_.traces != nullptr) {
      options_.traces->Begin(chain_id, image->layers);
    }
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
  if (kept.ok()) return kept;
  auto built = metadata_.Build(image->row, image->layers);
  // The decoded layers were tens of megabytes; glibc would keep them for the next build.
  (void)malloc_trim(0);
  return built;
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

absl::StatusOr<SnapshotUsage> ImageManager::Usage(const Digest& chain_id) {
  ASSIGN_OR_RETURN(const std::unique_ptr<KnownImage> image, FindKnown(chain_id));
  if (image == nullptr) return Internal("image " + chain_id.ToString() + " is not on this node");
  SnapshotUsage usage;
  if (image->layers.empty()) return usage;
  const BlobRow& top = image->layers.back();
  for (const int64_t bytes :
       {options_.filler->AllocatedBytes(top.id), AllocatedBytes(records_.PathOf(top.record))}) {
    if (bytes == 0) continue;
    usage.size_bytes += bytes;
    ++usage.inodes;
  }
  return usage;
}

void ImageManager::WaitForBackgroundForTest() {
  Mutex mutex;
  CondVar changed;
  bool done = false;
  background_->Add([&] {
    MutexLock lock(&mutex);
    done = true;
    changed.SignalAll();
  });
  MutexLock lock(&mutex);
  while (!done) changed.Wait(&mutex);
}

}  // namespace slacker
