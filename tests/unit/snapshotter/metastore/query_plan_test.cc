// Looking for a snapshot by key, parent or reference reads an index, not the table: containerd asks
// for each of thousands of snapshots every ten seconds.
#include <gmock/gmock.h>
#include <sqlite3.h>

#include <set>

#include "snapshotter/metastore/snapshot_table.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

using ::testing::AnyOf;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// Notes the text of every query that connections opened from now on run. One at a time, one thread.
class QueryRecorder {
 public:
  QueryRecorder() { EXPECT_EQ(sqlite3_auto_extension(Entry()), SQLITE_OK); }
  ~QueryRecorder() { sqlite3_cancel_auto_extension(Entry()); }
  QueryRecorder(const QueryRecorder&) = delete;
  QueryRecorder& operator=(const QueryRecorder&) = delete;

  // Since the last time.
  static std::set<std::string> Take() { return std::exchange(Queries(), {}); }

 private:
  static void (*Entry())() { return reinterpret_cast<void (*)()>(&Opened); }
  static int Opened(sqlite3* handle, char** /*error*/, const void* /*api*/) {
    return sqlite3_trace_v2(handle, SQLITE_TRACE_STMT, &Note, nullptr);
  }
  static int Note(unsigned /*event*/, void* /*context*/, void* statement, void* /*text*/) {
    const std::string query = sqlite3_sql(static_cast<sqlite3_stmt*>(statement));
    if (query.starts_with("SELECT")) Queries().insert(query);
    return 0;
  }
  static std::set<std::string>& Queries() {
    static std::set<std::string> queries;
    return queries;
  }
};

class QueryPlanTest : public ::testing::Test {
 protected:
  QueryPlanTest() {
    auto db = Db::Open(dir_ / "x.db");
    EXPECT_OK(db);
    db_ = *std::move(db);
    QueryRecorder::Take();
  }

  // The steps of SQLite's plan.
  std::vector<std::string> PlanOf(const std::string& query) {
    sqlite3* handle = nullptr;
    EXPECT_EQ(sqlite3_open((dir_ / "x.db").c_str(), &handle), SQLITE_OK);
    sqlite3_stmt* plan = nullptr;
    const std::string text = "EXPLAIN QUERY PLAN " + query;
    EXPECT_EQ(sqlite3_prepare_v2(handle, text.c_str(), -1, &plan, nullptr), SQLITE_OK) << text;
    std::vector<std::string> steps;
    constexpr int kDetail = 3;
    while (sqlite3_step(plan) == SQLITE_ROW) {
      steps.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(plan, kDetail)));
    }
    sqlite3_finalize(plan);
    sqlite3_close(handle);
    return steps;
  }

  void ExpectIndexesOnly() {
    const std::set<std::string> queries = QueryRecorder::Take();
    EXPECT_THAT(queries, Not(IsEmpty()));
    for (const std::string& query : queries) {
      const std::vector<std::string> steps = PlanOf(query);
      EXPECT_THAT(steps, Not(IsEmpty())) << query;
      for (const std::string& step : steps) {
        EXPECT_THAT(step, AnyOf(StartsWith("SEARCH "), StartsWith("SCALAR SUBQUERY"),
                                StartsWith("USE TEMP B-TREE FOR ORDER BY")))
            << query;
      }
    }
  }

  TempDir dir_;
  QueryRecorder recorder_;
  std::unique_ptr<Db> db_;
};

TEST_F(QueryPlanTest, FindByKeyOrIdUsesAnIndex) {
  SnapshotRow row;
  row.id = 1;
  row.info = {.name = "a", .parent = "", .kind = Kind::kCommitted, .labels = {{"l", "v"}}};
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
  ASSERT_OK(SnapshotTable::Insert(txn, row));
  ASSERT_OK(SnapshotTable::Find(txn, "a"));
  ASSERT_OK(SnapshotTable::FindById(txn, 1));
  ASSERT_OK(SnapshotTable::Chain(txn, 1));
  ExpectIndexesOnly();
}

TEST_F(QueryPlanTest, SearchByKeyParentAndReferenceUsesAnIndex) {
  const std::vector<Candidates> searches = {
      {.name = "k", .parent = {}, .ref = {}},  {.name = {}, .parent = "p", .ref = {}},
      {.name = {}, .parent = "", .ref = {}},   {.name = {}, .parent = {}, .ref = "r"},
      {.name = {}, .parent = "p", .ref = "r"}, {.name = {}, .parent = "", .ref = "r"},
  };
  for (const Candidates& search : searches) {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
    ASSERT_OK(SnapshotTable::CandidateIds(txn, search));
    ExpectIndexesOnly();
  }
}

TEST_F(QueryPlanTest, ChildrenAndRemoteSnapshotsAreFoundByAnIndex) {
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK(SnapshotTable::HasChildren(txn, 1));
  ASSERT_OK(SnapshotTable::HasRemote(txn, "r", 0, Sha256::Of(std::string_view("x"))));
  ASSERT_OK(SnapshotTable::HasRemote(txn, "r", 1, Sha256::Of(std::string_view("x"))));
  ExpectIndexesOnly();
}

// What the others would look like: a list of everything.
TEST_F(QueryPlanTest, AListOfAllScans) {
  ASSERT_OK_AND_ASSIGN(Txn txn, db_->Read());
  ASSERT_OK(SnapshotTable::CandidateIds(txn, {}));
  const std::set<std::string> queries = QueryRecorder::Take();
  ASSERT_THAT(queries, SizeIs(1));
  EXPECT_THAT(PlanOf(*queries.begin()), ::testing::Contains(StartsWith("SCAN ")));
}

}  // namespace
}  // namespace slacker::testing
