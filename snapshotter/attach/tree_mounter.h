// Attaching: an EROFS metadata image and the blobs that it refers to become a readable directory
// tree. The kernel's part (loop devices, EROFS mounts, our FUSE connection) behind one seam;
// tests/support/fake_tree_mounter.h stands in for it.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/os/page_cache.h"

namespace slacker {

// What a blob's loop devices stand on.
enum class BlobFile : uint8_t {
  kFuse = 0,   // our FUSE file: always complete, needs slackerd or its keeper
  kCache = 1,  // its cache file on this node's disk: only while that is complete and verified
};

struct BlobRef {
  uint64_t id = 0;          // name of its FUSE file, never reused
  uint64_t size_bytes = 0;  // multiple of 4096, not 0
  BlobFile file = BlobFile::kFuse;
};

struct TreeSpec {
  std::string metadata_path;   // EROFS metadata image, a plain file
  std::string mount_path;      // an existing directory
  std::vector<BlobRef> blobs;  // in the order of the EROFS device table
};

// The blobs that loop devices read; one may be in both sets.
struct BlobsInUse {
  std::set<uint64_t> on_fuse, on_cache;

  bool Contains(uint64_t blob_id) const {
    return on_fuse.contains(blob_id) || on_cache.contains(blob_id);
  }
};

class TreeMounter {
 public:
  virtual ~TreeMounter() = default;

  // Mounts the tree read-only at mount_path: one loop device per blob on the file that it says (on
  // FUSE where the cache's file system cannot do direct I/O), one for the metadata image, all with
  // autoclear, EROFS on top. OK when it is mounted there already and
  // reads through a living FUSE connection; a tree whose connection was lost is given the new one
  // under its mount (LOOP_CHANGE_FD), so that its containers read again. UNAVAILABLE when the
  // kernel cannot do it now (no loop device, no descriptor), INTERNAL otherwise. Blocks until the
  // kernel is done; concurrent calls for different paths run in parallel, calls for one path must
  // not overlap.
  virtual absl::Status Attach(const TreeSpec& spec) = 0;

  // Whether something is mounted at mount_path: two stat(2), for those who remember that they have
  // attached it. Anybody may have unmounted it since.
  virtual bool IsMounted(const std::string& mount_path) = 0;

  // Unmounts what is at mount_path; OK when nothing is. Containers that still have the tree in
  // their overlay keep it, with its loop devices, until they end.
  virtual absl::Status Detach(const std::string& mount_path) = 0;

  // The blobs that some loop device still reads: their caches must not go.
  virtual absl::StatusOr<BlobsInUse> FindBlobsInUse() = 0;

  // Puts every loop device of the blob on the file that it says, under its mounts. After OK none of
  // this root, also none that an Attach of a dead predecessor was about to make, is on the other
  // file; a concurrent Attach may add some. FAILED_PRECONDITION: the file cannot be used so; they
  // are where they were. Idempotent; may be given up between two devices. Blocks while reads of
  // the old file are under way.
  virtual absl::Status Switch(const BlobRef& blob) = 0;

  // Has the kernel begin to read parts of the files of a mounted tree, in their order, on the account
  // of slackerd and not of a container. Only a hint: does not wait, and what cannot be read is not.
  virtual void ReadInAdvance(const std::string& mount_path, std::span<const FileRange> ranges) = 0;

  // Whether reading ahead of a mounted tree costs no more than the local disk: how far it is done.
  // NOT_FOUND: nothing is mounted there.
  virtual absl::Status SetLocal(const std::string& mount_path, bool local) = 0;
};

}  // namespace slacker
