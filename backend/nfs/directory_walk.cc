#include "backend/nfs/directory_walk.h"

#include <cerrno>
#include <utility>

#include "backend/backend.h"
#include "backend/base/status.h"
#include "backend/temporary_name.h"

namespace slacker::nfs {
namespace {

constexpr int kListAttempts = 3;

class Walk {
 public:
  Walk(Session* session, const std::function<void(const FileVisit&)>& visit)
      : session_(session), visit_(visit) {}

  absl::Status Directory(const std::string& name) {
    for (int attempt = 1;; ++attempt) {
      ASSIGN_OR_RETURN(const Found found, session_->Find(name));
      if (found.node.attributes.type != FileType::kDirectory) return ErrnoError(ENOTDIR, name);
      std::vector<DirectoryEntry> entries;
      const absl::Status status = Entries(found.node.handle, &entries);
      const int error = ErrnoOf(status);
      if (status.ok()) return Visit(name, found.node.handle, entries);
      // Changed so much that the server lost the place, or gone since it was looked up.
      if ((error != EBADF && error != ESTALE) || attempt == kListAttempts) return status;
      session_->Post([session = session_, life = found.life, error] {
        if (error == ESTALE) session->tree()->StartNewLife(life);
      });
    }
  }

 private:
  absl::Status Entries(const Handle& directory, std::vector<DirectoryEntry>* entries) {
    const auto read = [&](uint64_t cookie, uint64_t verifier) {
      return session_->Await<DirectoryPage>([&](Done<DirectoryPage> done) {
        session_->protocol()->ReadDirectory(directory, cookie, verifier, std::move(done));
      });
    };
    ASSIGN_OR_RETURN(*entries, ReadPages(read, kMaxEntries - seen_));
    seen_ += entries->size();
    return absl::OkStatus();
  }

  absl::Status Visit(const std::string& directory, const Handle& handle,
                     const std::vector<DirectoryEntry>& entries) {
    for (const DirectoryEntry& entry : entries) {
      const std::string name = directory.empty() ? entry.name : directory + "/" + entry.name;
      const bool temporary = IsTemporaryName(entry.name);
      if (!temporary && !ValidateObjectName(name).ok()) continue;
      FileType type = entry.type;
      if (type == FileType::kUnknown) {
        const absl::StatusOr<Found> found = session_->Find(name);
        if (IsMissing(found.status())) continue;
        RETURN_IF_ERROR(found.status());
        type = found->node.attributes.type;
      }
      if (type != FileType::kDirectory) {
        visit_({name, handle, entry.modified_unix_seconds, type});
      }
      if (type != FileType::kDirectory || temporary) continue;
      if (absl::Status status = Directory(name); !status.ok() && !IsMissing(status)) return status;
    }
    return absl::OkStatus();
  }

  Session* const session_;
  const std::function<void(const FileVisit&)>& visit_;
  uint64_t seen_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<DirectoryEntry>> ReadPages(const ReadPage& read, uint64_t max_entries) {
  std::vector<DirectoryEntry> entries;
  DirectoryPage page;
  for (int empty = 0; !page.end;) {
    ASSIGN_OR_RETURN(page, read(page.cookie, page.verifier));
    empty = page.entries.empty() ? empty + 1 : 0;
    if (entries.size() + page.entries.size() > max_entries || empty > kMaxEmptyPages) {
      return ResourceExhausted("the store's directories do not end");
    }
    std::move(page.entries.begin(), page.entries.end(), std::back_inserter(entries));
  }
  return entries;
}

absl::Status WalkFiles(Session* session, const std::string& directory,
                       const std::function<void(const FileVisit&)>& visit) {
  return Walk(session, visit).Directory(directory);
}

void SweepTemporaries(Session* session, int64_t modified_before) {
  // What cannot be looked at or removed stays: the next publisher tries again.
  (void)WalkFiles(session, "", [&](const FileVisit& file) {
    const std::string base = SplitName(file.name).second;
    if (!IsTemporaryName(base) || file.type != FileType::kRegular ||
        file.modified_unix_seconds == 0 || file.modified_unix_seconds >= modified_before) {
      return;
    }
    (void)session->AwaitOnce(
        [&](DoneOnce done) { session->protocol()->Remove(file.directory, base, std::move(done)); });
  });
}

}  // namespace slacker::nfs
