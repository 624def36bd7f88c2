#include "backend/nfs/object_writer.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/temporary_name.h"

namespace slacker::nfs {
namespace {

// A server that restarts more often while it is written to is not there.
constexpr int kWindowAttempts = 5;

// One window on its way: writes what is left of each piece until the server has taken it all.
// Loop thread only.
class WindowWrite : public std::enable_shared_from_this<WindowWrite> {
 public:
  WindowWrite(Protocol* protocol, Handle file, Done<std::vector<WritePart>> done)
      : protocol_(protocol), file_(std::move(file)), done_(std::move(done)) {}

  void Start(uint64_t offset, std::string_view data, uint32_t piece_bytes) {
    under_way_ = 1;
    while (!data.empty()) {
      const std::string_view piece = data.substr(0, piece_bytes);
      ++under_way_;
      Write(offset, piece);
      offset += piece.size();
      data.remove_prefix(piece.size());
    }
    PieceDone();
  }

 private:
  void Write(uint64_t offset, std::string_view piece) {
    protocol_->Write(file_, offset, piece,
                     [self = shared_from_this(), offset, piece](absl::StatusOr<WritePart> part) {
                       self->OnPart(offset, piece, part);
                     });
  }

  void OnPart(uint64_t offset, std::string_view piece, const absl::StatusOr<WritePart>& part) {
    if (part.ok()) {
      parts_.push_back(*part);
      if (part->bytes < piece.size()) {
        Write(offset + part->bytes, piece.substr(part->bytes));
        return;
      }
    } else if (error_.ok()) {
      error_ = part.status();
    }
    PieceDone();
  }

  void PieceDone() {
    if (--under_way_ > 0) return;
    if (error_.ok()) {
      done_(std::move(parts_));
    } else {
      done_(error_);
    }
  }

