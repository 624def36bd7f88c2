#include "cmd/common/containerd_source.h"

#include <gtest/gtest.h>

#include <atomic>

#include "backend/source/verifying_source.h"
#include "tests/support/fake_containerd.h"
#include "tests/support/http_server.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::FakeContainerd;
using testing::StatusIs;

class ContainerdSourceTest : public ::testing::Test {
 protected:
  ContainerdSourceTest() {
    testing::OciLayout layout(dir_ / "layout");
    image_ = layout.AddImage({testing::GzipLayer(tar_)}, "v1");
    for (const Digest& digest : {image_.manifest, image_.config, layer_}) {
      containerd_.blobs[digest.ToString()] = testing::ReadFileOrDie(layout.BlobPath(digest));
    }
    Name("docker.io/library/app:v1");
  }

  void Name(const std::string& name) {
    testing::images::Descriptor& target = containerd_.images[name];
    target.set_media_type("application/vnd.oci.image.manifest.v1+json");
    target.set_digest(image_.manifest.ToString());
    target.set_size(static_cast<int64_t>(image_.manifest_json.size()));
  }

  auto Open(const std::string& name, const std::string& name_space = "ns") {
    ContainerdOptions options{.address = dir_ / "sock", .name_space = name_space};
    RegistryOptions registry;
    registry.hosts_directory = dir_ / "hosts";
    return OpenContainerdSource(name, options, registry);
  }
  absl::StatusOr<std::string> ReadLayer(const std::string& name = "app:v1") {
    auto source = Open(name);
    if (!source.ok()) return source.status();
    auto image = ResolveImage(**source, {"linux", "amd64", ""});
    if (!image.ok()) return image.status();
    auto blob = (*source)->OpenBlob(image->layers.at(0));
    if (!blob.ok()) return blob.status();
    return ReadAll(**blob, 64 << 20);
  }

  const testing::TempDir dir_;
  // More than one call's worth.
  const std::string tar_ =
      testing::TarBuilder().File("a", testing::RandomBytes(9'000'000, 1)).End();
  const Digest layer_ = Sha256::Of(testing::Gzip(tar_));
  testing::WrittenImage image_;
  FakeContainerd containerd_{dir_ / "sock"};
};

TEST_F(ContainerdSourceTest, AnImageIsReadByItsNameOrAShortFormOfIt) {
  for (const char* name : {"app:v1", "docker.io/library/app:v1"}) {
    ASSERT_OK_AND_ASSIGN(const std::string blob, ReadLayer(name));
    EXPECT_EQ(Sha256::Of(blob), layer_);
    EXPECT_EQ((*Open(name))->Name(), "containerd:docker.io/library/app:v1");
  }
  Name("odd name");
  EXPECT_OK(ReadLayer("odd name"));
}

TEST_F(ContainerdSourceTest, WhatIsNotThereIsNotFound) {
  EXPECT_THAT(Open("app:v2"), StatusIs(absl::StatusCode::kNotFound, "namespace ns"));
  EXPECT_THAT(Open("app:v1", "other"), StatusIs(absl::StatusCode::kNotFound, "namespace other"));
  EXPECT_THAT(Open(""), StatusIs(absl::StatusCode::kInvalidArgument));
  containerd_.blobs.erase(layer_.ToString());
  for (const char* words : {"discard_unpacked_layers", "publish the image from its registry"}) {
    EXPECT_THAT(ReadLayer(), StatusIs(absl::StatusCode::kFailedPrecondition, words));
  }
}

TEST_F(ContainerdSourceTest, NobodyListeningIsUnavailable) {
  EXPECT_THAT(OpenContainerdSource("app", {.address = dir_ / "nowhere"}, {}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(OpenContainerdSource("app", {.address = "relative"}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ContainerdSourceTest, WrongAnswersAreDataLoss) {
  const auto kLoss = absl::StatusCode::kDataLoss;
  containerd_.lost_bytes = 1;
  EXPECT_THAT(ReadLayer(), StatusIs(kLoss, "too early"));
  containerd_.lost_bytes = 0;
  containerd_.extra_bytes = 1;
  EXPECT_THAT(ReadLayer(), StatusIs(kLoss, "than was asked for"));
  containerd_.extra_bytes = 0;
  containerd_.blobs[layer_.ToString()][5] ^= 1;
  EXPECT_THAT(ReadLayer(), StatusIs(kLoss, "digest"));
  containerd_.blobs[layer_.ToString()] += "x";
  EXPECT_THAT(ReadLayer(), StatusIs(kLoss, "longer"));
  containerd_.images["docker.io/library/app:v1"].set_digest("sha256:1");
  EXPECT_THAT(ReadLayer(), StatusIs(absl::StatusCode::kInvalidArgument));
}

// containerd does not know with whose credentials it pulled.
TEST_F(ContainerdSourceTest, AnImageIsPrivateUnlessItsRegistryGivesItToAnybody) {
  std::atomic<int> status{401};
  std::atomic<bool> another{true};
  testing::HttpServer server([&](const testing::HttpRequest&) {
    return testing::HttpAnswer{.status = status,
                               .headers = {"WWW-Authenticate: Basic realm=\"x\""},
                               .body = another ? "log in" : image_.manifest_json};
  });
  const std::string name = server.Host() + "/team/app:v1";
  Name(name);
  for (const int answer : {401, 403, 404, 500, 200}) {
    status = answer;
    EXPECT_EQ((*Open(name))->PrivateRepository().value(), server.Host() + "/team/app") << answer;
  }
  another = false;
  EXPECT_EQ((*Open(name))->PrivateRepository().value(), "");
  EXPECT_EQ(server.Requests().back().path, "/v2/team/app/manifests/" + image_.manifest.ToString());
}

TEST_F(ContainerdSourceTest, AnImageWithoutARegistrysNameIsNotGrantedUnasked) {
  Name("odd name");
  EXPECT_THAT((*Open("odd name"))->PrivateRepository(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "--private"));
}

}  // namespace
}  // namespace slacker
