#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <unordered_set>
#include <utility>

#include "backend/base/status.h"
#include "backend/export/image_sink.h"
#include "backend/export/layout_index.h"

namespace slacker {
namespace {

class ArchiveSink final : public ImageSink {
 public:
  ArchiveSink(std::string path, std::string aside, UniqueFd file, ImageNames names)
      : path_(std::move(path)),
        aside_(std::move(aside)),
        file_(std::move(file)),
        names_(std::move(names)),
        archive_(archive_write_new()) {}

  ~ArchiveSink() override {
    (void)archive_write_free(archive_);
    if (!done_) (void)unlink(aside_.c_str());  // the next export has another name for it
  }

  absl::Status Open() {
    RETURN_IF_ERROR(Check(archive_write_set_format_pax_restricted(archive_)));
    RETURN_IF_ERROR(Check(archive_write_open_fd(archive_, file_.get())));
    return PutText("oci-layout", kLayoutFile);
  }

  absl::Status PutBlob(const Descriptor& blob, const Spool& content) override {
    if (!put_.insert(blob.digest).second) return absl::OkStatus();
    RETURN_IF_ERROR(Begin(LayoutBlobPath(blob.digest), content.size_bytes()));
    return content.ReadAll([this](std::string_view bytes) { return Write(bytes); });
  }

  absl::Status PutManifest(const Descriptor& manifest, std::string_view content) override {
    RETURN_IF_ERROR(PutText(LayoutBlobPath(manifest.digest), content));
    ASSIGN_OR_RETURN(const std::string index, AddToIndex("", manifest, names_));
    RETURN_IF_ERROR(PutText("index.json", index));
    RETURN_IF_ERROR(Check(archive_write_close(archive_)));
    if (fsync(file_.get()) != 0) return ErrnoError(errno, "fsync " + aside_);
    if (rename(aside_.c_str(), path_.c_str()) != 0) return ErrnoError(errno, "rename to " + path_);
    done_ = true;
    return absl::OkStatus();
  }

 private:
  absl::Status Check(int code) const {
    if (code == ARCHIVE_OK) return absl::OkStatus();
    const int error = archive_errno(archive_);
    const char* text = archive_error_string(archive_);
    const std::string what = aside_ + ": " + (text == nullptr ? "cannot be written" : text);
    return error > 0 ? ErrnoError(error, what) : Internal(what);
  }

  absl::Status Begin(const std::string& name, uint64_t size_bytes) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 0, 0);  // equal images give equal archives
    archive_entry_set_size(entry, static_cast<la_int64_t>(size_bytes));
    const int code = archive_write_header(archive_, entry);
    archive_entry_free(entry);
    return Check(code);
  }

  absl::Status Write(std::string_view bytes) {
    const la_ssize_t done = archive_write_data(archive_, bytes.data(), bytes.size());
    if (done == static_cast<la_ssize_t>(bytes.size())) return absl::OkStatus();
    return Check(done < 0 ? static_cast<int>(done) : ARCHIVE_FATAL);
  }

  absl::Status PutText(const std::string& name, std::string_view text) {
    RETURN_IF_ERROR(Begin(name, text.size()));
    return Write(text);
  }

  const std::string path_;
  const std::string aside_;
  const UniqueFd file_;
  const ImageNames names_;
  archive* const archive_;
  std::unordered_set<Digest> put_;
  bool done_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSink>> OpenArchiveSink(const std::string& path,
                                                           const ImageNames& names) {
  std::string aside = path + ".new-XXXXXX";
  UniqueFd file(mkostemp(aside.data(), O_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, "make " + aside);
  const mode_t mask = umask(0);
  (void)umask(mask);
  if (fchmod(file.get(), 0666 & ~mask) != 0) return ErrnoError(errno, "chmod " + aside);
  auto sink = std::make_unique<ArchiveSink>(path, std::move(aside), std::move(file), names);
  RETURN_IF_ERROR(sink->Open());
  return std::unique_ptr<ImageSink>(std::move(sink));
}

}  // namespace slacker
