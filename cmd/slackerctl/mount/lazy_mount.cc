#include "cmd/slackerctl/mount/lazy_mount.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>

#include "backend/base/clock.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/os/file_ops.h"
#include "backend/os/loop_device.h"
#include "backend/os/mount.h"
#include "snapshotter/files/node_files.h"
#include "snapshotter/images/metadata_image.h"

namespace slacker::ctl {
namespace {

namespace fs = std::filesystem;

constexpr int kKeeperDeadlineSeconds = 1;
constexpr std::string_view kRootPrefix = "mount-";
constexpr std::string_view kRootName = "mount-XXXXXX";
constexpr char kMarker[] = "/slackerctl-mount";

KeeperOptions KeeperOptionsFor(const MountOptions& options, const std::string& root,
                               const std::string& run_dir) {
  return {.root = root,
          .run_dir = run_dir,
          .keeper_path = options.programs + "/slackerd-keeper",
          .deadline_seconds = kKeeperDeadlineSeconds};
}

// Of a root: nothing else in a state directory is looked into.
bool IsMarkedRoot(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return false;
  if (info.st_uid != geteuid()) return false;
  return lstat((path + kMarker).c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool HasNameOfRoot(std::string_view name) {
  return name.size() == kRootName.size() && name.starts_with(kRootPrefix);
}

// The marker goes last: what is cut short is still a root of ours to the next one.
absl::Status RemoveMarked(const std::string& root) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(root));
  for (const std::string& name : names) {
    if ("/" + name != kMarker) RETURN_IF_ERROR(SystemFileOps().RemoveTree(root + "/" + name));
  }
  return SystemFileOps().RemoveTree(root);
}

// Held while a root is made, or roots of the dead are looked for: one that is being made has no
// owner yet.
absl::StatusOr<UniqueFd> LockStateDirectory(const std::string& path) {
  UniqueFd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoError(errno, "open " + path);
  while (flock(directory.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoError(errno, "lock " + path);
  }
  return directory;
}

// Where trees with a metadata image below `root` are mounted.
absl::StatusOr<std::vector<std::string>> MountPointsOf(const std::string& root) {
  constexpr uint32_t kLoopMajor = 7;  // LOOP_MAJOR, Linux' devices.txt
  ASSIGN_OR_RETURN(const std::vector<LoopBacking> loops, ListLoopDevices());
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ListMounts());
  std::vector<std::string> found;
  for (const LoopBacking& loop : loops) {
    if (!loop.backing_path.starts_with(root + "/")) continue;
    for (const MountEntry& mount : mounts) {
      if (mount.fs_type != "erofs" || mount.major != kLoopMajor || mount.minor != loop.number) {
        continue;
      }
      found.push_back(mount.mount_point);
    }
  }
  return found;
}

// The directories as the kernel names them: the keeper has another working directory, and mounts are found
// again by these names.
absl::StatusOr<MountOptions> WithCanonicalDirectories(const MountOptions& options) {
  MountOptions canonical = options;
  for (std::string* directory : {&canonical.state_dir, &canonical.run_dir}) {
    std::error_code error;
    const std::string path = fs::weakly_canonical(fs::absolute(*directory, error), error);
    if (error) return ErrnoError(error.value(), *directory);
    *directory = path;
  }
  return canonical;
}

// The root's lock is ours (`keeper`): nobody serves it.
absl::Status RemoveRoot(const std::string& root, const std::string& run_dir, KeeperClient* keeper) {
  ASSIGN_OR_RETURN(const std::vector<std::string> mounted, MountPointsOf(root));
  for (const std::string& mount_point : mounted) RETURN_IF_ERROR(UnmountAll(mount_point));
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ListMounts());
  for (const MountEntry& mount : mounts) {
    if (mount.mount_point.starts_with(run_dir + "/")) {
      RETURN_IF_ERROR(UnmountAll(mount.mount_point));
    }
    if (mount.mount_point == root || mount.mount_point.starts_with(root + "/")) {
      return FailedPrecondition("something is mounted on " + mount.mount_point);
    }
  }
  RETURN_IF_ERROR(keeper->Bye());
  RETURN_IF_ERROR(SystemFileOps().RemoveTree(run_dir));
  return RemoveMarked(root);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LazyMount>> LazyMount::Open(const MountOptions& options,
                                                           std::shared_ptr<ReadBackend> backend,
                                                           const StoreReader& reader,
                                                           const Digest& chain_id) {
  if (geteuid() != 0) return FailedPrecondition("only root can mount");
  ASSIGN_OR_RETURN(MountOptions canonical, WithCanonicalDirectories(options));
  std::error_code error;
  canonical.directory = fs::canonical(options.directory, error);
  if (error) return ErrnoError(error.value(), options.directory);
  if (!fs::is_directory(canonical.directory, error)) {
    return InvalidArgument(options.directory + " is not a directory");
  }
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ListMounts());
  for (const MountEntry& mount : mounts) {
    if (mount.mount_point == canonical.directory) {
      return FailedPrecondition("something is mounted on " + canonical.directory + " already");
    }
  }
  std::unique_ptr<LazyMount> lazy(new LazyMount(std::move(canonical)));
  RETURN_IF_ERROR(lazy->MakeRoot());
  RETURN_IF_ERROR(lazy->Serve(std::move(backend)));
  RETURN_IF_ERROR(lazy->Mount(reader, chain_id));
  return lazy;
}

LazyMount::~LazyMount() {
  if (closed_) return;
  const absl::StatusOr<bool> ended = Close();
  if (ended.ok() && *ended) return;
  if (const absl::Status status = Abandon(); !status.ok()) {
    Log(LogLevel::kWarning, "a mount was not taken away, ignoring",
        {{"directory", options_.directory}, {"error", Message(status)}});
  }
}

absl::Status LazyMount::MakeRoot() {
  std::error_code error;
  fs::create_directories(options_.state_dir, error);
  if (error) return ErrnoError(error.value(), "mkdir " + options_.state_dir);
  ASSIGN_OR_RETURN(const UniqueFd lock, LockStateDirectory(options_.state_dir));
  const std::string state_dir = fs::canonical(options_.state_dir, error);
  if (error) return ErrnoError(error.value(), options_.state_dir);
  std::string root = state_dir + "/" + std::string(kRootName);
  if (mkdtemp(root.data()) == nullptr) return ErrnoError(errno, "make " + root);
  root_ = std::move(root);
  // Before anybody owns it: without the marker nobody would ever take it away.
  RETURN_IF_ERROR(WriteFileAtomically(root_ + kMarker, ""));
  ASSIGN_OR_RETURN(run_dir_, RootRunDir(options_.run_dir, root_));
  ASSIGN_OR_RETURN(keeper_, KeeperClient::Open(KeeperOptionsFor(options_, root_, run_dir_)));
  return absl::OkStatus();
}

absl::Status LazyMount::Serve(std::shared_ptr<ReadBackend> backend) {
  backend_ = std::move(backend);
  ASSIGN_OR_RETURN(db_, Db::Open(root_ + "/slacker.db"));
  BlobFiller::Options options;
  options.root = root_;
  options.db = db_.get();
  options.clock = &SystemClock();
  options.backend = backend_;
  options.observer = options_.observer;
  options.fill.stall_timeout = options_.stall_timeout;
  ASSIGN_OR_RETURN(filler_, BlobFiller::Open(std::move(options)));
  ASSIGN_OR_RETURN(connection_,
                   FuseConnection::Open({.run_dir = run_dir_}, keeper_.get(), filler_.get()));
  ASSIGN_OR_RETURN(mounter_,
                   KernelTreeMounter::Open({.helper_path = options_.programs + "/slackerd-attach"},
                                           connection_.get(), keeper_.get()));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<BlobRow>> LazyMount::AddImage(const StoreReader& reader,
                                                         const Manifest& manifest,
                                                         uint64_t* image_id) {
  std::vector<NewLayer> layers;
  for (const ManifestLayer& expected : manifest.layers) {
    ASSIGN_OR_RETURN(const RecordObject record, reader.ReadRecord(expected.record));
    if (record.layer.diff_id != expected.diff_id) {
      return DataLoss("record " + expected.record.ToHex() + " is that of another layer");
    }
    RETURN_IF_ERROR(filler_->records().Save(expected.record, record.stored));
    layers.push_back({expected.record, record.layer.blob_size_bytes});
  }
  ASSIGN_OR_RETURN(Txn txn, db_->Write());
  ASSIGN_OR_RETURN(*image_id, InsertImage(txn, manifest.chain_id, layers, /*to_anybody=*/false));
  ASSIGN_OR_RETURN(std::vector<BlobRow> blobs, ImageLayers(txn, *image_id));
  RETURN_IF_ERROR(txn.Commit());
  return blobs;
}

absl::Status LazyMount::Mount(const StoreReader& reader, const Digest& chain_id) {
  ASSIGN_OR_RETURN(const Manifest manifest, reader.ReadManifest(chain_id));
  uint64_t image_id = 0;
  ASSIGN_OR_RETURN(layers_, AddImage(reader, manifest, &image_id));
  if (options_.open_for_lease) {
    ASSIGN_OR_RETURN(lease_, LeaseKeeper::Open({.root = root_,
                                                .db = db_.get(),
                                                .clock = &SystemClock(),
                                                .open = options_.open_for_lease}));
  }
  if (const absl::Status leased = RenewLease(); !leased.ok()) {
    Log(LogLevel::kInfo, "the store cannot be told that the image is in use, its grace has to do",
        {{"error", Message(leased)}});
  }
  RETURN_IF_ERROR(MakeDirectories(root_ + "/images"));
  const MetadataImages images(root_ + "/images", &filler_->records());
  ASSIGN_OR_RETURN(const MetadataImage image, images.Build({image_id, chain_id}, layers_));
  TreeSpec spec;
  spec.metadata_path = image.path;
  spec.mount_path = options_.directory;
  for (const uint32_t layer : image.devices) {
    spec.blobs.push_back({layers_[layer].id, layers_[layer].size_bytes});
  }
  return mounter_->Attach(spec);
}

absl::Status LazyMount::RenewLease() {
  return lease_ == nullptr ? absl::OkStatus() : lease_->Renew();
}

// A lease that cannot be taken back counts for its time.
void LazyMount::EndLease() {
  if (lease_ == nullptr) return;
  const auto forget = [this]() -> absl::Status {
    ASSIGN_OR_RETURN(Txn txn, db_->Write());
    ASSIGN_OR_RETURN(const std::vector<ImageRow> images, AllImages(txn));
    for (const ImageRow& image : images) RETURN_IF_ERROR(DeleteImage(txn, image.id));
    return txn.Commit();
  };
  absl::Status ended = forget();
  if (ended.ok()) ended = lease_->Renew();
  if (!ended.ok()) {
    Log(LogLevel::kInfo, "the store cannot be told that the image is not in use any more, ignoring",
        {{"error", Message(ended)}});
  }
  lease_.reset();
}

absl::StatusOr<bool> LazyMount::Close() {
  if (closed_) return true;
  if (mounter_ != nullptr) {
    // Only what is ours: something else may have been mounted there since.
    ASSIGN_OR_RETURN(const std::vector<std::string> mounted, MountPointsOf(root_));
    for (const std::string& mount_point : mounted) {
      RETURN_IF_ERROR(mounter_->Detach(mount_point));
    }
    ASSIGN_OR_RETURN(const BlobsInUse blobs, mounter_->FindBlobsInUse());
    if (!blobs.on_fuse.empty()) return false;
  }
  RETURN_IF_ERROR(Abandon());
  return true;
}

absl::Status LazyMount::Abandon() {
  closed_ = true;
  mounter_.reset();
  connection_.reset();
  if (filler_ != nullptr) filler_->Stop();
  EndLease();
  if (keeper_ == nullptr) return root_.empty() ? absl::OkStatus() : RemoveMarked(root_);
  const absl::Status removed = RemoveRoot(root_, run_dir_, keeper_.get());
  keeper_.reset();
  return removed;
}

absl::Status RemoveLeftovers(const MountOptions& given) {
  ASSIGN_OR_RETURN(const MountOptions options, WithCanonicalDirectories(given));
  std::error_code error;
  const fs::path state_dir = options.state_dir;
  if (!fs::exists(state_dir, error)) return absl::OkStatus();  // there has been none
  ASSIGN_OR_RETURN(const UniqueFd lock, LockStateDirectory(state_dir));
  absl::Status result;
  // By hand: ++ throws where the directory cannot be read on.
  for (fs::directory_iterator entry(state_dir, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string root = entry->path();
    if (!HasNameOfRoot(entry->path().filename().native()) || !IsMarkedRoot(root)) continue;
    const absl::StatusOr<std::string> run_dir = RootRunDir(options.run_dir, root);
    if (!run_dir.ok()) continue;  // gone meanwhile
    auto keeper = KeeperClient::Open(KeeperOptionsFor(options, root, *run_dir));
    if (absl::IsFailedPrecondition(keeper.status())) continue;  // in use
    absl::Status removed = keeper.status();
    if (removed.ok()) removed = RemoveRoot(root, *run_dir, keeper->get());
    result.Update(Annotate(removed, root));
  }
  if (error) result.Update(ErrnoError(error.value(), "read " + state_dir.string()));
  return result;
}

}  // namespace slacker::ctl
