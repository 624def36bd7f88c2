#include "backend/source/oci_documents.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

const std::string kOciManifest = "application/vnd.oci.image.manifest.v1+json";
const std::string kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";

std::string DescriptorText(const std::string& type) {
  return R"({"mediaType":")" + type + R"(","size":3,"digest":"sha256:)" + std::string(64, 'a') +
         R"("})";
}

TEST(ClassifyDocumentTest, KnowsIndexesAndManifests) {
  EXPECT_EQ(*ClassifyDocument(R"({"manifests":[]})", ""), DocumentKind::kIndex);
  EXPECT_EQ(*ClassifyDocument(R"({"manifests":[]})", kDockerList + "; charset=utf-8"),
            DocumentKind::kIndex);
  EXPECT_EQ(*ClassifyDocument(R"({"config":{},"layers":[]})", "text/plain"),
            DocumentKind::kManifest);
}

TEST(ClassifyDocumentTest, WhatIsAmbiguousOrNoImageIsRefused) {
  for (const auto& [document, type] : std::vector<std::pair<std::string, std::string>>{
           {"", ""},
           {"[]", ""},
           {"{}", ""},
           {R"({"manifests":[],"layers":[]})", ""},
           {R"({"manifests":[]})", kOciManifest},
           {R"({"layers":[],"mediaType":")" + kDockerList + R"("})", kOciManifest},
           {R"({"layers":[],"mediaType":"application/x"})", ""},
           {R"({"schemaVersion":1,"fsLayers":[]})", ""}}) {
    EXPECT_THAT(ClassifyDocument(document, type), StatusIs(absl::StatusCode::kInvalidArgument))
        << document;
  }
}

TEST(ParseManifestTest, WhatIsNoContainerImageIsRefused) {
  const std::string config = DescriptorText("application/vnd.oci.image.config.v1+json");
  const std::string layer = DescriptorText("application/vnd.oci.image.layer.v1.tar");
  EXPECT_OK(ParseManifest(R"({"config":)" + config + R"(,"layers":[)" + layer + "]}"));
  std::string many = layer;
  for (size_t i = 0; i < kMaxImageLayers; ++i) many += "," + layer;
  for (const std::string& document : {
           R"({"config":)" + config + R"(,"layers":[]})",
           R"({"config":)" + config + "}",
           R"({"config":)" + config + R"(,"layers":[1]})",
           R"({"config":)" + config + R"(,"layers":[)" + many + "]}",
           R"({"config":)" + DescriptorText("application/vnd.cncf.helm.config.v1+json") +
               R"(,"layers":[)" + layer + "]}",
           R"({"layers":[)" + layer + "]}",
           R"({"config":{"digest":"sha256:x"},"layers":[)" + layer + "]}",
       }) {
    EXPECT_THAT(ParseManifest(document), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(ParseManifestTest, BadSizesAreRefused) {
  for (const char* size : {"-1", "1.5", "\"1\"", "null", "99999999999999999999999"}) {
    const std::string config =
        R"({"mediaType":"application/vnd.oci.image.config.v1+json","size":)" + std::string(size) +
        R"(,"digest":"sha256:)" + std::string(64, 'a') + R"("})";
    EXPECT_THAT(ParseManifest(R"({"config":)" + config + R"(,"layers":[]})"),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(ParseConfigTest, MissingOrMalformedDiffIdsAreRefused) {
  for (const char* document :
       {"", "{}", R"({"rootfs":1})", R"({"rootfs":{}})", R"({"rootfs":{"diff_ids":1}})",
        R"({"rootfs":{"diff_ids":[1]}})", R"({"rootfs":{"diff_ids":["sha512:aa"]}})"}) {
    EXPECT_THAT(ParseConfig(document), StatusIs(absl::StatusCode::kInvalidArgument)) << document;
  }
}

TEST(ParseConfigTest, NestingWithoutEndIsAnError) {
  EXPECT_THAT(ParseConfig(std::string(1'000'000, '[')),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CheckLayerTypeTest, KnownTypesPassOthersAreNamed) {
  auto check = [](const std::string& type) {
    Descriptor descriptor;
    descriptor.media_type = type;
    return CheckLayerType(descriptor);
  };
  for (const char* type :
       {"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip"}) {
    EXPECT_OK(check(type));
  }
  for (const char* type : {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                           "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}) {
    EXPECT_THAT(check(type), StatusIs(absl::StatusCode::kInvalidArgument, "foreign"));
  }
  EXPECT_THAT(check("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
              StatusIs(absl::StatusCode::kInvalidArgument, "encrypted"));
  EXPECT_THAT(check("application/vnd.in-toto+json"),
              StatusIs(absl::StatusCode::kInvalidArgument, "unknown type"));
}

TEST(ManifestTypeTest, IsItsOwnOrElseTheOneThatNeedsNotBeSaid) {
  EXPECT_EQ(
      ManifestTypeOf(R"({"mediaType":"application/vnd.docker.distribution.manifest.v2+json"})"),
      "application/vnd.docker.distribution.manifest.v2+json");
  for (const std::string_view without : {"{}", R"({"mediaType":1})", "[]", "no JSON"}) {
    EXPECT_EQ(ManifestTypeOf(without), "application/vnd.oci.image.manifest.v1+json") << without;
  }
}

}  // namespace
}  // namespace slacker
