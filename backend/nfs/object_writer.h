// A new object of the NFS backend: a temporary file that gets its name at the end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/session.h"

namespace slacker::nfs {

// Data is gathered into windows of kWindowBytes; a window is written in pieces, all at once and
// unstable, then committed. It is kept until the server has said that it is durable: a server that
// restarted in between (its verifier changed) gets it again.
//
// Thread-compatible. Blocks.
class FileWriter final : public ObjectWriter {
 public:
  static constexpr size_t kWindowBytes = 8 << 20;

  // Makes the object's directory, too. `session` outlives the writer.
  static absl::StatusOr<std::unique_ptr<FileWriter>> Open(Session* session, std::string_view name);
  ~FileWriter() override;

  absl::Status Append(std::string_view data) override;
  // Leaves an object that is there as it is.
  absl::Status Commit() override;
  // Takes the place of an object that is there.
  absl::Status CommitOver();

 private:
  FileWriter(Session* session, std::string name, Handle directory, std::string temporary,
             Node file);
  absl::Status Flush();
  // One attempt to make the window durable; UNAVAILABLE when the server lost some of it.
  absl::Status WriteWindow();
  // Writes data at an offset until all of it is taken.
  absl::StatusOr<std::vector<WritePart>> WritePieces();
  absl::StatusOr<Node> Lookup(const std::string& base) const;
  bool IsOurs(const std::string& base) const;
  // What a method returns; remembers that the server is away.
  absl::Status Note(absl::Status status, std::string_view what);

  Session* const session_;
  const std::string name_;
  const Handle directory_;
  std::string temporary_;  // "" once it is gone
  const Node file_;
  uint32_t piece_bytes_ = 0;
  std::string window_;
  uint64_t offset_ = 0;  // of the window
  bool server_away_ = false;
};

}  // namespace slacker::nfs
