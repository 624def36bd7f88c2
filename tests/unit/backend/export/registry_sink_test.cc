// Pushing, to Debian's docker-registry and to a server that misbehaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <optional>

#include "backend/export/image_export.h"
#include "backend/registry/registry_source.h"
#include "tests/support/http_server.h"
#include "tests/support/registry_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tcp_relay.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using testing::HttpAnswer;
using testing::HttpRequest;
using testing::HttpServer;
using testing::PublishLayout;
using testing::StatusIs;

// Takes uploads as a registry does, and breaks as it is told. Thread-safe.
class UploadServer {
 public:
  size_t max_body = SIZE_MAX;  // larger ones are answered with 413
  int lose_every = 0;          // of so many pieces that it takes, one answer is lost
  bool goes_back = false;      // it takes a second piece, and then has only the first one again
  int mount_status = 405;

  std::string Host() const { return server_.Host(); }
  int Count(const std::string& method, const std::string& part) {
    int count = 0;
    for (const HttpRequest& request : server_.Requests()) {
      count += request.method == method && request.path.find(part) != std::string::npos;
    }
    return count;
  }
  std::map<std::string, std::string> blobs() {
    MutexLock lock(&mutex_);
    return blobs_;
  }

 private:
  HttpAnswer Serve(const HttpRequest& request) {
    MutexLock lock(&mutex_);
    if (request.method == "HEAD") return {.status = 404};
    if (request.path.find("/manifests/") != std::string::npos) return {.status = 201};
    if (request.body.size() > max_body) return {.status = 413};
    if (request.method == "POST") {
      if (request.path.find("mount=") != std::string::npos) return {.status = mount_status};
      upload_.clear();
      return {.status = 202, .headers = {"Location: /upload/" + std::to_string(++uploads_)}};
    }
    const std::string here = "Location: /upload/" + std::to_string(uploads_) +
                             "?at=" + std::to_string(upload_.size() + request.body.size());
    if (request.method == "GET") {
      const size_t last = upload_.empty() ? 0 : upload_.size() - 1;
      return {.status = 204, .headers = {here, "Range: 0-" + std::to_string(last)}};
    }
    if (request.method == "PATCH") {
      const std::string range = request.headers.at("content-range");
      const std::string fits = std::to_string(upload_.size()) + "-" +
                               std::to_string(upload_.size() + request.body.size() - 1);
      if (goes_back && upload_.size() > request.body.size()) {
        upload_.resize(request.body.size());
        return {.status = 416};
      }
      if (range != fits) return {.status = 416};
      upload_ += request.body;
      if (lose_every > 0 && ++pieces_ % lose_every == 0) {
        return {.status = 503};  // as if something between had lost the answer
      }
      return {.status = 202, .headers = {here}};
    }
    upload_ += request.body;
    const std::string digest = request.path.substr(request.path.find("digest=") + 7);
    if (Sha256::Of(upload_).ToString() != digest) return {.status = 400};
    blobs_[digest] = upload_;
    return {.status = 201};
  }

  Mutex mutex_;
  std::string upload_ ABSL_GUARDED_BY(mutex_);
  int uploads_ ABSL_GUARDED_BY(mutex_) = 0;
  int pieces_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::string> blobs_ ABSL_GUARDED_BY(mutex_);
  HttpServer server_{[this](const HttpRequest& request) { return Serve(request); }};
};

class RegistrySinkTest : public ::testing::Test {
 protected:
  RegistrySinkTest() { options_.retry_delay = std::chrono::milliseconds(1); }

