#include "snapshotter/metastore/image_table.h"

#include <gtest/gtest.h>

#include "backend/base/codec.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

Digest Named(std::string_view text) { return Sha256::Of(text); }

class ImageTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto db = Db::Open(dir_ / "x.db");
    ASSERT_OK(db);
    db_ = *std::move(db);
  }
  uint64_t Insert(std::string_view chain, std::vector<NewLayer> layers, bool to_anybody = true) {
    auto txn = db_->Write();
    EXPECT_OK(txn);
    auto id = InsertImage(*txn, Named(chain), layers, to_anybody);
    EXPECT_OK(id);
    EXPECT_OK(txn->Commit());
    return *id;
  }
  void AddSnapshot(std::string_view name, std::string_view chain) {
    auto txn = db_->Write();
    ASSERT_OK(txn);
    Stmt insert(
        *txn, "INSERT INTO snapshots(name, kind, created, updated, chain) VALUES (?, 3, 0, 0, ?)");
    ASSERT_OK(insert.BindText(name).BindText(AsText(Named(chain).bytes)).Run());
    ASSERT_OK(txn->Commit());
  }
  testing::TempDir dir_;
  std::unique_ptr<Db> db_;
};

TEST_F(ImageTableTest, AnImageIsFoundWithItsLayersInOrder) {
  const uint64_t id = Insert("c", {{Named("bottom"), 4096}, {Named("top"), 0}});
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const auto found, FindImage(txn, Named("c")));
  EXPECT_EQ(found, id);
  ASSERT_OK_AND_ASSIGN(const auto layers, ImageLayers(txn, id));
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[0].record, Named("bottom"));
  EXPECT_EQ(layers[0].size_bytes, 4096U);
  EXPECT_EQ(layers[1].record, Named("top"));
}

TEST_F(ImageTableTest, TheImagesOfABlobAreNamedAsTheyWerePulled) {
  Insert("named", {{Named("shared"), 4096}});
  Insert("nameless", {{Named("shared"), 4096}, {Named("own"), 4096}});
  Insert("other", {{Named("others"), 4096}});
  AddSnapshot("s", "named");
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
  Stmt label(txn,
             "INSERT INTO labels(snapshot, key, value) SELECT id, "
             "CAST('containerd.io/snapshot/cri.image-ref' AS BLOB), "
             "CAST('registry/app:1' AS BLOB) FROM snapshots");
  ASSERT_OK(label.Run());
  ASSERT_OK_AND_ASSIGN(const auto found, FindImage(txn, Named("named")));
  ASSERT_OK_AND_ASSIGN(const auto layers, ImageLayers(txn, *found));
  ASSERT_OK_AND_ASSIGN(const auto images, ImagesOfBlob(txn, layers[0].id));
  EXPECT_EQ(images, (std::vector<std::string>{"registry/app:1", Named("nameless").ToString()}));
}

TEST_F(ImageTableTest, WhetherAnImageIsForAnybodyIsKept) {
  Insert("public", {{Named("bottom"), 0}}, true);
  Insert("private", {{Named("bottom"), 0}}, false);
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  EXPECT_EQ(IsForAnybody(txn, Named("public")).value(), true);
  EXPECT_EQ(IsForAnybody(txn, Named("private")).value(), false);
  EXPECT_EQ(IsForAnybody(txn, Named("unknown")).value(), false);
}

TEST_F(ImageTableTest, AnUnknownChainIsNotFound) {
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const auto found, FindImage(txn, Named("c")));
  EXPECT_FALSE(found.has_value());
  ASSERT_OK_AND_ASSIGN(const auto blob, FindBlob(txn, 99));
  EXPECT_FALSE(blob.has_value());
}

TEST_F(ImageTableTest, ImagesWithTheSameLayerShareItsBlob) {
  const uint64_t a = Insert("a", {{Named("base"), 4096}});
  const uint64_t b = Insert("b", {{Named("base"), 4096}, {Named("top"), 8192}});
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const auto of_a, ImageLayers(txn, a));
  ASSERT_OK_AND_ASSIGN(const auto of_b, ImageLayers(txn, b));
  EXPECT_EQ(of_a[0].id, of_b[0].id);
}

