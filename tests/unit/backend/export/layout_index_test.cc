#include "backend/export/layout_index.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

Descriptor Manifest(std::string_view content) {
  return {
      "application/vnd.oci.image.manifest.v1+json", Sha256::Of(content), content.size(), {}, {}};
}

const Platform kPlatform = {"linux", "arm", "v7"};

TEST(LayoutIndexTest, AnImageIsListedWithItsNamesAndPlatform) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       AddToIndex("", Manifest("m"), {"1", "docker.io/library/x:1", kPlatform}));
  const auto index = nlohmann::json::parse(text);
  ASSERT_EQ(index["manifests"].size(), 1u);
  const auto& entry = index["manifests"][0];
  EXPECT_EQ(entry["digest"], Sha256::Of("m").ToString());
  EXPECT_EQ(entry["annotations"]["org.opencontainers.image.ref.name"], "1");
  EXPECT_EQ(entry["annotations"]["io.containerd.image.name"], "docker.io/library/x:1");
  EXPECT_EQ(entry["platform"]["variant"], "v7");
}

TEST(LayoutIndexTest, OnlyAnImageOfTheSameTagIsReplaced) {
  ASSERT_OK_AND_ASSIGN(std::string text, AddToIndex("", Manifest("a"), {"1", "", kPlatform}));
  ASSERT_OK_AND_ASSIGN(text, AddToIndex(text, Manifest("b"), {"2", "", kPlatform}));
  ASSERT_OK_AND_ASSIGN(text, AddToIndex(text, Manifest("c"), {"1", "", kPlatform}));
  ASSERT_OK_AND_ASSIGN(text, AddToIndex(text, Manifest("d"), {"", "", kPlatform}));
  ASSERT_OK_AND_ASSIGN(text, AddToIndex(text, Manifest("d"), {"", "", kPlatform}));
  const auto index = nlohmann::json::parse(text);
  std::vector<std::string> digests;
  for (const auto& entry : index["manifests"]) digests.push_back(entry["digest"]);
  EXPECT_EQ(digests,
            (std::vector<std::string>{Sha256::Of("b").ToString(), Sha256::Of("c").ToString(),
                                      Sha256::Of("d").ToString()}));
}

TEST(LayoutIndexTest, WhatIsNoIndexIsNotOverwritten) {
  for (const char* text : {"x", "[]", "{}", R"({"manifests":1})"}) {
    EXPECT_THAT(AddToIndex(text, Manifest("a"), {"1", "", kPlatform}),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST(LayoutIndexTest, AnIndexThatIsNestedWithoutAnEndIsNotFollowed) {
  constexpr size_t kDepth = 1'000'000;
  const std::string deep =
      R"({"manifests":[],"x":)" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}";
  EXPECT_THAT(AddToIndex(deep, Manifest("a"), {"1", "", kPlatform}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace slacker
