#include "snapshotter/metastore/db.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::StatusIs;

class DbTest : public ::testing::Test {
 protected:
  absl::Status AddBlob(Db& db, std::string_view record, bool commit = true) {
    auto txn = db.Write();
    if (!txn.ok()) return txn.status();
    absl::Status run = Stmt(*txn, "INSERT INTO blobs(record, size) VALUES (?, ?)")
                           .BindText(record)
                           .Bind(4096)
                           .Run();
    if (!run.ok() || !commit) return run;
    return txn->Commit();
  }
  int64_t CountBlobs(Db& db) {
    auto txn = db.Read();
    EXPECT_OK(txn);
    Stmt stmt(*txn, "SELECT count(*) FROM blobs");
    EXPECT_OK(stmt.Step());
    return stmt.Int(0);
  }
  testing::TempDir dir_;
};

TEST_F(DbTest, CommittedRowsAreThereAfterReopening) {
  {
    ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
    ASSERT_OK(AddBlob(*db, std::string_view("a\0b", 3)));
  }
  ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
  ASSERT_OK_AND_ASSIGN(Txn txn, db->Read());
  Stmt stmt(txn, "SELECT id, record FROM blobs");
  ASSERT_TRUE(*stmt.Step());
  EXPECT_GE(stmt.Int(0), 16) << "low IDs stay free for the FUSE root";
  EXPECT_EQ(stmt.Text(1), std::string("a\0b", 3));
  EXPECT_FALSE(*stmt.Step());
}

TEST_F(DbTest, ATransactionThatIsNotCommittedLeavesNothing) {
  ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
  ASSERT_OK(AddBlob(*db, "gone", /*commit=*/false));
  EXPECT_EQ(CountBlobs(*db), 0);
  ASSERT_OK(AddBlob(*db, "kept"));
  EXPECT_EQ(CountBlobs(*db), 1);
}

TEST_F(DbTest, AViolatedConstraintIsAnErrorAndTheDatabaseGoesOn) {
  ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
  ASSERT_OK(AddBlob(*db, "a"));
  EXPECT_THAT(AddBlob(*db, "a"), StatusIs(absl::StatusCode::kInternal, "UNIQUE"));
  ASSERT_OK(AddBlob(*db, "b"));
}

TEST_F(DbTest, ADatabaseOfANewerProgramIsRefused) {
  {
    ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
    ASSERT_OK_AND_ASSIGN(Txn txn, db->Write());
    ASSERT_OK(Stmt(txn, "PRAGMA user_version=1000").Run());
    ASSERT_OK(txn.Commit());
  }
  EXPECT_THAT(Db::Open(dir_ / "x.db"), StatusIs(absl::StatusCode::kFailedPrecondition, "1000"));
}

TEST_F(DbTest, AFileThatIsNoDatabaseIsDataLoss) {
  std::ofstream(dir_ / "x.db") << std::string(8192, 'x');
  EXPECT_THAT(Db::Open(dir_ / "x.db"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(DbTest, AnUnwritableDirectoryIsTold) {
  EXPECT_THAT(Db::Open(dir_ / "missing/x.db"), StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace slacker
