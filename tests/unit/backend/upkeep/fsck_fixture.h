// A store with an image of several layers, whose objects a test damages and has mended.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/upkeep/fsck.h"
#include "backend/upkeep/objects.h"
#include "tests/support/staged_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker::testing {

inline constexpr int64_t kMinuteSeconds = 60;

class FsckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    image_ = layout_.AddImage(SampleLayers());
    ASSERT_OK(PublishLayout(layout_, store_));
    ASSERT_OK(store_->Replace(LeaseName(std::string(32, 'a')), EncodeReferences({})));
    const auto names1 = store_->List("").value();
    for (const std::string& name : names1) sound_[name] = Content(name);
  }
  std::string Content(const std::string& name) { return *store_->ReadWhole(name, 64 << 20); }
  static std::string Flipped(std::string bytes) {
    if (bytes.empty()) return "x";
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
    return bytes;
  }
  std::string Damaged(const std::string& name) { return Flipped(sound_.at(name)); }
  void Reset() {
    const auto names = store_->List("").value();
    for (const std::string& name : names) ASSERT_OK(store_->Remove(name));
    for (const auto& [name, content] : sound_) ASSERT_OK(store_->Replace(name, content));
  }
  // Of what is in the store by now: what was written a moment ago may be of somebody who mends it.
  FsckReport Check(bool repair) {
    store_->Advance(kMinuteSeconds);
    return CheckStore(store_, {}, repair).value();
  }

  const TempDir dir_;
  OciLayout layout_{dir_ / "layout"};
  const std::shared_ptr<StagedBackend> store_ = std::make_shared<StagedBackend>();
  WrittenImage image_;
  std::map<std::string, std::string> sound_;
};

}  // namespace slacker::testing
