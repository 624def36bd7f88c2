// A new object of the loopback backend: a temporary file that gets its name at the end.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/unique_fd.h"

namespace slacker::loopback {

// Thread-compatible.
class FileWriter final : public ObjectWriter {
 public:
  // REQUIRES: the directory of `path` is there.
  static absl::StatusOr<std::unique_ptr<FileWriter>> Open(const std::string& path);
  ~FileWriter() override;

  absl::Status Append(std::string_view data) override;
  // Leaves an object that is there as it is.
  absl::Status Commit() override;
  // Takes the place of an object that is there.
  absl::Status CommitOver();

 private:
  FileWriter(UniqueFd fd, std::string temporary, std::string path)
      : fd_(std::move(fd)), temporary_(std::move(temporary)), path_(std::move(path)) {}
  absl::Status Flush();

  UniqueFd fd_;
  std::string temporary_;  // "" once it is gone
  const std::string path_;
};

}  // namespace slacker::loopback
