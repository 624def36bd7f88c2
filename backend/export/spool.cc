#include "backend/export/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr size_t kPieceBytes = 256 << 10;

absl::Status WriteAt(int file, uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "write a temporary file");
    }
    bytes.remove_prefix(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Spool> Spool::Open() {
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::temp_directory_path(error);
  if (error) return ErrnoError(error.value(), "the directory for temporary files");
  std::string path = directory / "slacker-export-XXXXXX";
  UniqueFd file(mkostemp(path.data(), O_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, "make " + path);
  if (unlink(path.c_str()) != 0) return ErrnoError(errno, "unlink " + path);
  return Spool(std::move(file));
}

absl::StatusOr<Spool> Spool::Of(std::string_view bytes) {
  ASSIGN_OR_RETURN(Spool spool, Open());
  RETURN_IF_ERROR(spool.Append(bytes));
  return spool;
}

absl::Status Spool::Append(std::string_view bytes) {
  RETURN_IF_ERROR(WriteAt(file_.get(), size_bytes_, bytes));
  size_bytes_ += bytes.size();
  return absl::OkStatus();
}

absl::Status Spool::Overwrite(uint64_t offset, std::string_view bytes) {
  return WriteAt(file_.get(), offset, bytes);
}

absl::Status Spool::Measure() {
  struct stat info {};
  if (fstat(file_.get(), &info) != 0) return ErrnoError(errno, "look at a temporary file");
  size_bytes_ = static_cast<uint64_t>(info.st_size);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Spool::Read(uint64_t offset) const {
  if (offset >= size_bytes_) return std::string();
  std::string bytes(std::min<uint64_t>(kPieceBytes, size_bytes_ - offset), '\0');
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t done =
        pread(file_.get(), bytes.data() + at, bytes.size() - at, static_cast<off_t>(offset + at));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return ErrnoError(errno, "read a temporary file");
    if (done == 0) return DataLoss("a temporary file became shorter");
    at += static_cast<size_t>(done);
  }
  return bytes;
}

absl::Status Spool::ReadAll(const std::function<absl::Status(std::string_view)>& sink) const {
  for (uint64_t at = 0; at < size_bytes_;) {
    ASSIGN_OR_RETURN(const std::string bytes, Read(at));
    RETURN_IF_ERROR(sink(bytes));
    at += bytes.size();
  }
  return absl::OkStatus();
}

}  // namespace slacker
