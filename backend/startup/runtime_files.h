// What the runtimes of interpreted languages read whenever they start, by where their program is:
// Python its first modules, Java its classes. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slacker {

struct RuntimeFile {
  std::vector<std::string> paths;  // the first that there is
  uint64_t bytes = 0;              // from its beginning; a library's mapped parts count instead
};

// For a program at this path, links resolved; nothing for programs that are not known here.
std::vector<RuntimeFile> RuntimeFilesOf(std::string_view program);

}  // namespace slacker