TEST_F(ImageTableTest, ALayerThatComesTwiceInAnImageIsOneBlob) {
  const uint64_t id = Insert("a", {{Named("same"), 4096}, {Named("same"), 4096}});
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const auto layers, ImageLayers(txn, id));
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[0].id, layers[1].id);
}

TEST_F(ImageTableTest, OnlyImagesWithoutASnapshotAreUnreferenced) {
  Insert("used", {{Named("l"), 4096}});
  const uint64_t unused = Insert("unused", {{Named("l"), 4096}});
  AddSnapshot("s", "used");
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const auto images, UnreferencedImages(txn));
  ASSERT_EQ(images.size(), 1U);
  EXPECT_EQ(images[0].id, unused);
  EXPECT_TRUE(*IsReferenced(txn, Named("used")));
  EXPECT_FALSE(*IsReferenced(txn, Named("unused")));
}

// Of the image that is mounted, the topmost, and only if something can mount it: an active snapshot
// or a view, on it or on ordinary ones above it.
TEST_F(ImageTableTest, ContainersStandOnTheTopmostImageBelowThem) {
  Insert("base", {{Named("of base"), 4096}});
  Insert("image", {{Named("shared"), 4096}, {Named("own"), 4096}});
  Insert("idle", {{Named("shared"), 4096}, {Named("idle"), 4096}});
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
  const auto add = [&](std::string_view name, int64_t kind, std::string_view parent,
                       std::string_view chain) {
    Stmt insert(
        txn,
        "INSERT INTO snapshots(name, kind, created, updated, parent, chain) VALUES (?, ?, 0, 0, "
        "(SELECT id FROM snapshots WHERE name = ?), NULLIF(?, CAST('' AS BLOB)))");
    insert.BindText(name).Bind(kind).BindText(parent);
    ASSERT_OK(insert.BindText(chain.empty() ? "" : AsText(Named(chain).bytes)).Run());
  };
  const auto used = [&] {
    std::set<Digest> records;
    const auto ids = BlobsUnderContainers(txn);
    EXPECT_OK(ids);
    for (const uint64_t id : *ids) records.insert((*FindBlob(txn, id))->record);
    return records;
  };
  add("base", 3, "", "base");
  add("image", 3, "base", "image");
  add("idle", 3, "base", "idle");
  add("built", 3, "image", "");
  EXPECT_TRUE(used().empty());
  add("running", 2, "built", "");
  EXPECT_EQ(used(), (std::set<Digest>{Named("shared"), Named("own")}));
  add("viewed", 1, "base", "");
  EXPECT_EQ(used(), (std::set<Digest>{Named("shared"), Named("own"), Named("of base")}));
  ASSERT_OK(Stmt(txn, "DELETE FROM snapshots WHERE kind != 3").Run());
  EXPECT_TRUE(used().empty());
}

TEST_F(ImageTableTest, BlobsOfADeletedImageAreUnreferencedAndIdsAreNotReused) {
  const uint64_t id = Insert("a", {{Named("l"), 4096}});
  uint64_t blob = 0;
  {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    EXPECT_TRUE(UnreferencedBlobs(txn)->empty());
    ASSERT_OK(DeleteImage(txn, id));
    ASSERT_OK_AND_ASSIGN(const auto blobs, UnreferencedBlobs(txn));
    ASSERT_EQ(blobs.size(), 1U);
    blob = blobs[0].id;
    ASSERT_OK(DeleteBlob(txn, blob));
    ASSERT_OK(txn.Commit());
  }
  const uint64_t again = Insert("a", {{Named("l"), 4096}});
  EXPECT_GT(again, id);
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const auto blobs, AllBlobs(txn));
  ASSERT_EQ(blobs.size(), 1U);
  EXPECT_GT(blobs[0].id, blob);
}

}  // namespace
}  // namespace slacker