  ImageEntry PublishSample() {
    written_ = layout_.AddImage(testing::SampleLayers());
    auto published = PublishLayout(layout_, store_);
    EXPECT_OK(published);
    return published->entry;
  }
  absl::StatusOr<ExportedImage> Push(const ImageEntry& entry, const std::string& reference,
                                     const std::string& origin = "") {
    auto parsed = ParseImageReference(reference);
    EXPECT_OK(parsed);
    std::optional<ImageReference> from;
    if (!origin.empty()) from = ParseImageReference(origin).value();
    auto sink = OpenRegistrySink(*parsed, from, options_);
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

TEST_F(RegistrySinkTest, ARegistryThatAsksForALongWaitIsNotAskedAgain) {
  HttpServer server([](const HttpRequest&) {
    return HttpAnswer{.status = 429, .headers = {"Retry-After: 3600"}};
  });
  EXPECT_THAT(Push(PublishSample(), server.Host() + "/app:v1"),
              StatusIs(absl::StatusCode::kUnavailable, "asks to wait for 3600 s"));
  EXPECT_EQ(server.Requests().size(), 1u);
}

// As registries do whose blobs lie in an object store.
TEST_F(RegistrySinkTest, ABlobThatTheRegistryHasElsewhereIsNotSentAgain) {
  HttpServer storage([](const HttpRequest&) { return HttpAnswer{}; });
  HttpServer server([&storage](const HttpRequest& request) {
    if (request.path.find("/manifests/") != std::string::npos) return HttpAnswer{.status = 201};
    if (request.method != "HEAD") return HttpAnswer{.status = 500};
    return HttpAnswer{.status = 307, .headers = {"Location: http://" + storage.Host() + "/data"}};
  });
  ASSERT_OK(Push(PublishSample(), server.Host() + "/app:v1"));
  ASSERT_GE(storage.Requests().size(), 2u);
  for (const HttpRequest& request : storage.Requests()) EXPECT_EQ(request.method, "HEAD");
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

TEST_F(RegistrySinkTest, ARegistryThatGoesBackAgainAndAgainIsGivenUp) {
  UploadServer server;
  server.max_body = options_.upload_piece_bytes = 10'000;
  server.goes_back = true;
  EXPECT_THAT(Push(PublishSample(), server.Host() + "/app:v1"),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(RegistrySinkTest, WhatIsTooLargeForOnePieceIsSentInPieces) {
  UploadServer server;
  server.max_body = options_.upload_piece_bytes = 20'000;
  ASSERT_OK_AND_ASSIGN(const ExportedImage pushed,
                       Push(PublishSample(), server.Host() + "/app:v1"));
  EXPECT_GE(server.Count("PATCH", "/upload/"), 2);
  for (const ExportedLayer& layer : pushed.layers) {
    EXPECT_EQ(server.blobs()[layer.blob.digest.ToString()].size(), layer.blob.size_bytes);
  }
}

TEST_F(RegistrySinkTest, AnUploadGoesOnAfterWhatTheRegistryHas) {
  UploadServer server;
  server.max_body = options_.upload_piece_bytes = 10'000;
  server.lose_every = 2;
  ASSERT_OK_AND_ASSIGN(const ExportedImage pushed,
                       Push(PublishSample(), server.Host() + "/app:v1"));
  EXPECT_GE(server.Count("GET", "/upload/"), 1);
  size_t patched = 0, large = 0;
  for (const auto& [digest, content] : server.blobs()) {
    if (content.size() <= 10'000) continue;
    ++large;
    patched += (content.size() + 9'999) / 10'000;
  }
  for (const ExportedLayer& layer : pushed.layers) {
    EXPECT_EQ(server.blobs()[layer.blob.digest.ToString()].size(), layer.blob.size_bytes);
  }
  EXPECT_GT(large, 0u);
  // No piece was sent twice.
  EXPECT_EQ(static_cast<size_t>(server.Count("PATCH", "/upload/")), patched);
}

TEST_F(RegistrySinkTest, ARegistryThatTakesNoBodyOfThisSizeAtAllIsToldSo) {
  UploadServer server;
  server.max_body = 10;
  EXPECT_THAT(Push(PublishSample(), server.Host() + "/app:v1"),
              StatusIs(absl::StatusCode::kInternal, "413"));
}

TEST_F(RegistrySinkTest, WhatCannotBeMountedIsSent) {
  UploadServer server;
  ASSERT_OK(Push(PublishSample(), server.Host() + "/app:v1", server.Host() + "/other:v1"));
  EXPECT_GE(server.Count("POST", "mount="), 1);
  EXPECT_GE(server.blobs().size(), 2u);
}

TEST_F(RegistrySinkTest, OnlyAnotherRepositoryOfTheSameRegistryIsMountedFrom) {
  for (const char* origin : {"", "registry.example.com/app:v1", "SAME/app:v2"}) {
    UploadServer server;
    std::string from = origin;
    if (from.starts_with("SAME")) from.replace(0, 4, server.Host());
    ASSERT_OK(Push(PublishSample(), server.Host() + "/app:v1", from));
    EXPECT_EQ(server.Count("POST", "mount="), 0) << origin;
  }
}

// A real registry, through a relay that sees what is sent.
class RealRegistrySinkTest : public RegistrySinkTest {
 protected:
  void SetUp() override {
    ASSERT_NE(registry_.host(), "");
    const std::string port = registry_.host().substr(registry_.host().find(':') + 1);
    relay_ = std::make_unique<testing::TcpRelay>(static_cast<uint16_t>(std::stoi(port)));
    host_ = "127.0.0.1:" + std::to_string(relay_->port());
  }
  void ExpectReadable(const std::string& reference) {
    const auto source = OpenRegistrySource(*ParseImageReference(reference), options_);
    ASSERT_OK(source);
    PublishOptions options;
    options.platform = testing::kTestPlatform;
    const auto again = Publish(**source, std::make_shared<MemoryBackend>(), options, nullptr);
    ASSERT_OK(again);
    EXPECT_EQ(again->entry.chain_id, written_.chain_id);
  }

  const testing::RegistryProcess registry_{dir_ / "registry"};
  std::unique_ptr<testing::TcpRelay> relay_;
  std::string host_;
};

TEST_F(RealRegistrySinkTest, BlobsOfAnotherRepositoryAreMountedAndNotSent) {
  const ImageEntry entry = PublishSample();
  ASSERT_OK(Push(entry, host_ + "/team/app:v1"));
  EXPECT_GT(relay_->Seen("PUT /v2/team/app/blobs/uploads/"), 0u);
  ASSERT_OK(Push(entry, host_ + "/team/copy:v1", host_ + "/team/app:v1"));
  EXPECT_GT(relay_->Seen("POST /v2/team/copy/blobs/uploads/?mount="), 0u);
  EXPECT_EQ(relay_->Seen("PUT /v2/team/copy/blobs/uploads/"), 0u);
  ExpectReadable(host_ + "/team/copy:v1");
}

TEST_F(RealRegistrySinkTest, APushInPiecesGoesOnAfterACut) {
  const ImageEntry entry = PublishSample();
  options_.upload_piece_bytes = 64 << 10;
  relay_->LoseAnswerTo("POST /v2/team/app/blobs/uploads/");  // from then on: in pieces
  ASSERT_OK(Push(entry, host_ + "/team/app:v1"));
  EXPECT_TRUE(relay_->AnswerLost());
  EXPECT_GE(relay_->Seen("PATCH /v2/team/app/blobs/uploads/"), 2u);
  ExpectReadable(host_ + "/team/app:v1");
  relay_->LoseAnswerTo("PATCH /v2/team/lost/blobs/uploads/");
  options_.upload_piece_bytes = 10'000;
  testing::TcpRelay outer(relay_->port());  // loses what leads to pieces
  outer.LoseAnswerTo("POST /v2/team/lost/blobs/uploads/");
  const std::string host = "127.0.0.1:" + std::to_string(outer.port());
  ASSERT_OK(Push(entry, host + "/team/lost:v1"));
  EXPECT_GE(relay_->Seen("GET /v2/team/lost/blobs/uploads/"), 1u);
  ExpectReadable(host + "/team/lost:v1");
}

TEST_F(RegistrySinkTest, ADigestIsNoTarget) {
  EXPECT_THAT(Push(PublishSample(), "127.0.0.1:1/app@" + Sha256::Of("x").ToString()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace slacker
