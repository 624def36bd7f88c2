#include "cmd/slackerd/root_directory.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "absl/status/statusor.h"
#include "backend/base/status.h"
#include "backend/os/mount.h"

namespace slacker {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLoopback = "loopback:";
constexpr std::string_view kLostAndFound = "lost+found";
constexpr std::string_view kFirstDirectories[] = {"blobs",   "boot",      "images", "publish",
                                                  "records", "snapshots", "traces"};
constexpr int kMaxLinks = 40;  // as in Linux

// Whether `path` is `directory` or below it. Both absolute, without "." and "..".
bool IsWithin(const fs::path& path, const fs::path& directory) {
  return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first ==
         directory.end();
}

// As realpath(3), but not into file systems that `root` is not on, which may hang: by a link in those
// neither lies within the other. Missing parts are taken as they are.
fs::path Resolve(const fs::path& path, const fs::path& root,
                 const std::vector<MountEntry>& mounts) {
  std::deque<fs::path> left(path.begin(), path.end());
  fs::path at = "/";
  bool foreign = false;
  for (int links = 0; !left.empty();) {
    const fs::path part = left.front();
    left.pop_front();
    if (part.is_absolute()) at = "/";
    if (part == "..") at = at.parent_path();
    if (part.empty() || part == "." || part == ".." || part.is_absolute()) continue;
    at /= part;
    foreign = foreign || std::any_of(mounts.begin(), mounts.end(), [&](const MountEntry& mount) {
                return mount.mount_point == at && !IsWithin(root, at);
              });
    if (foreign) continue;
    std::error_code no_link;
    const fs::path target = fs::read_symlink(at, no_link);
    if (no_link || ++links > kMaxLinks) continue;
    at = at.parent_path();
    left.insert(left.begin(), target.begin(), target.end());
  }
  return at;
}

absl::Status CheckApart(const fs::path& root, const std::vector<std::string>& store_urls) {
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ListMounts());
  for (const std::string& url : store_urls) {
    if (!url.starts_with(kLoopback)) continue;
    const fs::path store = Resolve(url.substr(kLoopback.size()), root, mounts);
    if (!IsWithin(store, root) && !IsWithin(root, store)) continue;
    return FailedPrecondition("the root " + root.string() + " and the store " + url +
                              " are the same directory, or one lies within the other");
  }
  return absl::OkStatus();
}

// With links followed: a part of a root may lie on another disk.
bool IsEmptyDirectory(const fs::path& path) {
  std::error_code error;
  for (fs::directory_iterator it(path, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    if (it->path().filename() != kLostAndFound) return false;
  }
  return !error;
}

bool IsOfAFirstStart(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename();
  std::error_code error;
  if (name == kLostAndFound) return entry.is_directory(error);
  if (name.starts_with("slacker.db-")) return entry.is_regular_file(error);
  if (name == "lock") return entry.is_regular_file(error) && entry.file_size(error) == 0;
  return std::find(std::begin(kFirstDirectories), std::end(kFirstDirectories), name) !=
             std::end(kFirstDirectories) &&
         IsEmptyDirectory(entry.path());
}

absl::Status CheckOurs(const fs::path& root) {
  std::error_code error;
  if (fs::symlink_status(root / "slacker.db", error).type() != fs::file_type::not_found) {
    return absl::OkStatus();
  }
  fs::directory_iterator it(root, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    if (IsOfAFirstStart(*it)) continue;
    return FailedPrecondition(root.string() + " holds other files (" +
                              it->path().filename().string() +
                              ") and no slacker.db: it is no root of slackerd");
  }
  return error ? ErrnoError(error.value(), "read " + root.string()) : absl::OkStatus();
}

}  // namespace

absl::Status PrepareRoot(const std::string& root, const std::vector<std::string>& store_urls) {
  std::error_code error;
  // Missing parts stay as they are.
  fs::path canonical = fs::weakly_canonical(root, error);
  if (error) return ErrnoError(error.value(), "look at " + root);
  if (!canonical.has_filename()) canonical = canonical.parent_path();  // "/a/"
  if (canonical == "/") return FailedPrecondition("the root must not be /");
  RETURN_IF_ERROR(CheckApart(canonical, store_urls));
  if (fs::exists(canonical, error)) return CheckOurs(canonical);
  if (!error && fs::create_directories(canonical, error)) {
    fs::permissions(canonical, fs::perms::owner_all, error);
  }
  return error ? ErrnoError(error.value(), "mkdir " + root) : absl::OkStatus();
}

}  // namespace slacker
