#include "snapshotter/metastore/db.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "snapshotter/metastore/schema.h"

namespace slacker {
namespace {

// Only another process (a person with sqlite3) can make us wait.
constexpr int kBusyTimeoutMs = 5000;
constexpr size_t kMaxIdleReaders = 16;
constexpr int kMaxBatch = 64;  // bounds how long the first transaction of a batch waits

// SQLite checkpoints at 1000 pages of 4 KiB; the rest is for when the checkpoint finds no space.
constexpr off_t kReservedLogBytes = 8 << 20;
constexpr size_t kReservedLogStep = 1 << 20;
constexpr int kGrowthBytes = 4 << 20;  // the database file grows in steps of this size

absl::Status SqliteError(sqlite3* handle, std::string_view what) {
  const int code = handle == nullptr ? SQLITE_NOMEM : sqlite3_errcode(handle);
  std::string message(what);
  message += ": ";
  message += handle == nullptr ? "out of memory" : sqlite3_errmsg(handle);
  switch (code & 0xff) {
    case SQLITE_FULL:
      return ResourceExhausted(message);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return PermissionDenied(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss(message);
    default:
      return Internal(message);
  }
}

// Claims the disk space that the log and the next checkpoint will need, so that removing snapshots
// works on a full disk: otherwise nothing could ever make room. Best effort: a daemon that starts
// on a full disk does without.
void ReserveSpace(sqlite3* handle, const std::string& path) {
  int bytes = kGrowthBytes;
  (void)sqlite3_file_control(handle, "main", SQLITE_FCNTL_CHUNK_SIZE, &bytes);
  sqlite3_int64 size = kGrowthBytes;
  (void)sqlite3_file_control(handle, "main", SQLITE_FCNTL_SIZE_HINT, &size);
  int stays = 1;  // the log is not deleted with the last connection: the next start has it at once
  (void)sqlite3_file_control(handle, "main", SQLITE_FCNTL_PERSIST_WAL, &stays);
  const UniqueFd log(open((path + "-wal").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!log.valid()) return;
  // Written, not only allocated: to sync what overwrites it then is one flush of the disk, without a
  // change of the file's metadata that the file system's journal must take. Behind its last frame
  // SQLite takes zeros for the end of the log.
  const std::string zeros(kReservedLogStep, '\0');
  for (off_t at = lseek(log.get(), 0, SEEK_END); at >= 0 && at < kReservedLogBytes;) {
    const ssize_t put = pwrite(log.get(), zeros.data(), zeros.size(), at);
    if (put <= 0) return;
    at += put;
  }
  (void)fdatasync(log.get());
}

}  // namespace

DbConnection::~DbConnection() {
  for (auto& [sql, stmt] : statements_) sqlite3_finalize(stmt);
  sqlite3_close(handle_);
}

absl::Status DbConnection::Execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return SqliteError(handle_, sql);
  }
  return absl::OkStatus();
}

absl::Status DbConnection::ExecuteKept(std::string_view sql) {
  ASSIGN_OR_RETURN(sqlite3_stmt * stmt, Prepared(sql));
  const int done = sqlite3_step(stmt);
  absl::Status status;
  if (done != SQLITE_DONE) status = SqliteError(handle_, sql);
  sqlite3_reset(stmt);  // repeats the error of the step
  return status;
}

absl::Status DbConnection::Error(std::string_view what) const { return SqliteError(handle_, what); }

bool DbConnection::InAutocommit() const { return sqlite3_get_autocommit(handle_) != 0; }

absl::StatusOr<sqlite3_stmt*> DbConnection::Prepared(std::string_view sql) {
  if (auto found = statements_.find(sql); found != statements_.end()) return found->second;
  sqlite3_stmt* stmt = nullptr;
  if (sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &stmt, nullptr) != SQLITE_OK) {
    return SqliteError(handle_, sql);
  }
  statements_.emplace(sql, stmt);
  return stmt;
}

Txn::Txn(Txn&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)),
      connection_(other.connection_),
      batch_(std::move(other.batch_)) {}

Txn::~Txn() {
  if (db_ == nullptr) return;
  if (batch_ == nullptr) {
    db_->EndRead(connection_);
  } else {
    (void)db_->EndWrite(batch_, /*keep=*/false);  // nothing of it is kept either way
  }
}

