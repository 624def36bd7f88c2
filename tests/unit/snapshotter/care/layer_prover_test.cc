#include "snapshotter/care/layer_prover.h"

#include <gmock/gmock.h>

#include <fstream>

#include "backend/layer/tar_reader.h"
#include "backend/store/names.h"
#include "tests/support/encode_layer.h"
#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

// With the diff ID that its tar really has.
testing::SampleLayer Honest(testing::SampleLayer sample) {
  const testing::LayerObjects objects = *testing::EncodeLayer(sample.layer);
  TarPartReader tar = *TarPartReader::Open(std::make_unique<MemoryBytes>(objects.tar),
                                           objects.tar_part, sample.layer);
  sample.layer.diff_id = *RebuildTar(
      sample.layer, tar, [&](uint32_t chunk) { return sample.chunks[chunk]; },
      [](std::string_view /*bytes*/) { return absl::OkStatus(); });
  return sample;
}

class LayerProverTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    image_ = testing::Publish(
        store_, {Honest(testing::MakeBigLayer(8, 1)), Honest(testing::MakeBigLayer(3, 2))});
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    layers_ = LayersOf(image_.chain());
    ASSERT_EQ(layers_.size(), 2U);
  }
  void TearDown() override {
    prover_.reset();
    NodeTest::TearDown();
  }
  void StartProver() {
    prover_ =
        std::make_unique<LayerProver>(LayerProver::Options{.db = db_.get(),
                                                           .filler = filler_.get(),
                                                           .backend = faulty_,
                                                           .idle = std::chrono::milliseconds(1)});
  }
  // Reads all of a blob until all of it is in the cache.
  void Fill(const BlobRow& blob) {
    EXPECT_TRUE(testing::Eventually([&] {
      EXPECT_OK(Read(blob.id, 0, static_cast<uint32_t>(blob.size_bytes)));
      return filler_->IsComplete(blob);
    }));
  }
  Proof ProofOf(const BlobRow& blob) {
    auto txn = db_->Read();
    EXPECT_OK(txn);
    const auto proof = slacker::ProofOf(*txn, blob.id);
    EXPECT_OK(proof);
    return proof.ok() ? *proof : Proof::kNotYet;
  }

  testing::PublishedImage image_;
  std::vector<BlobRow> layers_;
  std::unique_ptr<LayerProver> prover_;
};

TEST_F(LayerProverTest, ACompleteLayerIsProvedAndAnIncompleteOneIsNot) {
  Fill(layers_[1]);
  ASSERT_OK(Read(layers_[0].id, 0, 4096));
  StartProver();
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers_[1]) == Proof::kProved; }));
  EXPECT_EQ(ProofOf(layers_[0]), Proof::kNotYet);
  Fill(layers_[0]);
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers_[0]) == Proof::kProved; }));
}

TEST_F(LayerProverTest, AProofOutlivesARestart) {
  Fill(layers_[0]);
  StartProver();
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers_[0]) == Proof::kProved; }));
  prover_.reset();
  RestartNode();
  EXPECT_EQ(ProofOf(layers_[0]), Proof::kProved);
}

// What a signature alone would let pass: a record whose content is not what containerd asked for.
TEST_F(LayerProverTest, ALayerWhoseTarHasAnotherDigestIsRefuted) {
  const testing::PublishedImage liar = testing::Publish(store_, {testing::MakeBigLayer(4, 3)});
  ASSERT_OK(images_->Ensure(liar.chain(), {}));
  images_->WaitForBackgroundForTest();
  const std::vector<BlobRow> layers = LayersOf(liar.chain());
  ASSERT_EQ(layers.size(), 1U);
  Fill(layers[0]);
  StartProver();
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers[0]) == Proof::kRefuted; }));
}

TEST_F(LayerProverTest, AChunkThatTheDiskLostIsFetchedAgainAndThenTheLayerIsProved) {
  Fill(layers_[0]);
  ASSERT_OK(filler_->Flush());
  {
    std::fstream data(dir_ / ("blobs/" + std::to_string(layers_[0].id) + ".data"),
                      std::ios::in | std::ios::out | std::ios::binary);
    data.seekp(10);
    data.put('\x7f');
    ASSERT_TRUE(data.good());
  }
  StartProver();
  EXPECT_TRUE(testing::Eventually([&] { return !filler_->IsComplete(layers_[0]); }));
  EXPECT_EQ(ProofOf(layers_[0]), Proof::kNotYet);
  Fill(layers_[0]);
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers_[0]) == Proof::kProved; }));
}

TEST_F(LayerProverTest, AStoreThatIsAwayIsAskedAgain) {
  Fill(layers_[0]);
  faulty_->FailFrom(1, Unavailable("away"));
  StartProver();
  EXPECT_TRUE(testing::Eventually([&] { return faulty_->calls() > 1; }));
  EXPECT_EQ(ProofOf(layers_[0]), Proof::kNotYet);
  faulty_->Heal();
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers_[0]) == Proof::kProved; }));
}

TEST_F(LayerProverTest, AMissingTarPartLeavesTheLayerUnproved) {
  Fill(layers_[0]);
  Fill(layers_[1]);
  ASSERT_OK(store_->Remove(TarName(layers_[0].record)));
  StartProver();
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers_[1]) == Proof::kProved; }));
  EXPECT_EQ(ProofOf(layers_[0]), Proof::kNotYet);
}

}  // namespace
}  // namespace slacker
