#include "backend/registry/registry_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "backend/source/decompress.h"
#include "backend/source/verifying_source.h"
#include "tests/support/eventually.h"
#include "tests/support/http_server.h"
#include "tests/support/oci_image.h"
#include "tests/support/registry_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/backend/registry/registry_test_util.h"

namespace slacker {
namespace {

using testing::HttpAnswer;
using testing::HttpRequest;
using testing::HttpServer;
using testing::StatusIs;

RegistryOptions Quick() {
  RegistryOptions options;
  options.stall_timeout = std::chrono::milliseconds(300);
  options.retry_delay = std::chrono::milliseconds(1);
  options.max_tries = 3;
  options.max_resumes = 3;
  return options;
}

std::unique_ptr<ImageSource> Open(const std::string& host,
                                  const RegistryOptions& options = Quick()) {
  auto reference = ParseImageReference(host + "/app:v1");
  EXPECT_OK(reference);
  auto source = OpenRegistrySource(*reference, options);
  EXPECT_OK(source);
  return *std::move(source);
}

absl::StatusOr<std::string> ReadBlob(ImageSource& source, const Descriptor& descriptor) {
  auto blob = source.OpenBlob(descriptor);
  if (!blob.ok()) return blob.status();
  return ReadAll(**blob, 64 << 20);
}

TEST(RegistrySourceTest, AnImageOfARealRegistryIsRead) {
  const testing::TempDir dir;
  testing::OciLayout layout(dir / "layout");
  const std::string tar = testing::TarBuilder().File("a", testing::RandomBytes(3'000'000, 1)).End();
  const testing::WrittenImage image = layout.AddImage({testing::GzipLayer(tar)}, "v1");
  const testing::RegistryProcess registry(dir.path());
  ASSERT_NE(registry.host(), "");
  testing::InstallInRegistry(layout, image, registry.storage(), "app", "v1");
  const auto source = Open(registry.host(), RegistryOptions());
  EXPECT_EQ(source->Name(), "docker://" + registry.host() + "/app:v1");
  ASSERT_OK_AND_ASSIGN(const ResolvedImage resolved, ResolveImage(*source, {"linux", "amd64", ""}));
  EXPECT_EQ(resolved.manifest_digest, image.manifest);
  EXPECT_EQ(resolved.diff_ids, image.diff_ids);
  EXPECT_EQ(*ReadBlob(*source, resolved.layers[0]), testing::Gzip(tar));
  ASSERT_OK_AND_ASSIGN(const ImageReference v2, ParseImageReference(registry.host() + "/app:v2"));
  ASSERT_OK_AND_ASSIGN(const auto missing, OpenRegistrySource(v2, Quick()));
  EXPECT_THAT(missing->Root(), StatusIs(absl::StatusCode::kNotFound, "manifest unknown"));
}

// As docker pushes it: a list of manifests of schema 2, whose layers are gzip whatever they say.
TEST(RegistrySourceTest, ADockerListHasAnImageForEachPlatform) {
  const std::string docker = "application/vnd.docker.";
  std::map<std::string, std::string> documents;  // by digest
  const auto add = [&documents](const std::string& content) {
    documents[Sha256::Of(content).ToString()] = content;
    return "\"size\":" + std::to_string(content.size()) + ",\"digest\":\"" +
           Sha256::Of(content).ToString() + "\"";
  };
  std::string list;
  std::map<std::string, Digest> diff_ids;
  for (const std::string architecture : {"amd64", "s390x"}) {
    const std::string tar = testing::TarBuilder().File("a", architecture).End();
    diff_ids[architecture] = Sha256::Of(tar);
    const std::string layer = add(testing::Gzip(tar));
    const std::string config = add(R"({"os":"linux","architecture":")" + architecture +
                                   R"(","rootfs":{"type":"layers","diff_ids":[")" +
                                   Sha256::Of(tar).ToString() + R"("]}})");
    const std::string manifest =
        add(R"({"schemaVersion":2,"mediaType":")" + docker +
            R"(distribution.manifest.v2+json","config":{"mediaType":")" + docker +
            R"(container.image.v1+json",)" + config + R"(},"layers":[{"mediaType":")" + docker +
            R"(image.rootfs.diff.tar.gzip",)" + layer + "}]}");
    list += (list.empty() ? "" : ",") + (R"({"mediaType":")" + docker) +
            R"(distribution.manifest.v2+json",)" + manifest +
            R"(,"platform":{"os":"linux","architecture":")" + architecture + R"("}})";
  }
  const std::string type = docker + "distribution.manifest.list.v2+json";
  list = R"({"schemaVersion":2,"mediaType":")" + type + R"(","manifests":[)" + list + "]}";
  HttpServer server([&](const HttpRequest& request) {
    const auto it = documents.find(request.path.substr(request.path.rfind('/') + 1));
    if (it != documents.end()) return HttpAnswer{.body = it->second};
    if (!request.path.ends_with("/manifests/v1")) return HttpAnswer{.status = 404};
    EXPECT_NE(request.headers.at("accept").find(type), std::string::npos);
    return HttpAnswer{.headers = {"Content-Type: " + type}, .body = list};
  });
  const auto source = Open(server.Host());
  ASSERT_OK_AND_ASSIGN(const auto platforms, ListPlatforms(*source));
  ASSERT_EQ(platforms.size(), 2u);
  for (const Platform& platform : platforms) {
    ASSERT_OK_AND_ASSIGN(const ResolvedImage image, ResolveImage(*source, platform));
    const Digest diff_id = diff_ids.at(platform.architecture);
    EXPECT_EQ(image.diff_ids, std::vector<Digest>{diff_id});
    ASSERT_OK_AND_ASSIGN(auto blob, source->OpenBlob(image.layers[0]));
    ASSERT_OK_AND_ASSIGN(const std::string tar,
                         ReadAll(*Decompress(std::move(blob), 1 << 20), 1 << 20));
    EXPECT_EQ(Sha256::Of(tar), diff_id);
  }
}

