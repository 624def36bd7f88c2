#include "cmd/common/sibling_program.h"

#include <filesystem>

#include "backend/base/status.h"

namespace slacker {

absl::StatusOr<std::string> ProgramDirectory() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return ErrnoError(error.value(), "readlink /proc/self/exe");
  return self.parent_path().string();
}

}  // namespace slacker
