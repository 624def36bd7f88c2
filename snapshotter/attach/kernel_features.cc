#include "snapshotter/attach/kernel_features.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/os/loop_device.h"

namespace slacker {
namespace {

constexpr int kBlockBytes = 4096;  // of our loop devices

// A file of one block, without a hole: some file systems do no direct I/O on holes.
class ProbeFile {
 public:
  explicit ProbeFile(const std::string& directory) : path_(directory + "/probe-XXXXXX") {
    const UniqueFd file(mkostemp(path_.data(), O_CLOEXEC));
    const std::string zeros(kBlockBytes, '\0');
    if (!file.valid() || write(file.get(), zeros.data(), zeros.size()) != kBlockBytes) {
      status_ = ErrnoError(errno, "write " + path_);
    }
  }
  ~ProbeFile() { (void)unlink(path_.c_str()); }  // best effort, see the header
  ProbeFile(const ProbeFile&) = delete;
  ProbeFile& operator=(const ProbeFile&) = delete;

  const std::string& path() const { return path_; }
  const absl::Status& status() const { return status_; }

 private:
  std::string path_;
  absl::Status status_;
};

KernelFeature Found(std::string name, const absl::Status& status, std::string without) {
  if (status.ok()) return {std::move(name), true};
  return {std::move(name), false, without + " (" + Message(status) + ")"};
}

void ProbeLoop(const std::string& directory, std::vector<KernelFeature>* features) {
  // As sysfs will show it.
  const std::unique_ptr<char, void (*)(void*)> canonical(realpath(directory.c_str(), nullptr),
                                                         free);
  const std::string place = canonical == nullptr ? directory : canonical.get();
  const ProbeFile first(place), second(place);
  absl::Status direct = first.status();
  direct.Update(second.status());
  absl::Status change = FailedPrecondition("not tried");
  if (direct.ok()) {
    const auto loop = LoopDevice::Attach(first.path(), LoopDevice::DirectIo::kRequired);
    direct = loop.status();
    if (loop.ok()) {
      change = ChangeBackingFile({loop->number(), first.path()}, second.path(),
                                 LoopDevice::DirectIo::kRequired);
    }
  }
  features->push_back(
      Found("loop_direct_io", direct, "complete images stay on slackerd on this file system"));
  features->push_back(
      Found("loop_change_fd", change, "complete images stay on slackerd; lost connections stay lost"));
}

bool HasFileSystem(const std::string& name) {
  std::ifstream list("/proc/filesystems");
  for (std::string word; list >> word;) {
    if (word == name) return true;
  }
  return false;
}

KernelFeature FileSystem(const std::string& name, const std::string& without) {
  if (HasFileSystem(name)) return {name, true};
  return {name, false, without + " (not there, or its module is not loaded yet)"};
}

KernelFeature ErofsFeature(const std::string& name, const std::string& without) {
  // Where the kernel lists what its EROFS can read.
  if (access(("/sys/fs/erofs/features/" + name).c_str(), F_OK) == 0) return {"erofs_" + name, true};
  return {"erofs_" + name, false, without};
}

}  // namespace

std::vector<KernelFeature> ProbeKernel(const std::string& directory) {
  std::vector<KernelFeature> features;
  features.push_back(FileSystem("overlay", "no container can start"));
  features.push_back(FileSystem("erofs", "no lazy images"));
  features.push_back(ErofsFeature("chunked_file", "no lazy images"));
  features.push_back(ErofsFeature("device_table", "no lazy images"));
  features.push_back(FileSystem("fuse", "no lazy images"));
  ProbeLoop(directory, &features);
  return features;
}

}  // namespace slacker
