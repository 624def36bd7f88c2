#include "snapshotter/metastore/db.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

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
  bool HasBlob(Db& db, std::string_view record) {
    auto txn = db.Read();
    EXPECT_OK(txn);
    return *Stmt(*txn, "SELECT 1 FROM blobs WHERE record = ?").BindText(record).Step();
  }
  testing::TempDir dir_;
};

TEST_F(DbTest, APipeOrADirectoryInItsPlaceIsRefusedAtOnce) {
  ASSERT_EQ(mkfifo((dir_ / "x.db").c_str(), 0600), 0);
  std::filesystem::create_directory(dir_ / "y.db");
  for (const char* name : {"x.db", "y.db"}) {
    EXPECT_THAT(Db::Open(dir_ / name), StatusIs(absl::StatusCode::kFailedPrecondition)) << name;
    EXPECT_THAT(Db::OpenForReading(dir_ / name), StatusIs(absl::StatusCode::kFailedPrecondition))
        << name;
  }
}

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
    ASSERT_OK(Stmt(txn, "UPDATE compatibility SET oldest=999").Run());
    ASSERT_OK(txn.Commit());
  }
  constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
  EXPECT_THAT(Db::CheckVersion(dir_ / "x.db"), StatusIs(kRefused, "1000"));
  EXPECT_THAT(Db::Open(dir_ / "x.db"), StatusIs(kRefused, "from 999 on"));
  EXPECT_THAT(Db::OpenForReading(dir_ / "x.db"), StatusIs(kRefused, "1000"));
}

TEST_F(DbTest, ADatabaseOfANewerProgramThatOlderOnesMayUseIsUsedAsItIs) {
  {
    ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
    ASSERT_OK_AND_ASSIGN(Txn txn, db->Write());
    ASSERT_OK(Stmt(txn, "PRAGMA user_version=1000").Run());
    ASSERT_OK(txn.Commit());
  }
  EXPECT_OK(Db::CheckVersion(dir_ / "x.db"));
  {
    ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
    ASSERT_OK(AddBlob(*db, "a"));
    ASSERT_OK_AND_ASSIGN(Txn txn, db->Read());
    Stmt version(txn, "PRAGMA user_version");
    ASSERT_TRUE(*version.Step());
    EXPECT_EQ(version.Int(0), 1000);
  }
  ASSERT_OK_AND_ASSIGN(auto reader, Db::OpenForReading(dir_ / "x.db"));
  EXPECT_EQ(CountBlobs(*reader), 1);
}

TEST_F(DbTest, WhatIsNotThereHasAVersionToStartWith) {
  EXPECT_OK(Db::CheckVersion(dir_ / "x.db"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "x.db"));
}

