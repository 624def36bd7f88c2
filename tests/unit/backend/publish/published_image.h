// What the tests of publishing and verifying share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "backend/memory/memory_backend.h"
#include "backend/publish/publisher.h"
#include "backend/source/layout_source.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

inline const Platform kTestPlatform = {"linux", "amd64", ""};

inline constexpr size_t kSampleToolBytes = 320'000;  // five chunks

// Three layers, packed in three ways, with whiteouts and content of many chunks.
inline std::vector<std::string> SampleTars() {
  return {
      TarBuilder()
          .Directory("bin")
          .File("bin/tool", RandomBytes(kSampleToolBytes, 1), 0755)
          .File("gone", "old")
          .File("zeros", std::string(300'000, '\0'))
          .End(),
      TarBuilder().File(".wh.gone", "").File("bin/other", RandomBytes(100'000, 2)).End(),
      TarBuilder().Directory("empty").End(),
  };
}

inline std::vector<ImageLayer> SampleLayers() {
  const std::vector<std::string> tars = SampleTars();
  return {GzipLayer(tars[0]), ZstdLayer(tars[1]), PlainLayer(tars[2])};
}

// Publishes oci:<layout>[:tag], for the readers of `repository` alone if it is not "".
inline absl::StatusOr<slacker::PublishedImage> PublishLayout(
    const OciLayout& layout, const std::shared_ptr<Backend>& store, const std::string& tag = "",
    const Platform& platform = kTestPlatform, const std::string& repository = "") {
  auto source = OpenLayoutSource(layout.directory(), tag);
  if (!source.ok()) return source.status();
  PublishOptions options;
  options.platform = platform;
  options.private_repository = repository;
  return Publish(**source, store, options, nullptr);
}

}  // namespace slacker::testing
