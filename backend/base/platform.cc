#include "backend/base/platform.h"

namespace slacker {

std::string_view DefaultVariant(std::string_view architecture) {
  if (architecture == "arm64") return "v8";
  if (architecture == "arm") return "v7";
  if (architecture == "amd64") return "v1";
  return "";
}

}  // namespace slacker