// The files of a program that died, or whose power was cut, while it made the database: a page is
// written, and the journal that undoes it is whole and still there.
void MakeDeadBirth(const std::string& directory, const std::string& path) {
  const std::string dying = directory + "/dying.db";
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(dying.c_str(), &handle), SQLITE_OK);
  // A cache of one page: SQLite writes to the file before the transaction ends.
  ASSERT_EQ(sqlite3_exec(handle,
                         "PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN; CREATE TABLE t(x);"
                         "INSERT INTO t VALUES (zeroblob(100000));",
                         nullptr, nullptr, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(handle);
  ASSERT_GT(std::filesystem::file_size(dying + "-journal"), 0U);
  std::filesystem::copy_file(dying, path);
  std::filesystem::copy_file(dying + "-journal", path + "-journal");
  std::filesystem::resize_file(path, 4096);
  ASSERT_EQ(sqlite3_close(handle), SQLITE_OK);
}

TEST_F(DbTest, ADatabaseWhoseMakerDiedIsMadeAgain) {
  const std::string path = dir_ / "x.db";
  ASSERT_NO_FATAL_FAILURE(MakeDeadBirth(dir_.path(), path));
  // The journal is one that SQLite would roll back: who only reads is refused.
  EXPECT_THAT(Db::OpenForReading(path), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_OK(Db::CheckVersion(path));
  EXPECT_TRUE(std::filesystem::exists(path + "-journal")) << "checking changes nothing";
  ASSERT_OK_AND_ASSIGN(auto db, Db::Open(path));
  EXPECT_FALSE(std::filesystem::exists(path + "-journal"));
  ASSERT_OK(AddBlob(*db, "a"));
  EXPECT_EQ(CountBlobs(*db), 1);
}

TEST_F(DbTest, ADatabaseOfTheFirstVersionIsMigratedWithWhatItHolds) {
  {
    ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
    ASSERT_OK(AddBlob(*db, "kept"));
    ASSERT_OK_AND_ASSIGN(Txn txn, db->Write());
    ASSERT_OK(Stmt(txn, "ALTER TABLE images DROP COLUMN to_anybody").Run());
    ASSERT_OK(Stmt(txn, "ALTER TABLE blobs DROP COLUMN proof").Run());
    ASSERT_OK(Stmt(txn, "DROP TABLE compatibility").Run());
    ASSERT_OK(Stmt(txn, "INSERT INTO images(chain) VALUES (x'01')").Run());
    ASSERT_OK(Stmt(txn, "PRAGMA user_version=1").Run());
    ASSERT_OK(txn.Commit());
  }
  ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
  EXPECT_EQ(CountBlobs(*db), 1);
  ASSERT_OK_AND_ASSIGN(Txn txn, db->Read());
  Stmt image(txn, "SELECT to_anybody FROM images");
  ASSERT_TRUE(*image.Step());
  EXPECT_EQ(image.Int(0), 0) << "nobody said yet that anybody may have it";
  Stmt blob(txn, "SELECT proof FROM blobs");
  ASSERT_TRUE(*blob.Step());
  EXPECT_EQ(blob.Int(0), 0) << "nothing was proved yet";
}

TEST_F(DbTest, OpenForReadingSeesWhatAWriterCommittedAndMakesNothing) {
  EXPECT_THAT(Db::OpenForReading(dir_ / "x.db"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "x.db"));
  ASSERT_OK_AND_ASSIGN(auto writer, Db::Open(dir_ / "x.db"));
  ASSERT_OK(AddBlob(*writer, "a"));
  {
    ASSERT_OK_AND_ASSIGN(auto reader, Db::OpenForReading(dir_ / "x.db"));
    EXPECT_EQ(CountBlobs(*reader), 1);
    ASSERT_OK(AddBlob(*writer, "b"));
    EXPECT_EQ(CountBlobs(*reader), 2);
  }
  writer.reset();
  ASSERT_OK_AND_ASSIGN(auto alone, Db::OpenForReading(dir_ / "x.db"));
  EXPECT_EQ(CountBlobs(*alone), 2);
}

TEST_F(DbTest, OpenForReadingRefusesAnotherVersion) {
  {
    ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
    ASSERT_OK_AND_ASSIGN(Txn txn, db->Write());
    ASSERT_OK(Stmt(txn, "PRAGMA user_version=1").Run());
    ASSERT_OK(txn.Commit());
  }
  EXPECT_THAT(Db::OpenForReading(dir_ / "x.db"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "version 1"));
}

TEST_F(DbTest, AFileThatIsNoDatabaseIsDataLoss) {
  std::ofstream(dir_ / "x.db") << std::string(8192, 'x');
  EXPECT_THAT(Db::Open(dir_ / "x.db"), StatusIs(absl::StatusCode::kDataLoss));
}

// Enough threads that transactions are made durable together, some of which are rolled back.
TEST_F(DbTest, TransactionsOfManyThreadsAreEachKeptOrUndone) {
  constexpr int kThreads = 8, kRows = 40;
  {
    ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kRows; ++i) {
          const std::string record = std::to_string(t) + "/" + std::to_string(i);
          EXPECT_OK(AddBlob(*db, record, /*commit=*/i % 3 != t % 3));
          EXPECT_EQ(HasBlob(*db, record), i % 3 != t % 3) << "what is committed is visible";
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kRows; ++i) {
      EXPECT_EQ(HasBlob(*db, std::to_string(t) + "/" + std::to_string(i)), i % 3 != t % 3);
    }
  }
}

TEST_F(DbTest, AViolationInOneOfManyTransactionsConcernsNoOther) {
  constexpr int kThreads = 8, kRows = 40;
  ASSERT_OK_AND_ASSIGN(auto db, Db::Open(dir_ / "x.db"));
  ASSERT_OK(AddBlob(*db, "taken"));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRows; ++i) {
        if (t == 0) {
          EXPECT_THAT(AddBlob(*db, "taken"), StatusIs(absl::StatusCode::kInternal, "UNIQUE"));
        } else {
          EXPECT_OK(AddBlob(*db, std::to_string(t) + "/" + std::to_string(i)));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CountBlobs(*db), 1 + (kThreads - 1) * kRows);
}

TEST_F(DbTest, AnUnwritableDirectoryIsTold) {
  EXPECT_THAT(Db::Open(dir_ / "missing/x.db"), StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace slacker