absl::Status Txn::Commit() {
  SLACKER_CHECK(db_ != nullptr && batch_ != nullptr, "a write transaction is committed once");
  return std::exchange(db_, nullptr)->EndWrite(batch_, /*keep=*/true);
}

Stmt::Stmt(Txn& txn, std::string_view sql) : handle_(txn.connection_->handle()) {
  SLACKER_CHECK(txn.db_ != nullptr, "a statement needs a live transaction");
  auto prepared = txn.connection_->Prepared(sql);
  if (prepared.ok()) {
    stmt_ = *prepared;
  } else {
    status_ = prepared.status();
  }
}

Stmt::~Stmt() {
  if (stmt_ == nullptr) return;
  sqlite3_reset(stmt_);  // repeats the error of the last step, which was reported then
  sqlite3_clear_bindings(stmt_);
}

Stmt& Stmt::Bind(int64_t value) {
  if (status_.ok() && sqlite3_bind_int64(stmt_, next_++, value) != SQLITE_OK) {
    status_ = SqliteError(handle_, "bind");
  }
  return *this;
}

Stmt& Stmt::BindText(std::string_view value) {
  if (status_.ok() && sqlite3_bind_blob64(stmt_, next_++, value.empty() ? "" : value.data(),
                                          value.size(), SQLITE_TRANSIENT) != SQLITE_OK) {
    status_ = SqliteError(handle_, "bind");
  }
  return *this;
}

Stmt& Stmt::BindNull() {
  if (status_.ok() && sqlite3_bind_null(stmt_, next_++) != SQLITE_OK) {
    status_ = SqliteError(handle_, "bind");
  }
  return *this;
}

