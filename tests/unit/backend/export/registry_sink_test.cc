// Pushing, to Debian's docker-registry and to a server that misbehaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "backend/export/image_export.h"
#include "backend/registry/registry_source.h"
#include "tests/support/http_server.h"
#include "tests/support/registry_process.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using testing::HttpAnswer;
using testing::HttpRequest;
using testing::HttpServer;
using testing::PublishLayout;
using testing::StatusIs;

class RegistrySinkTest : public ::testing::Test {
 protected:
  RegistrySinkTest() { options_.retry_delay = std::chrono::milliseconds(1); }

  ImageEntry PublishSample() {
    written_ = layout_.AddImage(testing::SampleLayers());
    auto published = PublishLayout(layout_, store_);
    EXPECT_OK(published);
    return published->entry;
  }
  absl::StatusOr<ExportedImage> Push(const ImageEntry& entry, const std::string& reference) {
    auto parsed = ParseImageReference(reference);
    EXPECT_OK(parsed);
    auto sink = OpenRegistrySink(*parsed, options_);
    if (!sink.ok()) return sink.status();
    return ExportImage(reader_, entry, **sink, nullptr);
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::shared_ptr<Backend> store_ = std::make_shared<MemoryBackend>();
  const StoreReader reader_{store_};
  testing::WrittenImage written_;
  RegistryOptions options_;
};

TEST_F(RegistrySinkTest, WhatWasPushedIsTheSameImage) {
  const testing::RegistryProcess registry(dir_ / "registry");
  ASSERT_NE(registry.host(), "");
  const ImageEntry entry = PublishSample();
  const std::string reference = registry.host() + "/team/app:v1";
  ASSERT_OK_AND_ASSIGN(const ExportedImage pushed, Push(entry, reference));
  ASSERT_OK_AND_ASSIGN(const ImageReference parsed, ParseImageReference(reference));
  ASSERT_OK_AND_ASSIGN(const auto source, OpenRegistrySource(parsed, options_));
  PublishOptions options;
  options.platform = testing::kTestPlatform;
  ASSERT_OK_AND_ASSIGN(const PublishedImage again,
                       Publish(*source, std::make_shared<MemoryBackend>(), options, nullptr));
  EXPECT_EQ(again.entry.chain_id, written_.chain_id);
  EXPECT_EQ(again.entry.config_json, entry.config_json);
  EXPECT_EQ(again.entry.manifest_digest, pushed.manifest.digest.ToString());
  ASSERT_OK(Push(entry, reference));  // once more: everything is there
}

TEST_F(RegistrySinkTest, ARefusalHasTheRegistrysWords) {
  const HttpServer server([](const HttpRequest&) {
    return HttpAnswer{.status = 403, .body = R"({"errors":[{"message":"not yours"}]})"};
  });
  const auto pushed = Push(PublishSample(), server.Host() + "/app:v1");
  EXPECT_THAT(pushed, StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(RegistrySinkTest, PassingFailuresAreTriedAgainAndThenTold) {
  options_.max_tries = 3;
  HttpServer server([](const HttpRequest&) { return HttpAnswer{.status = 503}; });
  EXPECT_THAT(Push(PublishSample(), server.Host() + "/app:v1"),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(server.Requests().size(), 3u);
}

TEST_F(RegistrySinkTest, ADigestIsNoTarget) {
  EXPECT_THAT(Push(PublishSample(), "127.0.0.1:1/app@" + Sha256::Of("x").ToString()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace slacker
