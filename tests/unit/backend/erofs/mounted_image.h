// The EROFS image of some layers, checked with fsck.erofs and mounted by the kernel from loop
// devices. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/erofs_image.h"
#include "tests/support/layer_builder.h"
#include "tests/support/loop_mount.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree_model.h"

namespace slacker::testing {

class MountedImage {
 public:
  // A failure to build, check or mount fails the test.
  explicit MountedImage(const std::vector<const BuiltLayer*>& layers);

  // Where the tree is.
  const std::string& root() const { return root_; }
  const BuiltImage& image() const { return image_; }
  // What dump.erofs says with these arguments.
  std::string Dump(const std::string& arguments) const;

 private:
  void BuildAndMount(const std::vector<const BuiltLayer*>& layers);

  TempDir dir_;
  std::string root_;
  BuiltImage image_;
  std::unique_ptr<TestMount> mount_;
};

// Writes the blob as a sparse file.
void WriteBlob(const BuiltLayer& built, const std::string& path);

// Builds, checks, mounts and compares with ModelOfLayers.
void ExpectImageMatches(const std::vector<const BuiltLayer*>& layers);

}  // namespace slacker::testing
