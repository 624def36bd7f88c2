#include "snapshotter/images/image_manager.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

// Whole images at a time; that waits for the store, most of the time.
constexpr int kBringThreads = 4;

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
      warmer_(options_.mounter, options_.draw),
      builds_(std::make_unique<BuildQueue>(
          [this](const Digest& chain_id) { return FindOrBuild(chain_id); }, options_.build_delay)),
      boots_(std::make_unique<BootStreams>(
          options_.backend, options_.filler, options_.clock, options_.root + "/boot",
          options_.gateway.trust.keys,
          [this](const Digest& chain_id, std::optional<size_t> windows) {
            if (windows.has_value()) {
              warmer_.OnWindows(chain_id, *windows);
            } else {
              warmer_.Forget(chain_id);
            }
          })),
      bringing_(std::make_unique<ThreadPool>("slk-bring", kBringThreads)),
      locating_(std::make_unique<ThreadPool>("slk-locate", 1)),
      background_(std::make_unique<ThreadPool>("slk-images", 1)) {}

ImageManager::~ImageManager() { Stop(); }

void ImageManager::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  bringing_.reset();
  locating_.reset();
  background_.reset();
  builds_.reset();  // uses the boot packs
  boots_.reset();
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

void ImageManager::RunInBackground(std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (!stopping_) background_->Add(std::move(task));
}

void ImageManager::AskInAdvance(ThreadPool& pool, std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (stopping_) return;
  ++asking_in_advance_;
  pool.Add([this, task = std::move(task)] {
    if (!IsStopping()) task();
    MutexLock own(&mutex_);
    --asking_in_advance_;
    changed_.SignalAll();
  });
}

bool ImageManager::IsStopping() {
  MutexLock lock(&mutex_);
  return stopping_;
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
  {
    MutexLock lock(&mutex_);
    while (asking_in_advance_ > 0) changed_.Wait(&mutex_);
  }
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
