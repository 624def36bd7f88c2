// Images in a store in memory, published from tars.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "backend/memory/memory_backend.h"
#include "backend/publish/publisher.h"
#include "backend/source/layout_source.h"
#include "backend/view/image_view.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

class ViewTest : public ::testing::Test {
 protected:
  // Publishes an image of these tars, bottom first, and returns its chain ID.
  Digest AddImage(const std::vector<std::string>& tars, uint32_t chunk_size = 64 * 1024) {
    std::vector<ImageLayer> layers;
    for (const std::string& tar : tars) layers.push_back(GzipLayer(tar));
    const std::string tag = "v" + std::to_string(++images_);
    const WrittenImage image = layout_.AddImage(layers, tag);
    auto source = OpenLayoutSource(layout_.directory(), tag);
    PublishOptions options;
    options.platform = {"linux", "amd64", ""};
    options.chunk_size = chunk_size;
    EXPECT_OK(source);
    EXPECT_OK(Publish(**source, store_, options, nullptr));
    return image.chain_id;
  }

  std::unique_ptr<ImageView> Open(const Digest& chain) {
    auto view = ImageView::Open(&reader_, chain);
    EXPECT_OK(view);
    return *std::move(view);
  }

  const TempDir dir_;
  OciLayout layout_{dir_ / "layout"};
  int images_ = 0;
  const std::shared_ptr<Backend> store_ = std::make_shared<MemoryBackend>();
  const StoreReader reader_{store_};
};

}  // namespace slacker::testing
