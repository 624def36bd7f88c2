// SQLite, wrapped: the one place that includes sqlite3.h. WAL, synchronous=FULL, one writer
// connection, a few readers, prepared statements kept per connection.
//
// Usage: a Stmt needs a live Txn; a Txn rolls back unless Commit() was called. Write transactions
// are serialised by a mutex that is held for their life, so nothing slow may happen inside one;
// read transactions run beside them on a consistent snapshot of the database.
//
// Group commit: write transactions that wait for their turn join the batch of the one before them,
// and the last one makes all of them durable at once (one fsync). A transaction sees what those
// before it in the batch changed; so nothing ends, not even by rolling back, before the batch is
// durable, and when that fails, Commit() fails for all of them.
//
// Disk space is claimed in advance (8 MiB for the log, the file itself in steps of 4 MiB), so that
// deleting rows works on a full disk.
//
// Errors: RESOURCE_EXHAUSTED (disk full), PERMISSION_DENIED (read-only), DATA_LOSS (the file is
// damaged), else INTERNAL. Constraint violations are INTERNAL too: callers check before they
// insert, inside the same transaction.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"

struct sqlite3;
struct sqlite3_stmt;

namespace slacker {

// A connection with its prepared statements. One thread at a time.
class DbConnection {
 public:
  explicit DbConnection(sqlite3* handle) : handle_(handle) {}
  ~DbConnection();
  DbConnection(const DbConnection&) = delete;
  DbConnection& operator=(const DbConnection&) = delete;

  sqlite3* handle() const { return handle_; }
  absl::Status Execute(const char* sql);
  // The same for one statement without rows that comes again and again: kept like those of Prepared.
  absl::Status ExecuteKept(std::string_view sql);
  // Of the call before; its message begins with `what`.
  absl::Status Error(std::string_view what) const;
  // No transaction is open.
  bool InAutocommit() const;
  // Prepared on first use and kept. `sql` must be a literal, or otherwise outlive the connection.
  absl::StatusOr<sqlite3_stmt*> Prepared(std::string_view sql);

 private:
  sqlite3* const handle_;
  std::unordered_map<std::string_view, sqlite3_stmt*> statements_;
};

class Db;

// Write transactions that are made durable together; shared by them. Guarded by the Db's mutex.
struct WriteBatch {
  int members = 0;  // ended, but for the current one
  bool done = false;
  absl::Status result;
};

// A transaction. Move-only, one thread.
class Txn {
 public:
  Txn(Txn&& other) noexcept;
  Txn& operator=(Txn&&) = delete;
  ~Txn();

  // Makes the changes durable, and with them what this transaction saw. After an error nothing was
  // changed.
  absl::Status Commit();

 private:
  friend class Db;
  friend class Stmt;
  Txn(Db* db, DbConnection* connection, std::shared_ptr<WriteBatch> batch)
      : db_(db), connection_(connection), batch_(std::move(batch)) {}

  Db* db_;  // null when moved from or ended
  DbConnection* connection_;
  std::shared_ptr<WriteBatch> batch_;  // null: reads only
};

// One execution of a prepared statement: bind in order, then Step through the rows. Resets itself
// when destroyed.
class Stmt {
 public:
  // REQUIRES: `sql` is a literal; no other Stmt of the same text is live in this transaction.
  Stmt(Txn& txn, std::string_view sql);
  ~Stmt();
  Stmt(const Stmt&) = delete;
  Stmt& operator=(const Stmt&) = delete;

  Stmt& Bind(int64_t value);
  Stmt& BindText(std::string_view value);  // stored as BLOB: keys are bytes, not text
  Stmt& BindNull();

  // True: a row is there. False: done. Errors of construction and binding surface here.
  absl::StatusOr<bool> Step();
  // For statements without rows.
  absl::Status Run();

  int64_t Int(int column) const;
  std::string Text(int column) const;
  bool IsNull(int column) const;

 private:
  sqlite3* handle_ = nullptr;
  sqlite3_stmt* stmt_ = nullptr;
  int next_ = 1;
  absl::Status status_;
};

// Thread-safe.
class Db {
 public:
  // Opens or creates the file and brings its schema to the current version (metastore/schema.h).
  // FAILED_PRECONDITION when it is of a newer version, and not for this program.
  static absl::StatusOr<std::unique_ptr<Db>> Open(const std::string& path);
  // FAILED_PRECONDITION: Open would refuse the version of what is there. Everything else that can be
  // wrong with it is Open's to mend or to report: OK. Changes nothing, and may be asked while another
  // process has it open.
  static absl::Status CheckVersion(const std::string& path);
  // For looking into the database of a slackerd that may run. NOT_FOUND: there is none;
  // FAILED_PRECONDITION: it has another version of the schema. REQUIRES: nobody calls Write.
  static absl::StatusOr<std::unique_ptr<Db>> OpenForReading(const std::string& path);
  ~Db();

  // Waits for its turn.
  absl::StatusOr<Txn> Write();
  absl::StatusOr<Txn> Read();
  // ID of the last row inserted in this transaction.
  static int64_t LastInsertId(const Txn& txn);
  static int64_t ChangedRows(const Txn& txn);

 private:
  friend class Txn;
  explicit Db(std::string path) : path_(std::move(path)) {}
  absl::StatusOr<std::unique_ptr<DbConnection>> Connect(bool write) const;
  void EndRead(DbConnection* connection);
  // Keeps or undoes what the current transaction did, and lets its batch go on or ends it.
  absl::Status EndWrite(const std::shared_ptr<WriteBatch>& batch, bool keep);
  void Finish(WriteBatch& batch, absl::Status result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  Mutex mutex_;
  CondVar free_;  // the writer's turn has come
  CondVar done_;  // a batch is done
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;                    // in Write()
  std::shared_ptr<WriteBatch> batch_ ABSL_GUARDED_BY(mutex_);  // null: none is open
  std::unique_ptr<DbConnection> writer_;                       // of whoever set writing_
  std::vector<std::unique_ptr<DbConnection>> idle_readers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker
