#include "backend/nfs/nfs_backend.h"

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "backend/base/clock.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/nfs/directory_walk.h"
#include "backend/nfs/object_writer.h"
#include "backend/nfs/read_operation.h"
#include "backend/temporary_name.h"

namespace slacker {
namespace {

using nfs::DoneOnce;
using nfs::FileType;
using nfs::FileWriter;
using nfs::Found;
using nfs::Session;

// More than there are processors would only wake each other.
int AnswerThreads() {
  return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 4U));
}
// Whoever asked for so little has little to do with it; a change of threads would cost more.
constexpr size_t kSmallAnswerBytes = 16 << 10;
// Of a read beside which there is no other: nobody waits for the loop.
constexpr size_t kLoneAnswerBytes = 256 << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<NfsBackend>> NfsBackend::Open(const NfsTarget& target,
                                                             MissingStore missing,
                                                             const nfs::Patience& patience) {
  ASSIGN_OR_RETURN(auto session, Session::Open(target, patience));
  if (missing == MissingStore::kCreate) {
    RETURN_IF_ERROR(Annotate(session->MakeRoot(), target.url));
    const int64_t now = SystemClock().WallNanos() / 1'000'000'000;
    nfs::SweepTemporaries(session.get(), now - kTemporaryLifeSeconds);
  }
  if (missing == MissingStore::kFail) {
    RETURN_IF_ERROR(Annotate(session->Find("").status(), target.url));
  }
  ASSIGN_OR_RETURN(auto answers, ThreadPool::Make("nfs-answers", AnswerThreads()));
  return std::unique_ptr<NfsBackend>(
      new NfsBackend(target.url, std::move(session), std::move(answers)));
}

NfsBackend::NfsBackend(std::string url, std::unique_ptr<Session> session,
                       std::unique_ptr<ThreadPool> answers)
    : url_(std::move(url)), session_(std::move(session)), answers_(std::move(answers)) {}

NfsBackend::~NfsBackend() {
  session_->Close();
  MutexLock lock(&mutex_);
  while (reads_ > 0) idle_.Wait(&mutex_);
}

void NfsBackend::ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                           ReadCallback done) {
  {
    MutexLock lock(&mutex_);
    ++reads_;
  }
  if (absl::Status status = ValidateRead(name, size); !status.ok()) {
    answers_->Add([this, status, done = std::move(done)] {
      done(status);
      Finished();
    });
    return;
  }
  session_->Post([this, name = std::string(name), offset, size, done = std::move(done)]() mutable {
    auto answer = [this, name, done = std::move(done)](absl::StatusOr<std::string> result) {
      if (!result.ok()) result = nfs::ObjectError(result.status(), name);
      Answer(std::move(result), done);
    };
    nfs::ReadOperation::Start(session_->protocol(), session_->tree(), session_->read_limit(),
                              std::move(name), offset, size, std::move(answer));
  });
}

void NfsBackend::Answer(absl::StatusOr<std::string> result, const ReadCallback& done) {
  if (!result.ok() || result->size() <= (IsLone() ? kLoneAnswerBytes : kSmallAnswerBytes)) {
    done(std::move(result));
    Finished();
    return;
  }
  // std::function wants what can be copied.
  auto bytes = std::make_shared<std::string>(*std::move(result));
  answers_->Add([this, bytes, done] {
    done(std::move(*bytes));
    Finished();
  });
}

bool NfsBackend::IsLone() {
  MutexLock lock(&mutex_);
  return reads_ == 1;
}

void NfsBackend::Finished() {
  MutexLock lock(&mutex_);
  if (--reads_ == 0) idle_.SignalAll();
}

absl::StatusOr<ObjectInfo> NfsBackend::Stat(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  // As it is now: maintenance decides by it.
  session_->Forget(std::string(name));
  const absl::StatusOr<Found> found = session_->Find(std::string(name));
  if (!found.ok()) return nfs::ObjectError(found.status(), name);
  const nfs::Attributes& attributes = found->node.attributes;
  if (attributes.type != FileType::kRegular) return NotFound("no object " + std::string(name));
  return ObjectInfo{attributes.size_bytes, attributes.modified_unix_seconds};
}

