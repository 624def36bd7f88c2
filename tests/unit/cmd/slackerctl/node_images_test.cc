// images --node.
#include <gmock/gmock.h>

#include <filesystem>

#include "snapshotter/metastore/image_table.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/cmd/slackerctl/slackerctl_fixture.h"

namespace slacker::ctl {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class NodeImagesTest : public testing::SlackerctlTest {
 protected:
  // An image of two layers; the first is proved.
  void MakeNode() {
    std::filesystem::create_directory(root_);
    ASSERT_OK_AND_ASSIGN(const auto db, Db::Open(root_ + "/slacker.db"));
    ASSERT_OK_AND_ASSIGN(Txn txn, db->Write());
    const std::vector<NewLayer> layers = {
        {.record = Sha256::Of(std::string_view("1")), .blob_size_bytes = 8192},
        {.record = Sha256::Of(std::string_view("2")), .blob_size_bytes = 0}};
    ASSERT_OK_AND_ASSIGN(const uint64_t image, InsertImage(txn, image_chain_, layers, true));
    ASSERT_OK_AND_ASSIGN(const std::vector<BlobRow> blobs, ImageLayers(txn, image));
    ASSERT_OK(SetProof(txn, blobs[0].id, Proof::kProved));
    ASSERT_OK(txn.Commit());
  }

  const std::string root_ = dir_ / "root";
  const Digest image_chain_ = Sha256::Of(std::string_view("chain"));
};

TEST_F(NodeImagesTest, WhatIsProvedIsSaid) {
  MakeNode();
  ASSERT_EQ(Run({"images", "--node", "--root", root_}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), EndsWith("\t2\t8192\t0\t1/2\t0%\t0\tno\n"));
  EXPECT_THAT(out_.str(), HasSubstr(image_chain_.ToString()));
}

TEST_F(NodeImagesTest, JsonHasEveryLayer) {
  MakeNode();
  ASSERT_EQ(Run({"images", "--node", "--root", root_, "--json"}), kExitOk) << err_.str();
  const auto json = nlohmann::json::parse(out_.str());
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["chain_id"], image_chain_.ToString());
  ASSERT_EQ(json[0]["layers"].size(), 2U);
  EXPECT_EQ(json[0]["layers"][0]["record"], Sha256::Of(std::string_view("1")).ToString());
  EXPECT_EQ(json[0]["layers"][0]["proof"], "proved");
  EXPECT_EQ(json[0]["layers"][1]["proof"], "not yet");
  EXPECT_EQ(json[0]["layers"][0]["complete"], false);
  EXPECT_EQ(json[0]["layers"][0]["switched"], false);
  EXPECT_EQ(json[0]["layers"][1]["complete"], true) << "it has no content";
}

TEST_F(NodeImagesTest, WithoutANodeThereIsAnError) {
  EXPECT_EQ(Run({"images", "--node", "--root", root_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("slacker.db"));
  EXPECT_EQ(Run({"images", "--root", root_}), kExitUsage);
}

}  // namespace
}  // namespace slacker::ctl
