// A node and a published image of three layers.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/node_fixture.h"

namespace slacker::testing {

class ImageTest : public NodeTest {
 protected:
  void SetUp() override {
    std::vector<SampleLayer> layers;
    for (uint32_t seed = 1; seed <= 3; ++seed) {
      layers.push_back(MakeSampleLayer(seed));
      const std::string text = "of layer " + std::to_string(seed);
      AddSampleFile(&layers.back(), 0, "own" + std::to_string(seed), text);
    }
    image_ = Publish(store_, std::move(layers));
    NodeTest::SetUp();
  }
  std::string RecordPath(size_t layer) const {
    return dir_.path() + "/records/" + image_.manifest[layer].record.ToHex();
  }
  bool Exists(const std::string& name) { return access((dir_ / name).c_str(), F_OK) == 0; }
  size_t CountFiles(const std::string& directory) {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(dir_ / directory)) {
      ++count;
    }
    return count;
  }
  static void Damage(const std::string& path, off_t at) {
    const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(pread(fd.get(), &byte, 1, at), 1);
    byte = static_cast<char>(byte ^ 0x40);
    ASSERT_EQ(pwrite(fd.get(), &byte, 1, at), 1);
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(CountFiles("records"), 0U);
    EXPECT_EQ(CountFiles("images"), 0U);
    EXPECT_EQ(CountFiles("blobs"), 0U);
    EXPECT_EQ(CountFiles("snapshots"), 0U);
    EXPECT_TRUE(mounter_.attached().empty());
  }

  PublishedImage image_;
};

}  // namespace slacker::testing