  Protocol* const protocol_;
  const Handle file_;
  const Done<std::vector<WritePart>> done_;
  std::vector<WritePart> parts_;
  int under_way_ = 0;
  absl::Status error_;
};

}  // namespace

FileWriter::FileWriter(Session* session, std::string name, Handle directory, std::string temporary,
                       Node file)
    : session_(session),
      name_(std::move(name)),
      directory_(std::move(directory)),
      temporary_(std::move(temporary)),
      file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<FileWriter>> FileWriter::Open(Session* session,
                                                             std::string_view name) {
  const std::string temporary = NewTemporaryName();
  const std::string directory_name = SplitName(name).first;
  absl::StatusOr<Node> file;
  Found directory;
  for (int attempt = 0; attempt < 2; ++attempt) {
    ASSIGN_OR_RETURN(directory, session->MakeDirectory(directory_name));
    file = session->Await<Node>([&](Done<Node> done) {
      session->protocol()->CreateFile(directory.node.handle, temporary, std::move(done));
    });
    // The directory has gone since it was looked up; some servers say so in this way.
    if (ErrnoOf(file.status()) != ESTALE && ErrnoOf(file.status()) != ENOENT) break;
    session->Post([session, life = directory.life] { session->tree()->StartNewLife(life); });
  }
  if (ErrnoOf(file.status()) == ENOENT) file = Unavailable("the directory vanishes");
  if (!file.ok()) return Annotate(file.status(), "create an object in " + directory_name);
  auto writer = std::unique_ptr<FileWriter>(new FileWriter(
      session, std::string(name), directory.node.handle, temporary, *std::move(file)));
  ASSIGN_OR_RETURN(writer->piece_bytes_, session->Await<uint32_t>([session](Done<uint32_t> done) {
    done(session->tree()->limits().write_bytes);
  }));
  SLACKER_FAILPOINT("nfs.created");
  return writer;
}

FileWriter::~FileWriter() {
  if (temporary_.empty()) return;
  // Best effort: what is left is swept a day later.
  if (server_away_) return;
  (void)session_->AwaitOnce([this](DoneOnce done) {
    session_->protocol()->Remove(directory_, temporary_, std::move(done));
  });
}

absl::Status FileWriter::Note(absl::Status status, std::string_view what) {
  server_away_ = server_away_ || absl::IsUnavailable(status);
  return Annotate(status, std::string(what) + " object " + name_);
}

absl::Status FileWriter::Append(std::string_view data) {
  while (!data.empty()) {
    const std::string_view part = data.substr(0, kWindowBytes - window_.size());
    window_ += part;
    data.remove_prefix(part.size());
    if (window_.size() == kWindowBytes) RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

absl::Status FileWriter::Flush() {
  if (window_.empty()) return absl::OkStatus();
  absl::Status status;
  for (int attempt = 0; attempt < kWindowAttempts; ++attempt) {
    status = WriteWindow();
    if (ErrnoOf(status) != ERESTART) break;
  }
  if (ErrnoOf(status) == ERESTART) status = Unavailable("the NFS server restarts over and over");
  RETURN_IF_ERROR(Note(status, "write"));
  SLACKER_FAILPOINT("nfs.written");
  offset_ += window_.size();
  window_.clear();
  return absl::OkStatus();
}

absl::Status FileWriter::WriteWindow() {
  ASSIGN_OR_RETURN(
      const std::vector<WritePart> parts,
      session_->Await<std::vector<WritePart>>([this](Done<std::vector<WritePart>> done) {
        std::make_shared<WindowWrite>(session_->protocol(), file_.handle, std::move(done))
            ->Start(offset_, window_, piece_bytes_);
      }));
  const bool durable =
      std::all_of(parts.begin(), parts.end(), [](const WritePart& part) { return part.durable; });
  if (durable) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t verifier, session_->Await<uint64_t>([this](Done<uint64_t> done) {
    session_->protocol()->Commit(file_.handle, std::move(done));
  }));
  for (const WritePart& part : parts) {
    if (!part.durable && part.verifier != verifier) return ErrnoError(ERESTART, "the NFS server");
  }
  return absl::OkStatus();
}

absl::Status FileWriter::Commit() {
  RETURN_IF_ERROR(Flush());
  SLACKER_FAILPOINT("nfs.before_name");
  const std::string base = SplitName(name_).second;
  const Session::Verdict linked = session_->AwaitOnce([&](DoneOnce done) {
    session_->protocol()->Link(file_.handle, directory_, base, std::move(done));
  });
  // The name is taken: by another writer, or by our own first attempt whose answer was lost. Either
  // is fine.
  if (!linked.status.ok() && ErrnoOf(linked.status) != EEXIST) {
    return Note(linked.status, "name");
  }
  if (!linked.status.ok()) {
    const absl::StatusOr<Node> node = Lookup(base);
    if (node.ok() && node->attributes.type != FileType::kRegular) {
      return Internal("what is called " + name_ + " is no object");
    }
  }
  SLACKER_FAILPOINT("nfs.after_name");
  const Session::Verdict removed = session_->AwaitOnce([&](DoneOnce done) {
    session_->protocol()->Remove(directory_, temporary_, std::move(done));
  });
  (void)removed;  // the object is there; a leftover is harmless
  temporary_.clear();
  session_->Forget(name_);
  return absl::OkStatus();
}

absl::Status FileWriter::CommitOver() {
  RETURN_IF_ERROR(Flush());
  SLACKER_FAILPOINT("nfs.before_rename");
  const std::string base = SplitName(name_).second;
  const Session::Verdict renamed = session_->AwaitOnce([&](DoneOnce done) {
    session_->protocol()->Rename(directory_, temporary_, directory_, base, std::move(done));
  });
  SLACKER_FAILPOINT("nfs.renamed");
  session_->Forget(name_);
  if (renamed.status.ok()) {
    temporary_.clear();
    return absl::OkStatus();
  }
  // The temporary name is gone: our first attempt was carried out and its answer lost, if the
  // object is our file now.
  if (ErrnoOf(renamed.status) == ENOENT && renamed.resent) {
    temporary_.clear();
    if (IsOurs(base)) return absl::OkStatus();
    return Unavailable("replace object " + name_ +
                       ": an answer of the NFS server was lost, and another writer was faster");
  }
  return Note(renamed.status, "replace");
}

absl::StatusOr<Node> FileWriter::Lookup(const std::string& base) const {
  return session_->Await<Node>(
      [&](Done<Node> done) { session_->protocol()->Lookup(directory_, base, std::move(done)); });
}

bool FileWriter::IsOurs(const std::string& base) const {
  const absl::StatusOr<Node> node = Lookup(base);
  return node.ok() && node->attributes.file_id == file_.attributes.file_id;
}

}  // namespace slacker::nfs
