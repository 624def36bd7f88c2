#include "snapshotter/images/node_report.h"

#include <gmock/gmock.h>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::StatusIs;

class NodeReportTest : public testing::NodeTest {
 protected:
  void AddName(const std::string& name) {
    auto txn = db_->Write();
    ASSERT_OK(txn);
    ASSERT_OK(Stmt(*txn,
                   "INSERT INTO labels(snapshot, key, value) SELECT max(id), "
                   "CAST('containerd.io/snapshot/cri.image-ref' AS BLOB), ? FROM snapshots")
                  .BindText(name)
                  .Run());
    ASSERT_OK(txn->Commit());
  }
};

TEST_F(NodeReportTest, ANodeWithoutImagesHasNone) {
  ASSERT_OK_AND_ASSIGN(const auto images, ReadNodeImages(dir_.path()));
  EXPECT_THAT(images, IsEmpty());
}

TEST_F(NodeReportTest, WithoutASlackerdThereIsNothingToFind) {
  EXPECT_THAT(ReadNodeImages(dir_ / "elsewhere"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(NodeReportTest, LayersHaveTheirSizesAndProofs) {
  const auto image =
      testing::Publish(store_, {testing::MakeBigLayer(4, 1), testing::MakeBigLayer(2, 2)});
  ASSERT_OK(images_->Ensure(image.chain(), {}));
  AddSnapshot(image.chain());
  AddName("registry.example/app:1");
  const std::vector<BlobRow> layers = LayersOf(image.chain());
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_TRUE(testing::Eventually([&] {
    EXPECT_OK(Read(layers[0].id, 0, static_cast<uint32_t>(layers[0].size_bytes)));
    return filler_->IsComplete(layers[0]);
  }));
  {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK(SetProof(txn, layers[0].id, Proof::kProved));
    ASSERT_OK(txn.Commit());
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<NodeImage> images, ReadNodeImages(dir_.path()));
  ASSERT_EQ(images.size(), 1U);
  EXPECT_EQ(images[0].chain_id, image.chain());
  EXPECT_THAT(images[0].names, ElementsAre("registry.example/app:1"));
  ASSERT_EQ(images[0].layers.size(), 2U);
  EXPECT_EQ(images[0].layers[0].cached_bytes, layers[0].size_bytes);
  EXPECT_EQ(images[0].layers[0].proof, Proof::kProved);
  EXPECT_EQ(images[0].layers[1].cached_bytes, 0U);
  EXPECT_EQ(images[0].layers[1].size_bytes, layers[1].size_bytes);
  EXPECT_EQ(images[0].layers[1].proof, Proof::kNotYet);
}

}  // namespace
}  // namespace slacker
