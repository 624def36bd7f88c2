// What registries of tests serve.
#pragma once

#include <string_view>

#include "backend/base/digest.h"
#include "backend/source/oci_documents.h"

namespace slacker {

inline constexpr char kManifest[] = R"({"config":{},"layers":[]})";

inline Descriptor BlobOf(std::string_view content) {
  Descriptor descriptor;
  descriptor.digest = Sha256::Of(content);
  descriptor.size_bytes = content.size();
  return descriptor;
}

}  // namespace slacker
