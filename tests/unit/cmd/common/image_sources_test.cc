#include "cmd/common/image_sources.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

TEST(OpenImageSourceTest, UnknownKindsOfSourcesAreRefused) {
  for (const char* spec : {"", "nginx", "http://x/y", "docker:nginx", "docker://", "oci:",
                           "oci-archive:", "docker-archive:", "oci-archiv:x", "containerd:"}) {
    EXPECT_THAT(OpenImageSource(spec, {}), StatusIs(absl::StatusCode::kInvalidArgument)) << spec;
  }
  EXPECT_THAT(OpenImageSource("nginx", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "docker-archive:FILE[:NAME] and"));
}

}  // namespace
}  // namespace slacker
