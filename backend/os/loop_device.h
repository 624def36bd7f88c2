// Loop devices: a file as a block device. Ours are read-only, have a block size of 4096 and clear
// themselves when their last user (a descriptor or a mount) is gone, so that a process that dies at
// any point leaves none behind.
//
// Everything here may block in the file system of the backing file; on our own FUSE that means on
// ourselves: only the attach helper (snapshotter/attach) calls it for such files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/unique_fd.h"

namespace slacker {

// A configured loop device, held open. Move-only; thread-compatible. Destroying it closes the
// descriptor: the device goes unless a mount keeps it.
class LoopDevice {
 public:
  enum class DirectIo {
    kPreferred,  // buffered where the backing file system cannot do it
    kRequired,   // refused where the kernel does not do it: buffered loop devices of older kernels
                 // fill a short read with zeros
  };

  // Puts a free loop device on `backing_path`, opened read-only. RESOURCE_EXHAUSTED or UNAVAILABLE:
  // no descriptor or no loop device to be had now; FAILED_PRECONDITION: direct I/O is required and
  // not done; else as ErrnoError.
  static absl::StatusOr<LoopDevice> Attach(const std::string& backing_path, DirectIo direct_io);

  // "/dev/loop7".
  std::string path() const;
  uint32_t number() const { return number_; }
  // Has the kernel begin to read the device's first `bytes` into the page cache. Only a hint: nobody
  // waits, and nothing can fail.
  void ReadInAdvance(uint64_t bytes) const;

 private:
  LoopDevice(uint32_t number, UniqueFd fd) : number_(number), fd_(std::move(fd)) {}

  uint32_t number_;
  UniqueFd fd_;
};

// A loop device of this machine and the path of its backing file, as sysfs shows them: no file
// system is asked.
struct LoopBacking {
  uint32_t number = 0;
  std::string backing_path;
};

// Every configured loop device, by number. Devices that come and go meanwhile may be missing.
absl::StatusOr<std::vector<LoopBacking>> ListLoopDevices();

// How far the kernel reads ahead, in KiB; an EROFS mount takes it from its primary device, each file
// when it is opened.
absl::Status SetReadAhead(uint32_t number, uint32_t kib);

// Gives a configured loop device another backing file of the same size, under its mounts
// (LOOP_CHANGE_FD), and checks that it still does direct I/O when that is required
// (FAILED_PRECONDITION: it is changed, and does not). Waits for what is being read of the old one.
// ABORTED: the device is on another file than `loop` says by now, or gone. INTERNAL when the sizes
// differ.
absl::Status ChangeBackingFile(const LoopBacking& loop, const std::string& backing_path,
                               LoopDevice::DirectIo direct_io);

}  // namespace slacker
