// Finds the shared libraries of a program as ld.so of glibc (or musl) would: DT_RPATH of the object
// and of those that loaded it, LD_LIBRARY_PATH, DT_RUNPATH, ld.so.cache, the default directories;
// $ORIGIN is understood, other variables are not. Thread-compatible.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/startup/elf_reader.h"
#include "backend/startup/image_files.h"
#include "backend/startup/library_cache.h"

namespace slacker {

struct FoundElf {
  ImageFiles::File file;
  ElfInfo elf;
};

class LibrarySearch {
 public:
  // `library_path`: LD_LIBRARY_PATH. `files` outlives this.
  LibrarySearch(ImageFiles* files, std::string_view library_path);

  // The libraries that `program` needs, and those that they need, in the order in which ld.so maps
  // them; those that are not found are left out, and so are more than 512. Errors: those of reading
  // the image.
  absl::StatusOr<std::vector<FoundElf>> LibrariesOf(const FoundElf& program);

  // The file at a path, if it is an ELF file. Errors: those of reading the image.
  absl::StatusOr<std::optional<FoundElf>> Open(std::string_view path);

  // Set once a library was looked for there.
  const std::optional<ImageFiles::File>& cache_file() const { return cache_file_; }

 private:
  absl::StatusOr<std::optional<FoundElf>> Find(const std::string& name, const FoundElf& program,
                                               const FoundElf& loader,
                                               const std::vector<std::string>& rpaths);
  absl::Status LoadCache();

  ImageFiles* const files_;
  const std::vector<std::string> library_path_;
  bool cache_loaded_ = false;
  std::optional<ImageFiles::File> cache_file_;
  absl::flat_hash_map<std::string, std::vector<std::string>> cache_;
};

}  // namespace slacker