absl::StatusOr<bool> Stmt::Step() {
  RETURN_IF_ERROR(status_);
  switch (sqlite3_step(stmt_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      status_ = SqliteError(handle_, sqlite3_sql(stmt_));
      return status_;
  }
}

absl::Status Stmt::Run() {
  ASSIGN_OR_RETURN(const bool row, Step());
  SLACKER_CHECK(!row, "a statement that is Run yields no rows");
  return absl::OkStatus();
}

int64_t Stmt::Int(int column) const { return sqlite3_column_int64(stmt_, column); }

std::string Stmt::Text(int column) const {
  const void* data = sqlite3_column_blob(stmt_, column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(stmt_, column));
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

bool Stmt::IsNull(int column) const { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }

absl::StatusOr<std::unique_ptr<Db>> Db::Open(const std::string& path) {
  std::unique_ptr<Db> db(new Db(path));
  ASSIGN_OR_RETURN(db->writer_, db->Connect(/*write=*/true));
  RETURN_IF_ERROR(Annotate(MigrateSchema(*db->writer_), path));
  // The log's file appears with the first access, which MigrateSchema was.
  ReserveSpace(db->writer_->handle(), path);
  return db;
}

absl::Status Db::CheckVersion(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return absl::OkStatus();
  const Db db(path);
  const auto reader = db.Connect(/*write=*/false);
  if (!reader.ok()) return absl::OkStatus();
  // Who only reads can not, for instance, undo what a death amid the very first start has left.
  const absl::Status status = CheckMigratable(**reader);
  return absl::IsFailedPrecondition(status) ? Annotate(status, path) : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Db>> Db::OpenForReading(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) {
    return errno == ENOENT ? NotFound("there is no " + path) : ErrnoError(errno, "open " + path);
  }
  std::unique_ptr<Db> db(new Db(path));
  ASSIGN_OR_RETURN(std::unique_ptr<DbConnection> reader, db->Connect(/*write=*/false));
  RETURN_IF_ERROR(Annotate(CheckSchema(*reader), path));
  MutexLock lock(&db->mutex_);
  db->idle_readers_.push_back(std::move(reader));
  return db;
}

Db::~Db() = default;

absl::StatusOr<std::unique_ptr<DbConnection>> Db::Connect(bool write) const {
  // SQLite would wait for who writes into a pipe.
  struct stat file {};
  if (stat(path_.c_str(), &file) == 0 && !S_ISREG(file.st_mode)) {
    return FailedPrecondition(path_ + " is not a regular file");
  }
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_NOMUTEX |
                    (write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
  const int opened = sqlite3_open_v2(path_.c_str(), &handle, flags, nullptr);
  auto connection = std::make_unique<DbConnection>(handle);
  if (opened != SQLITE_OK) return SqliteError(handle, "open " + path_);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  if (write) {
    RETURN_IF_ERROR(connection->Execute("PRAGMA journal_mode=WAL"));
    RETURN_IF_ERROR(connection->Execute("PRAGMA synchronous=FULL"));
    RETURN_IF_ERROR(connection->Execute("PRAGMA foreign_keys=ON"));
  }
  // In KiB. Readers are many, and what they miss is in the kernel's cache.
  RETURN_IF_ERROR(
      connection->Execute(write ? "PRAGMA cache_size=-4096" : "PRAGMA cache_size=-256"));
  return connection;
}

absl::StatusOr<Txn> Db::Write() {
  std::shared_ptr<WriteBatch> batch;
  bool opens = false;
  {
    MutexLock lock(&mutex_);
    ++waiting_;
    while (writing_) free_.Wait(&mutex_);
    --waiting_;
    writing_ = true;
    opens = batch_ == nullptr;
    if (opens) batch_ = std::make_shared<WriteBatch>();
    batch = batch_;
  }
  // The first of a batch is undone with the whole of it and needs no savepoint.
  if (absl::Status begun = writer_->ExecuteKept(opens ? "BEGIN IMMEDIATE" : "SAVEPOINT member");
      !begun.ok()) {
    (void)EndWrite(batch, /*keep=*/false);
    return begun;
  }
  return Txn(this, writer_.get(), std::move(batch));
}

absl::Status Db::EndWrite(const std::shared_ptr<WriteBatch>& batch, bool keep) {
  bool first = false;
  {
    MutexLock lock(&mutex_);
    first = batch->members == 0;
  }
  if (!first) {
    if (!keep) (void)writer_->ExecuteKept("ROLLBACK TO member");
    (void)writer_->ExecuteKept("RELEASE member");
  }
  // A full disk can make SQLite undo the whole transaction; what came after it would stand alone.
  const bool lost = writer_->InAutocommit();
  {
    MutexLock lock(&mutex_);
    ++batch->members;
    const bool goes_on = !lost && (keep || !first) && waiting_ > 0 && batch->members < kMaxBatch;
    if (goes_on) {
      writing_ = false;
      free_.Signal();
      while (!batch->done) done_.Wait(&mutex_);
      return batch->result;
    }
  }
  absl::Status result;
  if (lost) {
    result = ResourceExhausted("the transaction was undone by the database");
  } else if (keep || !first) {
    result = writer_->ExecuteKept("COMMIT");
  }
  if (!writer_->InAutocommit()) (void)writer_->ExecuteKept("ROLLBACK");
  MutexLock lock(&mutex_);
  Finish(*batch, result);
  return result;
}

void Db::Finish(WriteBatch& batch, absl::Status result) {
  batch.done = true;
  batch.result = std::move(result);
  batch_ = nullptr;
  writing_ = false;
  done_.SignalAll();
  free_.Signal();
}

absl::StatusOr<Txn> Db::Read() {
  std::unique_ptr<DbConnection> connection;
  {
    MutexLock lock(&mutex_);
    if (!idle_readers_.empty()) {
      connection = std::move(idle_readers_.back());
      idle_readers_.pop_back();
    }
  }
  if (connection == nullptr) {
    ASSIGN_OR_RETURN(connection, Connect(/*write=*/false));
  }
  RETURN_IF_ERROR(connection->ExecuteKept("BEGIN"));
  return Txn(this, connection.release(), nullptr);
}

void Db::EndRead(DbConnection* connection) {
  std::unique_ptr<DbConnection> surplus(connection);  // closed after the lock is released
  (void)surplus->ExecuteKept("ROLLBACK");             // nothing was changed
  MutexLock lock(&mutex_);
  if (idle_readers_.size() < kMaxIdleReaders) idle_readers_.push_back(std::move(surplus));
}

int64_t Db::LastInsertId(const Txn& txn) {
  return sqlite3_last_insert_rowid(txn.connection_->handle());
}

int64_t Db::ChangedRows(const Txn& txn) { return sqlite3_changes64(txn.connection_->handle()); }

}  // namespace slacker
