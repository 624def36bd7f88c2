// What an image runs on: OCI image specification, "Image Index", platform.
#pragma once

#include <string>
#include <string_view>

namespace slacker {

struct Platform {
  std::string os, architecture, variant;
};

// The variant that an architecture has where none is said ("v8" for arm64); "" = it has none.
std::string_view DefaultVariant(std::string_view architecture);

}  // namespace slacker
