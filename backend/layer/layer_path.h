// Paths as entries of tars have them: bytes, cleaned as text. Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace slacker {

// The next component from `*pos` on; empty at the end.
std::string_view NextComponent(std::string_view path, size_t* pos);

// Without ".", "..", empty components and a slash at the end; ".." stays at the root. Begins with a
// slash if `path` does, or leads above its beginning.
std::string CleanPath(std::string_view path);

// Parent path (with the slash) and last component.
std::pair<std::string_view, std::string_view> SplitPath(std::string_view path);

}  // namespace slacker
