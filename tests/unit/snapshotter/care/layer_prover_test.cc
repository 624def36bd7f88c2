#include "snapshotter/care/layer_prover.h"

#include <gmock/gmock.h>

#include <fstream>

#include "backend/record/layer.h"
#include "backend/store/names.h"
#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"
#include "tests/support/read_layer.h"
#include "tests/support/tar_builder.h"
#include "tests/support/thread_limit.h"

namespace slacker {
namespace {

// What publishing makes of a tar with a file of so many chunks.
testing::SampleLayer Honest(uint32_t chunks, uint32_t seed) {
  testing::TarBuilder tar;
  tar.Directory("dir/").File("dir/tool", testing::Noise(chunks * kMinChunkSize), 0755);
  tar.File("seed", std::to_string(seed));
  testing::ReadLayer read = *testing::Read(tar.End(), kMinChunkSize);
  testing::SampleLayer sample;
  for (const Chunk& chunk : read.layer.chunks) {
    sample.chunks.push_back(read.chunks.at(chunk.digest));
  }
  sample.layer = std::move(read.layer);
  return sample;
}

class LayerProverTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    image_ = testing::Publish(store_, {Honest(8, 1), Honest(3, 2)});
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
                                                           .idle = std::chrono::milliseconds(1),
                                                           .busy = nullptr});
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

TEST_F(LayerProverTest, ALayerIsProvedOnceThereAreThreadsForIt) {
  Fill(layers_[1]);
  const uint64_t calls = faulty_->calls();
  {
    const testing::ThreadLimit own(1);
    StartProver();
    EXPECT_TRUE(testing::Eventually([&] { return faulty_->calls() >= calls + 10; })) << "it tries";
    EXPECT_EQ(ProofOf(layers_[1]), Proof::kNotYet);
  }
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers_[1]) == Proof::kProved; }));
}

TEST_F(LayerProverTest, AProofOutlivesARestart) {
  Fill(layers_[0]);
  StartProver();
  EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers_[0]) == Proof::kProved; }));
  prover_.reset();
  RestartNode();
  EXPECT_EQ(ProofOf(layers_[0]), Proof::kProved);
}

// What a signature alone would let pass: a record whose content is not what containerd asked for, and one
// whose tar is, but that says something else of it.
TEST_F(LayerProverTest, ALayerThatIsNotWhatItsDiffIdSaysIsRefuted) {
  testing::SampleLayer setuid = Honest(2, 3);
  for (Node& node : setuid.layer.nodes) node.mode |= node.type == NodeType::kRegular ? 04000U : 0U;
  for (const testing::SampleLayer& layer : {testing::MakeBigLayer(4, 3), setuid}) {
    const testing::PublishedImage liar = testing::Publish(store_, {layer});
    ASSERT_OK(images_->Ensure(liar.chain(), {}));
    images_->WaitForBackgroundForTest();
    const std::vector<BlobRow> layers = LayersOf(liar.chain());
    ASSERT_EQ(layers.size(), 1U);
    Fill(layers[0]);
    StartProver();
    EXPECT_TRUE(testing::Eventually([&] { return ProofOf(layers[0]) == Proof::kRefuted; }));
    prover_.reset();
  }
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
