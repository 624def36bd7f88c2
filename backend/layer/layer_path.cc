#include "backend/layer/layer_path.h"

#include <algorithm>

namespace slacker {

std::string_view NextComponent(std::string_view path, size_t* pos) {
  const size_t begin = std::min(path.find_first_not_of('/', *pos), path.size());
  const size_t end = std::min(path.find('/', begin), path.size());
  *pos = end;
  return path.substr(begin, end - begin);
}

std::string CleanPath(std::string_view path) {
  std::string clean;
  bool rooted = path.starts_with('/');
  size_t pos = 0;
  for (auto part = NextComponent(path, &pos); !part.empty(); part = NextComponent(path, &pos)) {
    if (part == ".") continue;
    if (part == "..") {
      rooted = rooted || clean.empty();
      const size_t slash = clean.rfind('/');
      clean.resize(slash == std::string::npos ? 0 : slash);
      continue;
    }
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return rooted ? "/" + clean : clean;
}

std::pair<std::string_view, std::string_view> SplitPath(std::string_view path) {
  const size_t parent = path.rfind('/') + 1;
  return {path.substr(0, parent), path.substr(parent)};
}

}  // namespace slacker
