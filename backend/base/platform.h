// What an image runs on: OCI image specification, "Image Index", platform.
#pragma once

#include <string>

namespace slacker {

struct Platform {
  std::string os, architecture, variant;
};

}  // namespace slacker