TEST(RegistrySourceTest, EveryAnswerHasItsStatus) {
  for (const auto& [status, code] :
       std::vector<std::pair<int, absl::StatusCode>>{{400, absl::StatusCode::kInternal},
                                                     {403, absl::StatusCode::kPermissionDenied},
                                                     {404, absl::StatusCode::kNotFound},
                                                     {429, absl::StatusCode::kUnavailable},
                                                     {500, absl::StatusCode::kUnavailable},
                                                     {503, absl::StatusCode::kUnavailable}}) {
    HttpServer server(
        [s = status](const HttpRequest&) { return HttpAnswer{.status = s, .body = "not json"}; });
    const auto source = Open(server.Host());
    EXPECT_THAT(source->Root(), StatusIs(code, std::to_string(status)));
    EXPECT_EQ(server.Requests().size(), code == absl::StatusCode::kUnavailable ? 3u : 1u);
  }
}

TEST(RegistrySourceTest, APassingErrorIsRepeated) {
  std::atomic<int> calls{0};
  HttpServer server([&calls](const HttpRequest&) {
    if (calls++ < 2) return HttpAnswer{.status = 503};
    return HttpAnswer{.body = kManifest};
  });
  EXPECT_EQ(Open(server.Host())->Root()->content, kManifest);
}

