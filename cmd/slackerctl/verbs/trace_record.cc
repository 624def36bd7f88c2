#include "cmd/slackerctl/verbs/trace_record.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/source/start_command.h"
#include "cmd/slackerctl/mount/image_process.h"
#include "snapshotter/boot/start_recording.h"

namespace slacker::ctl {
namespace {

constexpr int kMillis = 1000;
// How often we look whether the kernel has let go of the mount: it does not tell, and takes loop
// devices away a moment later.
constexpr int kLookMillis = 50;
constexpr int kLooksBeforeTelling = 20;

class Recorder final : public ReadObserver {
 public:
  void Begin(const Digest& chain_id, const std::vector<BlobRow>& layers) {
    MutexLock lock(&mutex_);
    recording_.emplace(chain_id, layers);
  }
  void OnRead(uint64_t blob_id, uint64_t offset, uint32_t size) override {
    MutexLock lock(&mutex_);
    if (recording_.has_value())
      (void)recording_->Note(blob_id, offset, size);  // only ours are read
  }
  StartTrace Take() {
    MutexLock lock(&mutex_);
    return recording_->trace();
  }

 private:
  Mutex mutex_;
  std::optional<StartRecording> recording_ ABSL_GUARDED_BY(mutex_);
};

// Two empty directories that go with this: where the image is mounted, and where it is written.
class Scratch {
 public:
  static absl::StatusOr<Scratch> Make() {
    std::error_code error;
    const std::filesystem::path temporary = std::filesystem::temp_directory_path(error);
    if (error) return ErrnoError(error.value(), "the directory for temporary files");
    std::string path = (temporary / "slackerctl.XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) return ErrnoError(errno, "make " + path);
    Scratch scratch(std::move(path));
    for (const std::string& directory : {scratch.image(), scratch.writes()}) {
      std::filesystem::create_directory(directory, error);
      if (error) return ErrnoError(error.value(), "mkdir " + directory);
    }
    return scratch;
  }
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch() {
    if (path_.empty()) return;
    // Not what is in them: what is still mounted there stays.
    for (const std::string& directory : {image(), writes(), path_}) {
      (void)rmdir(directory.c_str());  // an empty directory that stays harms nobody
    }
  }

  std::string image() const { return path_ + "/image"; }
  std::string writes() const { return path_ + "/writes"; }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

absl::StatusOr<ImageCommand> CommandOf(const RecordOptions& options, const FoundImage& image) {
  StartCommand configured;
  if (image.entry.has_value()) {
    ASSIGN_OR_RETURN(configured, ParseStartCommand(image.entry->config_json));
  }
  ImageCommand command{options.command, configured.environment, configured.working_directory};
  if (command.arguments.empty()) {
    command.arguments = configured.entrypoint;
    command.arguments.insert(command.arguments.end(), configured.command.begin(),
                             configured.command.end());
  }
  if (command.arguments.empty()) {
    return FailedPrecondition("the image does not say what it runs: give a command behind --");
  }
  return command;
}

absl::Status Run(ImageProcess& process, int64_t seconds, int interrupts) {
  const auto status = process.Wait(static_cast<int>(seconds * kMillis), interrupts);
  if (absl::IsDeadlineExceeded(status.status())) return absl::OkStatus();  // a server that runs
  RETURN_IF_ERROR(status.status());
  if (*status == 0) return absl::OkStatus();
  return FailedPrecondition("the command ended with status " + std::to_string(*status) +
                            ": its start is not recorded");
}

absl::Status Close(LazyMount& mount, int interrupts, const Console& console) {
  for (int looks = 1;; ++looks) {
    ASSIGN_OR_RETURN(const bool ended, mount.Close());
    if (ended) return absl::OkStatus();
    if (looks == kLooksBeforeTelling) {
      console.err << "slackerctl: the image is still in use by another process: waiting for it "
                     "(Ctrl-C: not any longer)"
                  << std::endl;
    }
    pollfd wait = {interrupts, POLLIN, 0};
    if (poll(&wait, 1, kLookMillis) > 0) return mount.Abandon();
  }
}

}  // namespace

absl::StatusOr<UniqueFd> BlockInterrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  if (pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return Internal("pthread_sigmask");
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "signalfd");
  return fd;
}

absl::StatusOr<StartTrace> RecordStart(const RecordOptions& options, const ReadableImage& image,
                                       ImageProcess& process, const UniqueFd& interrupts,
                                       const Console& console) {
  ASSIGN_OR_RETURN(const ImageCommand command, CommandOf(options, image.found));
  ASSIGN_OR_RETURN(const Scratch scratch, Scratch::Make());
  Recorder recorder;
  MountOptions mount_options = options.mount;
  mount_options.directory = scratch.image();
  mount_options.observer = &recorder;
  RETURN_IF_ERROR(RemoveLeftovers(mount_options));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<LazyMount> mount,
      LazyMount::Open(mount_options, image.store, *image.reader, image.found.chain_id));
  recorder.Begin(image.found.chain_id, mount->layers());
  RETURN_IF_ERROR(process.Start(scratch.image(), scratch.writes(), command));
  const absl::Status ran = Run(process, options.seconds, interrupts.get());
  const StartTrace trace = recorder.Take();
  process.Kill();
  RETURN_IF_ERROR(Close(*mount, interrupts.get(), console));
  RETURN_IF_ERROR(ran);
  return trace;
}

}  // namespace slacker::ctl
