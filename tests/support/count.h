// How often something stands in a text, a log above all.
#pragma once

#include <cstddef>
#include <string>

namespace slacker::testing {

inline size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace slacker::testing