TEST(RegistrySourceTest, NobodyListeningIsUnavailable) {
  std::string host;
  {
    host = HttpServer([](const HttpRequest&) { return HttpAnswer{}; }).Host();
  }
  EXPECT_THAT(Open(host)->Root(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(RegistrySourceTest, AHangingServerIsGivenUp) {
  HttpServer silent([](const HttpRequest&) {
    return HttpAnswer{.body = "abc", .send_bytes = 0, .then = HttpAnswer::Then::kHang};
  });
  EXPECT_THAT(Open(silent.Host())->Root(), StatusIs(absl::StatusCode::kDeadlineExceeded, "stalls"));
}

TEST(RegistrySourceTest, CancellingEndsWhatIsUnderWayAndWhatBeginsLater) {
  for (const auto then : {HttpAnswer::Then::kHang, HttpAnswer::Then::kTrickle}) {
    HttpServer server([then](const HttpRequest&) {
      return HttpAnswer{.body = std::string(100'000'000, 'x'), .send_bytes = 10, .then = then};
    });
    const auto source = Open(server.Host(), RegistryOptions());
    std::thread other([&] {
      EXPECT_TRUE(testing::Eventually([&] { return !server.Requests().empty(); }));
      source->Cancel();
    });
    Descriptor blob = BlobOf("content");
    blob.size_bytes = 100'000'000;
    EXPECT_THAT(ReadBlob(*source, blob), StatusIs(absl::StatusCode::kCancelled));
    other.join();
    EXPECT_THAT(source->Root(), StatusIs(absl::StatusCode::kCancelled));
    EXPECT_EQ(server.Requests().size(), 1u);
  }
}

TEST(RegistrySourceTest, ABlobWhoseConnectionBreaksBehindItsLastByteIsWhole) {
  HttpServer server([](const HttpRequest& request) {
    if (request.headers.contains("range")) return HttpAnswer{.status = 416};
    return HttpAnswer{.headers = {"Transfer-Encoding: chunked"},
                      .body = "7\r\ncontent\r\n",  // and no end of the chunks
                      .content_length = false};
  });
  EXPECT_EQ(*ReadBlob(*Open(server.Host()), BlobOf("content")), "content");
  EXPECT_EQ(server.Requests().size(), 1u);
}

TEST(RegistrySourceTest, AWrongManifestDigestIsDataLoss) {
  HttpServer server([](const HttpRequest&) { return HttpAnswer{.body = kManifest}; });
  ASSERT_OK_AND_ASSIGN(const ImageReference reference,
                       ParseImageReference(server.Host() + "/app@sha256:" + std::string(64, 'a')));
  ASSERT_OK_AND_ASSIGN(const auto source, OpenRegistrySource(reference, {}));
  EXPECT_THAT(source->Root(), StatusIs(absl::StatusCode::kDataLoss));
  Descriptor wrong = BlobOf(kManifest);
  wrong.digest.bytes[0] ^= 1;
  EXPECT_THAT(source->ReadManifest(wrong), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(source->ReadManifest(BlobOf(kManifest))->content, kManifest);
}

TEST(RegistrySourceTest, OversizedDocumentsAreRefused) {
  HttpServer server(
      [](const HttpRequest&) { return HttpAnswer{.body = std::string(kMaxConfigBytes + 1, ' ')}; });
  const auto source = Open(server.Host());
  EXPECT_THAT(source->Root(), StatusIs(absl::StatusCode::kResourceExhausted));
  Descriptor huge;
  huge.size_bytes = kMaxConfigBytes + 1;
  EXPECT_THAT(source->ReadConfig(huge), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(source->ReadManifest(huge), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(RegistrySourceTest, AWrongBlobIsDataLoss) {
  HttpServer server([](const HttpRequest&) { return HttpAnswer{.body = "contenu"}; });
  const auto source = Open(server.Host());
  EXPECT_THAT(ReadBlob(*source, BlobOf("content")), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ReadBlob(*source, BlobOf("conten")), StatusIs(absl::StatusCode::kDataLoss));
}

// Serves a blob whose connections break after 100 kB, with or without knowledge of ranges.
HttpAnswer BreakingBlob(const std::string& content, const HttpRequest& request, bool ranges,
                        HttpAnswer::Then then) {
  HttpAnswer answer{.body = content, .send_bytes = 100'000, .then = then};
  const auto range = request.headers.find("range");
  if (range == request.headers.end()) return answer;
  const size_t offset = std::stoul(range->second.substr(std::string("bytes=").size()));
  if (!ranges) {
    answer.send_bytes = offset + 100'000;
    return answer;
  }
  answer.status = 206;
  answer.headers = {"Content-Range: bytes " + std::to_string(offset) + "-" +
                    std::to_string(content.size() - 1) + "/" + std::to_string(content.size())};
  answer.body = content.substr(offset);
  return answer;
}

TEST(RegistrySourceTest, ABrokenDownloadIsTakenUpWhereItBroke) {
  const std::string content = testing::RandomBytes(300'000, 1);
  for (const bool ranges : {true, false}) {
    for (const auto then : {HttpAnswer::Then::kClose, HttpAnswer::Then::kHang}) {
      HttpServer server(
          [&](const HttpRequest& request) { return BreakingBlob(content, request, ranges, then); });
      ASSERT_OK_AND_ASSIGN(const std::string blob, ReadBlob(*Open(server.Host()), BlobOf(content)));
      EXPECT_EQ(blob, content);
      EXPECT_EQ(server.Requests().size(), 3u);
    }
  }
}

// A reset may take bytes with it that have arrived already, so only the first connection has one.
TEST(RegistrySourceTest, AResetConnectionIsTakenUp) {
  const std::string content = testing::RandomBytes(300'000, 1);
  std::atomic<int> calls{0};
  HttpServer server([&](const HttpRequest& request) {
    HttpAnswer answer = BreakingBlob(content, request, true, HttpAnswer::Then::kReset);
    if (calls++ > 0) {
      answer.send_bytes = std::string::npos;
      answer.then = HttpAnswer::Then::kClose;
    }
    return answer;
  });
  ASSERT_OK_AND_ASSIGN(const std::string blob, ReadBlob(*Open(server.Host()), BlobOf(content)));
  EXPECT_EQ(blob, content);
  EXPECT_EQ(server.Requests().size(), 2u);
}

TEST(RegistrySourceTest, ADownloadThatKeepsBreakingIsGivenUp) {
  const std::string content = testing::RandomBytes(800'000, 1);
  HttpServer server([&](const HttpRequest& request) {
    return BreakingBlob(content, request, true, HttpAnswer::Then::kClose);
  });
  EXPECT_THAT(ReadBlob(*Open(server.Host()), BlobOf(content)),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(server.Requests().size(), 4u);
}

TEST(RegistrySourceTest, AnotherRangeThanAskedForIsRefused) {
  const std::string content = testing::RandomBytes(300'000, 1);
  HttpServer server([&](const HttpRequest& request) {
    HttpAnswer answer = BreakingBlob(content, request, true, HttpAnswer::Then::kClose);
    if (answer.status == 206) answer.headers = {"Content-Range: bytes 5-9/10"};
    return answer;
  });
  EXPECT_THAT(ReadBlob(*Open(server.Host()), BlobOf(content)),
              StatusIs(absl::StatusCode::kInternal));
}

TEST(RegistrySourceTest, ATokenIsFetchedWhenAskedForAndThenKept) {
  std::string host;
  HttpServer server([&host](const HttpRequest& request) {
    if (request.path.starts_with("/token")) return HttpAnswer{.body = R"({"token":"secret"})"};
    const auto it = request.headers.find("authorization");
    if (it != request.headers.end() && it->second == "Bearer secret") {
      return HttpAnswer{.body = kManifest};
    }
    return HttpAnswer{.status = 401,
                      .headers = {"WWW-Authenticate: Bearer realm=\"http://" + host +
                                  "/token\",service=\"s\",scope=\"repository:app:pull\""}};
  });
  host = server.Host();
  const auto source = Open(host);
  EXPECT_EQ(source->Root()->content, kManifest);
  EXPECT_EQ(source->Root()->content, kManifest);
  const auto requests = server.Requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[1].path, "/token?service=s&scope=repository%3Aapp%3Apull");
}

// Long publications outlive their tokens; a download goes on with the next one.
TEST(RegistrySourceTest, AnExpiredTokenIsFetchedAnew) {
  const std::string content = testing::RandomBytes(300'000, 1);
  std::atomic<int> tokens{0};
  std::atomic<bool> expired{true};
  HttpServer server([&](const HttpRequest& request) {
    if (request.path.starts_with("/token")) {
      expired = false;
      return HttpAnswer{.body = R"({"token":"t)" + std::to_string(++tokens) + R"("})"};
    }
    const auto it = request.headers.find("authorization");
    if (expired || it == request.headers.end() ||
        it->second != "Bearer t" + std::to_string(tokens)) {
      return HttpAnswer{.status = 401,
                        .headers = {"WWW-Authenticate: Bearer realm=\"http://" +
                                    request.headers.at("host") + "/token\""}};
    }
    expired = true;  // good for one answer
    return BreakingBlob(content, request, true, HttpAnswer::Then::kClose);
  });
  EXPECT_EQ(*ReadBlob(*Open(server.Host()), BlobOf(content)), content);
  EXPECT_EQ(tokens, 3);
}

TEST(RegistrySourceTest, BasicCredentialsComeFromDockersConfiguration) {
  HttpServer server([](const HttpRequest& request) {
    const auto it = request.headers.find("authorization");
    if (it != request.headers.end() && it->second == "Basic dTpw") {
      return HttpAnswer{.body = kManifest};
    }
    return HttpAnswer{.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"x\""}};
  });
  EXPECT_THAT(Open(server.Host())->Root(), StatusIs(absl::StatusCode::kPermissionDenied, "log in"));
  const testing::TempDir dir;
  testing::WriteFileOrDie(dir / "config.json",
                          R"({"auths":{")" + server.Host() + R"(":{"auth":"dTpw"}}})");
  RegistryOptions options = Quick();
  options.credential_files = {dir / "config.json"};
  EXPECT_EQ(Open(server.Host(), options)->Root()->content, kManifest);
}

TEST(RegistrySourceTest, AnImageIsPrivateWhenNobodyMayReadItWithoutAPassword) {
  std::atomic<bool> open_to_all = false;
  HttpServer server([&open_to_all](const HttpRequest& request) {
    const auto it = request.headers.find("authorization");
    const bool anonymous = it == request.headers.end();
    if (open_to_all && anonymous) return HttpAnswer{.body = kManifest};
    if (!anonymous && it->second == "Basic dTpw") return HttpAnswer{.body = kManifest};
    return HttpAnswer{.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"x\""}};
  });
  const testing::TempDir dir;
  testing::WriteFileOrDie(dir / "config.json",
                          R"({"auths":{")" + server.Host() + R"(":{"auth":"dTpw"}}})");
  RegistryOptions options = Quick();
  options.credential_files = {dir / "config.json"};
  const auto source = Open(server.Host(), options);
  ASSERT_OK(source->Root());
  EXPECT_EQ(source->PrivateRepository().value(), server.Host() + "/app");
  open_to_all = true;
  EXPECT_EQ(source->PrivateRepository().value(), "") << "asked with credentials without need";
  const auto without = Open(server.Host());
  ASSERT_OK(without->Root());
  EXPECT_EQ(without->PrivateRepository().value(), "");
}

TEST(RegistrySourceTest, ARegistryThatDoesNotSayWhoMayReadIsAnError) {
  std::atomic<bool> gone = false;
  HttpServer server([&gone](const HttpRequest& request) {
    if (gone) return HttpAnswer{.status = 503};
    if (request.headers.contains("authorization")) return HttpAnswer{.body = kManifest};
    return HttpAnswer{.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"x\""}};
  });
  const testing::TempDir dir;
  testing::WriteFileOrDie(dir / "config.json",
                          R"({"auths":{")" + server.Host() + R"(":{"auth":"dTpw"}}})");
  RegistryOptions options = Quick();
  options.credential_files = {dir / "config.json"};
  const auto source = Open(server.Host(), options);
  ASSERT_OK(source->Root());
  gone = true;
  EXPECT_THAT(source->PrivateRepository(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(RegistrySourceTest, ARefusedTokenIsPermissionDenied) {
  HttpServer server([](const HttpRequest& request) {
    return HttpAnswer{.status = 401,
                      .headers = {"WWW-Authenticate: Bearer realm=\"http://" +
                                  request.headers.at("host") + "/token\""}};
  });
  EXPECT_THAT(Open(server.Host())->Root(), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(RegistrySourceTest, RedirectsAreFollowedWithoutCredentialsAndNotForEver) {
  HttpServer storage([](const HttpRequest&) { return HttpAnswer{.body = "content"}; });
  HttpServer server([&storage](const HttpRequest& request) {
    if (request.headers.count("authorization") == 0) {
      return HttpAnswer{.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"x\""}};
    }
    return HttpAnswer{.status = 307, .headers = {"Location: http://" + storage.Host() + "/data"}};
  });
  const testing::TempDir dir;
  testing::WriteFileOrDie(dir / "config.json",
                          R"({"auths":{")" + server.Host() + R"(":{"auth":"dTpw"}}})");
  RegistryOptions options = Quick();
  options.credential_files = {dir / "config.json"};
  EXPECT_EQ(*ReadBlob(*Open(server.Host(), options), BlobOf("content")), "content");
  ASSERT_EQ(storage.Requests().size(), 1u);
  EXPECT_EQ(storage.Requests()[0].headers.count("authorization"), 0u);

  HttpServer loop([](const HttpRequest&) {
    return HttpAnswer{.status = 302, .headers = {"Location: /again"}};
  });
  EXPECT_THAT(Open(loop.Host())->Root(), StatusIs(absl::StatusCode::kInvalidArgument));
  HttpServer file([](const HttpRequest&) {
    return HttpAnswer{.status = 302, .headers = {"Location: file:///etc/passwd"}};
  });
  EXPECT_THAT(Open(file.Host())->Root(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(RegistrySourceTest, TheRegistrysWishToWaitIsHonoured) {
  for (const int status : {429, 503}) {
    for (const char* text : {"1", "bad"}) {
      std::atomic<int> calls{0};
      HttpServer server([&calls, status, text](const HttpRequest&) {
        if (calls++ > 0) return HttpAnswer{.body = kManifest};
        return HttpAnswer{.status = status, .headers = {std::string("Retry-After: ") + text}};
      });
      const auto began = std::chrono::steady_clock::now();
      ASSERT_OK(Open(server.Host())->Root());
      if (*text == '1') {
        EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::seconds(1));
      }
    }
  }
}

TEST(RegistrySourceTest, TheTokenServicesWishToWaitIsHonouredToo) {
  for (const char* text : {"1", "3600"}) {
    std::atomic<int> asked{0};
    HttpServer server([&asked, text](const HttpRequest& request) {
      if (request.path.starts_with("/token")) {
        if (asked++ > 0) return HttpAnswer{.body = R"({"token":"secret"})"};
        return HttpAnswer{.status = 429, .headers = {std::string("Retry-After: ") + text}};
      }
      if (request.headers.contains("authorization")) return HttpAnswer{.body = kManifest};
      return HttpAnswer{.status = 401,
                        .headers = {"WWW-Authenticate: Bearer realm=\"http://" +
                                    request.headers.at("host") + "/token\""}};
    });
    const auto began = std::chrono::steady_clock::now();
    const auto root = Open(server.Host())->Root();
    if (*text == '1') {
      EXPECT_OK(root);
      EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::seconds(1));
    } else {
      EXPECT_THAT(root, StatusIs(absl::StatusCode::kUnavailable, "asks to wait for 3600 s"));
      EXPECT_EQ(asked, 1);
    }
  }
}

TEST(RegistrySourceTest, TooLongAWaitIsToldAtOnce) {
  for (const char* text : {"3600", "Fri, 31 Dec 2100 23:59:59 GMT"}) {
    HttpServer server([text](const HttpRequest&) {
      return HttpAnswer{.status = 429,
                        .headers = {std::string("Retry-After: ") + text},
                        .body = R"({"errors":[{"message":"pull rate limit"}]})"};
    });
    EXPECT_THAT(Open(server.Host())->Root(),
                StatusIs(absl::StatusCode::kUnavailable, "asks to wait"));
    EXPECT_THAT(Open(server.Host())->Root(),
                StatusIs(absl::StatusCode::kUnavailable, "pull rate limit"));
    EXPECT_EQ(server.Requests().size(), 2u);
  }
}

TEST(RegistrySourceTest, ADownloadThatBringsSomethingEachTimeIsNeverGivenUp) {
  const std::string content = testing::RandomBytes(8'000'000, 1);
  HttpServer server([&](const HttpRequest& request) {
    HttpAnswer answer = BreakingBlob(content, request, true, HttpAnswer::Then::kClose);
    answer.send_bytes = 1'100'000;
    return answer;
  });
  ASSERT_OK_AND_ASSIGN(const std::string blob, ReadBlob(*Open(server.Host()), BlobOf(content)));
  EXPECT_EQ(blob, content);
  EXPECT_EQ(server.Requests().size(), 8u);
}

// What docker login leaves for registries that hand out identity tokens.
TEST(RegistrySourceTest, AnIdentityTokenIsExchanged) {
  std::string host;
  HttpServer server([&host](const HttpRequest& request) {
    if (request.path == "/token" && request.method == "POST" &&
        request.body.find("refresh_token=identity") != std::string::npos) {
      return HttpAnswer{.body = R"({"access_token":"access"})"};
    }
    const auto it = request.headers.find("authorization");
    if (it != request.headers.end() && it->second == "Bearer access") {
      return HttpAnswer{.body = kManifest};
    }
    return HttpAnswer{
        .status = 401,
        .headers = {"WWW-Authenticate: Bearer realm=\"http://" + host + "/token\",service=\"s\""}};
  });
  host = server.Host();
  const testing::TempDir dir;
  testing::WriteFileOrDie(dir / "config.json",
                          R"({"auths":{")" + host + R"(":{"identitytoken":"identity"}}})");
  RegistryOptions options = Quick();
  options.credential_files = {dir / "config.json"};
  EXPECT_EQ(Open(host, options)->Root()->content, kManifest);
}

TEST(RegistrySourceTest, WrongCredentialsAreSaidToBeWrong) {
  HttpServer server([](const HttpRequest&) {
    return HttpAnswer{.status = 401,
                      .headers = {"WWW-Authenticate: Basic realm=\"x\""},
                      .body = R"({"errors":[{"message":"bad password"}]})"};
  });
  const testing::TempDir dir;
  testing::WriteFileOrDie(dir / "config.json",
                          R"({"auths":{")" + server.Host() + R"(":{"auth":"dTpw"}}})");
  RegistryOptions options = Quick();
  options.credential_files = {dir / "config.json"};
  EXPECT_THAT(Open(server.Host(), options)->Root(),
              StatusIs(absl::StatusCode::kPermissionDenied, "are not accepted"));
  EXPECT_EQ(server.Requests().size(), 4u - 2u);
}

TEST(RegistrySourceTest, EndlessHeadersAreCutOff) {
  HttpServer server([](const HttpRequest&) {
    HttpAnswer answer;
    for (int i = 0; i < 100; ++i) {
      answer.headers.push_back("X-" + std::to_string(i) + ": " + std::string(1000, 'x'));
    }
    return answer;
  });
  EXPECT_THAT(Open(server.Host())->Root(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace slacker
