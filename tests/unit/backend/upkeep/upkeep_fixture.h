// Stores with images of sample layers, for the tests of maintenance.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/store/names.h"
#include "backend/store/references.h"
#include "backend/store/reserve.h"
#include "backend/store/store.h"
#include "backend/upkeep/gc.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/remove_image.h"
#include "backend/upkeep/trash.h"
#include "tests/support/staged_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/store/store_test_util.h"

namespace slacker::testing {

class UpkeepTest : public ::testing::Test {
 protected:
  static absl::Status Publish(const std::shared_ptr<Backend>& store, const std::string& name,
                              const std::vector<SampleLayer>& layers,
                              const StoreWriter::Options& options = {}) {
    ASSIGN_OR_RETURN(auto writer, StoreWriter::Open(store, options));
    std::vector<ManifestLayer> list;
    for (const SampleLayer& layer : layers) {
      ASSIGN_OR_RETURN(const Digest record, AddSample(*writer, layer));
      list.push_back({layer.layer.diff_id, record});
    }
    ImageEntry image = SampleImage();
    image.name = name;
    return writer->CommitManifests(list, SamplePlatform(), image, "");
  }
  absl::Status Publish(const std::string& name, const std::vector<SampleLayer>& layers) {
    published_[name] = layers;
    return Publish(store_, name, layers);
  }

  absl::Status Rm(const std::string& name) {
    ASSIGN_OR_RETURN(const auto images, ListImages(*store_));
    for (const ImageEntry& image : images) {
      if (image.name == name) return RemoveImages(*store_, {image}, {image.chain_id}).status();
    }
    return absl::NotFoundError(name);
  }

  GcReport Gc(int64_t grace = kDefaultGraceSeconds) {
    return CollectGarbage(*store_, {.grace_seconds = grace}).value();
  }

  // What garbage becomes: two runs, the grace apart.
  void CollectAll() {
    store_->Advance(kDaySeconds);
    (void)Gc();
    store_->Advance(kDefaultGraceSeconds);
    (void)Gc();
  }
  void CondemnAllGarbage() {
    const Marks marks = Mark(*store_, {}).value();
    for (const std::string& name : Names()) {
      const ObjectId id = IdentifyObject(name);
      if (!IsCondemnable(id.kind) || marks.Has(id)) continue;
      ASSERT_OK(Condemn(*store_, name));
    }
  }
  void WriteLease(const std::vector<SampleLayer>& layers) {
    StoreReferences lease;
    lease.chains.insert(SampleChain(layers));
    ASSERT_OK(store_->Replace(LeaseName(std::string(32, 'a')), EncodeReferences(lease)));
  }

  // Every image that is visible is complete and right.
  void ExpectSound() {
    ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*store_));
    for (const ImageEntry& image : images) {
      EXPECT_OK(CheckSamples(store_, published_.at(image.name))) << image.name;
    }
  }

  std::vector<std::string> Names(const std::string& prefix = "") {
    std::vector<std::string> names = store_->List(prefix).value();
    std::erase(names, "trash/clock");
    std::erase(names, kReserveName);
    return names;
  }

  std::map<std::string, std::vector<SampleLayer>> published_;
  const std::shared_ptr<StagedBackend> store_ = std::make_shared<StagedBackend>();
  const SampleLayer base_ = MakeSampleLayer(1);
  const SampleLayer one_ = MakeSampleLayer(2);
  const SampleLayer two_ = MakeSampleLayer(3);
};

}  // namespace slacker::testing
