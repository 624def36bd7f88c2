#include "snapshotter/metastore/snapshot_table.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class SnapshotTableTest : public ::testing::Test {
 protected:
  SnapshotTableTest() {
    auto db = Db::Open(dir_ / "x.db");
    EXPECT_OK(db);
    db_ = *std::move(db);
  }
  static SnapshotRow Row(int64_t id, const std::string& name, int64_t parent = 0) {
    SnapshotRow row;
    row.id = id;
    row.info.name = name;
    row.info.kind = Kind::kCommitted;
    row.parent_id = parent;
    return row;
  }
  void Insert(const SnapshotRow& row) {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK(SnapshotTable::Insert(txn, row));
    ASSERT_OK(txn.Commit());
  }
  std::vector<int64_t> Ids(const Candidates& candidates) {
    auto txn = db_->Read();
    EXPECT_OK(txn);
    auto ids = SnapshotTable::CandidateIds(*txn, candidates);
    EXPECT_OK(ids);
    return *ids;
  }
  TempDir dir_;
  std::unique_ptr<Db> db_;
};

TEST_F(SnapshotTableTest, RowsComeBackAsTheyWereInserted) {
  Insert(Row(1, "base"));
  SnapshotRow row = Row(2, std::string("n\0\xff", 3), 1);
  row.info.kind = Kind::kActive;
  row.info.created_nanos = 5;
  row.info.updated_nanos = 6;
  row.info.labels = {{"a", "b"}, {std::string(kRefLabel), "r"}};
  row.chain = Sha256::Of(std::string_view("x"));
  row.reason = "why";
  row.usage = {.size_bytes = 7, .inodes = 8};
  Insert(row);
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const auto found, SnapshotTable::Find(txn, row.info.name));
  ASSERT_TRUE(found.has_value());
  row.info.parent = "base";
  EXPECT_EQ(found->info, row.info);
  EXPECT_EQ(found->id, 2);
  EXPECT_EQ(found->parent_id, 1);
  EXPECT_EQ(found->chain, row.chain);
  EXPECT_EQ(found->reason, "why");
  EXPECT_EQ(found->usage.size_bytes, 7);
  EXPECT_EQ(found->usage.inodes, 8);
  ASSERT_OK_AND_ASSIGN(const auto by_id, SnapshotTable::FindById(txn, 2));
  ASSERT_TRUE(by_id.has_value());
  EXPECT_EQ(by_id->info, row.info);
  ASSERT_OK_AND_ASSIGN(const auto none, SnapshotTable::Find(txn, "nobody"));
  EXPECT_FALSE(none.has_value());
}

TEST_F(SnapshotTableTest, IdsAreNotForgottenWithTheirRows) {
  Insert(Row(41, "a"));
  {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK(SnapshotTable::Delete(txn, 41));
    ASSERT_OK(txn.Commit());
  }
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const int64_t last, SnapshotTable::LastId(txn));
  EXPECT_EQ(last, 41);
}

TEST_F(SnapshotTableTest, CandidatesComeFromTheIndexes) {
  SnapshotRow ordinary = Row(1, "ordinary");
  ordinary.info.labels = {{std::string(kRefLabel), "r"}};
  Insert(ordinary);
  SnapshotRow remote = Row(2, "remote");
  remote.info.labels = ordinary.info.labels;
  remote.chain = Sha256::Of(std::string_view("x"));
  Insert(remote);
  SnapshotRow child = Row(3, "child", 2);
  child.info.labels = ordinary.info.labels;
  Insert(child);
  Insert(Row(4, "plain", 2));

  EXPECT_THAT(Ids({}), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Ids({.name = "child", .parent = {}, .ref = {}}), ElementsAre(3));
  EXPECT_THAT(Ids({.name = {}, .parent = "", .ref = {}}), UnorderedElementsAre(1, 2));
  EXPECT_THAT(Ids({.name = {}, .parent = "remote", .ref = {}}), UnorderedElementsAre(3, 4));
  EXPECT_THAT(Ids({.name = {}, .parent = "nobody", .ref = {}}), ElementsAre());
  EXPECT_THAT(Ids({.name = {}, .parent = {}, .ref = "r"}), ElementsAre(2, 1, 3));
  EXPECT_THAT(Ids({.name = {}, .parent = "", .ref = "r"}), ElementsAre(2, 1));
  EXPECT_THAT(Ids({.name = {}, .parent = "remote", .ref = "r"}), ElementsAre(3));
}

TEST_F(SnapshotTableTest, RemoteNeedsReferenceParentAndContent) {
  const Digest chain = Sha256::Of(std::string_view("x"));
  Insert(Row(1, "base"));
  SnapshotRow remote = Row(2, "remote", 1);
  remote.info.labels = {{std::string(kRefLabel), "r"}};
  remote.chain = chain;
  Insert(remote);
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  EXPECT_TRUE(*SnapshotTable::HasRemote(txn, "r", 1, chain));
  EXPECT_FALSE(*SnapshotTable::HasRemote(txn, "s", 1, chain));
  EXPECT_FALSE(*SnapshotTable::HasRemote(txn, "r", 0, chain));
  EXPECT_FALSE(*SnapshotTable::HasRemote(txn, "r", 1, Sha256::Of(std::string_view("y"))));
}

TEST_F(SnapshotTableTest, ChainEndsAtTheFirstRemoteSnapshot) {
  Insert(Row(1, "bottom"));
  SnapshotRow remote = Row(2, "remote", 1);
  remote.chain = Sha256::Of(std::string_view("x"));
  Insert(remote);
  Insert(Row(3, "top", 2));
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK_AND_ASSIGN(const auto links, SnapshotTable::Chain(txn, 3));
  ASSERT_EQ(links.size(), 2U);
  EXPECT_EQ(links[0].id, 3);
  EXPECT_FALSE(links[0].chain.has_value());
  EXPECT_EQ(links[1].id, 2);
  EXPECT_EQ(links[1].chain, remote.chain);
  ASSERT_OK_AND_ASSIGN(const auto none, SnapshotTable::Chain(txn, 0));
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(*SnapshotTable::HasChildren(txn, 1));
  EXPECT_FALSE(*SnapshotTable::HasChildren(txn, 3));
}

TEST_F(SnapshotTableTest, AMalformedChainIsDataLoss) {
  Insert(Row(1, "a"));
  {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK(Stmt(txn, "UPDATE snapshots SET chain = x'0102'").Run());
    ASSERT_OK(txn.Commit());
  }
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  EXPECT_THAT(SnapshotTable::Find(txn, "a"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(SnapshotTable::Chain(txn, 1), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SnapshotTableTest, ParentsInACircleAreDataLoss) {
  Insert(Row(1, "a"));
  Insert(Row(2, "b", 1));
  {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK(Stmt(txn, "UPDATE snapshots SET parent = 2 WHERE id = 1").Run());
    ASSERT_OK(txn.Commit());
  }
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  EXPECT_THAT(SnapshotTable::Chain(txn, 2), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SnapshotTableTest, DeleteTakesTheLabelsAlong) {
  SnapshotRow row = Row(1, "a");
  row.info.labels = {{"k", "v"}};
  Insert(row);
  {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK(SnapshotTable::Delete(txn, 1));
    ASSERT_OK(txn.Commit());
  }
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  Stmt count(txn, "SELECT count(*) FROM labels");
  ASSERT_OK(count.Step());
  EXPECT_EQ(count.Int(0), 0);
}

}  // namespace
}  // namespace slacker::testing
