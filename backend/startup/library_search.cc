#include "backend/startup/library_search.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr size_t kMaxLibraries = 512;
constexpr size_t kMaxDirectories = 256;
constexpr char kCachePath[] = "/etc/ld.so.cache";
// Of glibc (Debian's, with its multiarch ones) and of musl.
constexpr std::string_view kDefaultDirectories[] = {"/lib/x86_64-linux-gnu",
                                                    "/usr/lib/x86_64-linux-gnu",
                                                    "/lib/aarch64-linux-gnu",
                                                    "/usr/lib/aarch64-linux-gnu",
                                                    "/lib64",
                                                    "/usr/lib64",
                                                    "/lib",
                                                    "/usr/local/lib",
                                                    "/usr/lib"};

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

void Replace(std::string* text, std::string_view what, const std::string& with) {
  for (size_t at = text->find(what); at != std::string::npos; at = text->find(what, at)) {
    text->replace(at, what.size(), with);
    at += with.size();
  }
}

// The absolute directories of a list with colons; `origin`: what $ORIGIN means there.
std::vector<std::string> Directories(std::string_view list, const std::string& origin) {
  std::vector<std::string> directories;
  while (!list.empty() && directories.size() < kMaxDirectories) {
    const size_t end = std::min(list.find(':'), list.size());
    std::string directory(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    Replace(&directory, "$ORIGIN", origin);
    Replace(&directory, "${ORIGIN}", origin);
    if (directory.starts_with('/') && directory.find('$') == std::string::npos) {
      directories.push_back(std::move(directory));
    }
  }
  return directories;
}

// A file that is no ELF file, or a malformed one, is none; other errors are errors.
bool IsNoElf(const absl::Status& status) { return absl::IsInvalidArgument(status); }

}  // namespace

LibrarySearch::LibrarySearch(ImageFiles* files, std::string_view library_path)
    : files_(files), library_path_(Directories(library_path, "/")) {}

absl::StatusOr<std::optional<FoundElf>> LibrarySearch::Open(std::string_view path) {
  const std::optional<ImageFiles::File> file = files_->Find(path);
  if (!file.has_value()) return std::nullopt;
  auto elf = ReadElf(
      [this, &file](uint64_t offset, uint64_t size) { return files_->Read(*file, offset, size); });
  if (IsNoElf(elf.status())) return std::nullopt;
  RETURN_IF_ERROR(elf.status());
  return FoundElf{*file, *std::move(elf)};
}

absl::Status LibrarySearch::LoadCache() {
  if (std::exchange(cache_loaded_, true)) return absl::OkStatus();
  cache_file_ = files_->Find(kCachePath);
  if (!cache_file_.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string bytes, files_->Read(*cache_file_, 0, kMaxLibraryCacheBytes));
  cache_ = ReadLibraryCache(bytes);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<FoundElf>> LibrarySearch::Find(
    const std::string& name, const FoundElf& program, const FoundElf& loader,
    const std::vector<std::string>& rpaths) {
  std::vector<std::string> candidates;
  const auto add = [&](const std::vector<std::string>& directories) {
    for (const std::string& directory : directories) candidates.push_back(directory + "/" + name);
  };
  if (name.find('/') != std::string::npos) {
    candidates.push_back(name);
  } else {
    if (loader.elf.runpath.empty()) add(rpaths);
    add(library_path_);
    add(Directories(loader.elf.runpath, DirectoryOf(loader.file.path)));
    RETURN_IF_ERROR(LoadCache());
    if (const auto cached = cache_.find(name); cached != cache_.end()) {
      candidates.insert(candidates.end(), cached->second.begin(), cached->second.end());
    }
    for (const std::string_view directory : kDefaultDirectories) {
      candidates.push_back(std::string(directory) + "/" + name);
    }
  }
  for (const std::string& candidate : candidates) {
    ASSIGN_OR_RETURN(std::optional<FoundElf> found, Open(candidate));
    if (found.has_value() && found->elf.IsCompatible(program.elf)) return found;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<FoundElf>> LibrarySearch::LibrariesOf(const FoundElf& program) {
  // What is looked through, breadth first as ld.so does, with the DT_RPATHs that count for it.
  struct Object {
    FoundElf found;
    std::vector<std::string> rpaths;
  };
  const auto rpaths_of = [](const FoundElf& found, const std::vector<std::string>& above) {
    std::vector<std::string> all;
    if (found.elf.runpath.empty()) all = Directories(found.elf.rpath, DirectoryOf(found.file.path));
    all.insert(all.end(), above.begin(), above.end());
    if (all.size() > kMaxDirectories) all.resize(kMaxDirectories);
    return all;
  };
  std::vector<Object> objects = {{program, rpaths_of(program, {})}};
  absl::flat_hash_set<std::string> names;
  absl::flat_hash_set<std::string> paths = {program.file.path};
  for (size_t i = 0; i < objects.size(); ++i) {
    for (const std::string& name : std::vector<std::string>(objects[i].found.elf.needed)) {
      if (objects.size() > kMaxLibraries || !names.insert(name).second) continue;
      ASSIGN_OR_RETURN(const std::optional<FoundElf> found,
                       Find(name, program, objects[i].found, objects[i].rpaths));
      if (!found.has_value() || !paths.insert(found->file.path).second) continue;
      objects.push_back({*found, rpaths_of(*found, objects[i].rpaths)});
    }
  }
  std::vector<FoundElf> libraries;
  for (size_t i = 1; i < objects.size(); ++i) libraries.push_back(std::move(objects[i].found));
  return libraries;
}

}  // namespace slacker