absl::StatusOr<std::unique_ptr<ObjectWriter>> NfsBackend::Create(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  return FileWriter::Open(session_.get(), name);
}

absl::Status NfsBackend::Replace(std::string_view name, std::string_view content) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  ASSIGN_OR_RETURN(auto writer, FileWriter::Open(session_.get(), name));
  RETURN_IF_ERROR(writer->Append(content));
  return writer->CommitOver();
}

absl::StatusOr<std::vector<std::string>> NfsBackend::List(std::string_view prefix) {
  RETURN_IF_ERROR(ValidateListPrefix(prefix));
  std::vector<std::string> names;
  const std::string directory(prefix.substr(0, prefix.empty() ? 0 : prefix.size() - 1));
  const absl::Status status =
      nfs::WalkFiles(session_.get(), directory, [&names](const nfs::FileVisit& file) {
        if (ValidateObjectName(file.name).ok()) names.push_back(file.name);
      });
  if (!status.ok() && !nfs::IsMissing(status)) return Annotate(status, "list the store");
  std::sort(names.begin(), names.end());
  // A server whose directory changes meanwhile may name an entry twice.
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

absl::Status NfsBackend::Remove(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  const std::string whole(name);
  const auto [directory, base] = nfs::SplitName(name);
  absl::Status status;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const absl::StatusOr<Found> found = session_->Find(directory);
    if (!found.ok()) return nfs::IsMissing(found.status()) ? absl::OkStatus() : found.status();
    status = session_
                 ->AwaitOnce([&, base = base](DoneOnce done) {
                   session_->protocol()->Remove(found->node.handle, base, std::move(done));
                 })
                 .status;
    if (ErrnoOf(status) != ESTALE) break;
    session_->Post(
        [session = session_.get(), life = found->life] { session->tree()->StartNewLife(life); });
  }
  session_->Forget(whole);
  return status.ok() || nfs::IsMissing(status) ? absl::OkStatus()
                                               : Annotate(status, "remove object " + whole);
}

absl::Status NfsBackend::MoveOnce(const std::string& from, const std::string& to, uint64_t* life) {
  const auto [from_directory, from_base] = nfs::SplitName(from);
  const auto [to_directory, to_base] = nfs::SplitName(to);
  // As it is now, whatever was known of it: what is moved is told by its number afterwards.
  session_->Forget(from);
  ASSIGN_OR_RETURN(const Found source, session_->Find(from));
  *life = source.life;
  ASSIGN_OR_RETURN(const Found source_directory, session_->Find(from_directory));
  ASSIGN_OR_RETURN(const Found target_directory, session_->MakeDirectory(to_directory));
  const Session::Verdict moved =
      session_->AwaitOnce([&, from_base = from_base, to_base = to_base](DoneOnce done) {
        session_->protocol()->Rename(source_directory.node.handle, from_base,
                                     target_directory.node.handle, to_base, std::move(done));
      });
  SLACKER_FAILPOINT("nfs.moved");
  session_->Forget(from);
  session_->Forget(to);
  if (ErrnoOf(moved.status) != ENOENT || !moved.resent) return moved.status;
  // Our first attempt may have been carried out and its answer lost.
  const absl::StatusOr<Found> target = session_->Find(to);
  const bool is_ours =
      target.ok() && target->node.attributes.file_id == source.node.attributes.file_id;
  return is_ours ? absl::OkStatus() : moved.status;
}

absl::Status NfsBackend::Move(std::string_view from, std::string_view to) {
  RETURN_IF_ERROR(ValidateObjectName(from));
  RETURN_IF_ERROR(ValidateObjectName(to));
  absl::Status status;
  for (int attempt = 0; attempt < 2; ++attempt) {
    uint64_t life = 0;
    status = MoveOnce(std::string(from), std::string(to), &life);
    if (ErrnoOf(status) != ESTALE) break;
    session_->Post([session = session_.get(), life] { session->tree()->StartNewLife(life); });
  }
  if (nfs::IsMissing(status)) return nfs::ObjectError(status, from);
  return Annotate(status, "move object " + std::string(from));
}

}  // namespace slacker
