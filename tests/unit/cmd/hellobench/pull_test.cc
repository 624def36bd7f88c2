#include "cmd/hellobench/images/pull.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/status.h"
#include "backend/source/layout_source.h"
#include "backend/source/platform.h"
#include "tests/support/http_server.h"
#include "tests/support/oci_image.h"
#include "tests/support/registry_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using slacker::testing::GzipLayer;
using slacker::testing::HttpAnswer;
using slacker::testing::HttpRequest;
using slacker::testing::HttpServer;
using slacker::testing::InstallInRegistry;
using slacker::testing::OciLayout;
using slacker::testing::RandomBytes;
using slacker::testing::ReadFileOrDie;
using slacker::testing::RegistryProcess;
using slacker::testing::RegistrySettings;
using slacker::testing::StatusIs;
using slacker::testing::TempDir;
using slacker::testing::WriteFileOrDie;
using slacker::testing::WrittenImage;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Platform kPlatform = {"linux", "amd64", ""};

class PullTest : public ::testing::Test {
 protected:
  WrittenImage AddImage(const std::string& tag, uint64_t seed) {
    return origin_.AddImage(
        {GzipLayer(RandomBytes(70'000, 1)), GzipLayer(RandomBytes(5'000, seed))}, tag, kPlatform);
  }

  absl::StatusOr<PulledImage> Pull(const std::string& name, const Platform& platform = kPlatform) {
    const auto source = OpenLayoutSource(origin_.directory(), name);
    if (!source.ok()) return source.status();
    return PullImage(**source, platform, layout_, name, "registry.test/" + name + ":1");
  }

  // What is in the layout under this name.
  absl::StatusOr<ResolvedImage> Pulled(const std::string& name) {
    const auto source = OpenLayoutSource(layout_, name);
    if (!source.ok()) return source.status();
    return ResolveImage(**source, kPlatform);
  }

  TempDir directory_;
  OciLayout origin_{directory_.path() + "/origin"};
  const std::string layout_ = directory_.path() + "/a/layout";
};

TEST_F(PullTest, AnImageIsTheSameByteForByteAndNamed) {
  const WrittenImage written = AddImage("app", 2);
  const auto pulled = Pull("app");
  ASSERT_OK(pulled);
  EXPECT_EQ(pulled->manifest_digest, written.manifest);
  EXPECT_EQ(pulled->layers, 2u);
  EXPECT_EQ(pulled->fetched_bytes, pulled->size_bytes);
  const auto image = Pulled("app");
  ASSERT_OK(image);
  EXPECT_EQ(image->manifest_json, written.manifest_json);
  EXPECT_EQ(image->diff_ids, written.diff_ids);
  for (const Descriptor& layer : image->layers) {
    EXPECT_EQ(ReadFileOrDie(layout_ + "/blobs/sha256/" + layer.digest.ToHex()),
              ReadFileOrDie(origin_.BlobPath(layer.digest)));
  }
  const auto index = nlohmann::json::parse(ReadFileOrDie(layout_ + "/index.json"));
  const auto& entry = index.at("manifests").at(0);
  EXPECT_EQ(entry.at("annotations").at("io.containerd.image.name"), "registry.test/app:1");
}

TEST_F(PullTest, LayersThatTheLayoutHasAreNotFetchedAgain) {
  AddImage("one", 2);
  AddImage("two", 3);
  ASSERT_OK(Pull("one"));
  const auto two = Pull("two");
  ASSERT_OK(two);
  EXPECT_LT(two->fetched_bytes, 10'000u);
  EXPECT_GT(two->fetched_bytes, 0u);
  const auto again = Pull("two");
  ASSERT_OK(again);
  EXPECT_EQ(again->fetched_bytes, 0u);
  EXPECT_OK(Pulled("one"));
}

TEST_F(PullTest, ADamagedLayerIsFetchedAgain) {
  AddImage("app", 2);
  ASSERT_OK(Pull("app"));
  const auto image = Pulled("app");
  ASSERT_OK(image);
  const std::string path = layout_ + "/blobs/sha256/" + image->layers[0].digest.ToHex();
  const std::string whole = ReadFileOrDie(path);
  WriteFileOrDie(path, whole.substr(0, whole.size() - 1) + "?");
  const auto again = Pull("app");
  ASSERT_OK(again);
  EXPECT_EQ(again->fetched_bytes, image->layers[0].size_bytes);
  EXPECT_EQ(ReadFileOrDie(path), whole);
}

TEST_F(PullTest, AnImageOfTheSameNameIsReplaced) {
  AddImage("app", 2);
  ASSERT_OK(Pull("app"));
  OciLayout newer(directory_.path() + "/newer");
  const WrittenImage written = newer.AddImage({GzipLayer(RandomBytes(100, 4))}, "app", kPlatform);
  const auto source = OpenLayoutSource(newer.directory(), "app");
  ASSERT_OK(source);
  ASSERT_OK(PullImage(**source, kPlatform, layout_, "app", "registry.test/app:2"));
  const auto image = Pulled("app");
  ASSERT_OK(image);
  EXPECT_EQ(image->manifest_digest, written.manifest);
}

TEST_F(PullTest, WithoutAnImageForThePlatformNothingIsWritten) {
  AddImage("app", 2);
  EXPECT_THAT(Pull("app", {"linux", "s390x", ""}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Pulled("app"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PullTest, AnImageWhoseLayerIsDamagedIsNotInTheLayoutAndOthersStay) {
  AddImage("good", 2);
  ASSERT_OK(Pull("good"));
  const WrittenImage written = AddImage("bad", 3);
  const auto manifest = ParseManifest(written.manifest_json);
  ASSERT_OK(manifest);
  WriteFileOrDie(origin_.BlobPath(manifest->layers[1].digest), "other bytes");
  EXPECT_THAT(Pull("bad"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Pulled("bad"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(Pulled("good"));
}

TEST_F(PullTest, OfARegistryAllAreTakenAndWhatFailsHoldsUpNone) {
  const WrittenImage written = AddImage("app", 2);
  const RegistryProcess registry(directory_.path());
  ASSERT_NE(registry.host(), "");
  InstallInRegistry(origin_, written, registry.storage(), "library/app", "v1");
  Image missing, there;
  missing.name = "missing";
  missing.task.image = registry.host() + "/library/none:v1";
  there.name = "there";
  there.task.image = registry.host() + "/library/app:v1";
  std::vector<std::string> told;
  PullImages({missing, there}, kPlatform, layout_, [&told](const Image& image, const auto& pulled) {
    told.push_back(image.name +
                   (pulled.ok() ? " " + ToText(image, *pulled) : " " + Message(pulled.status())));
  });
  ASSERT_EQ(told.size(), 2u);
  EXPECT_THAT(told[0], HasSubstr("library/none"));
  EXPECT_THAT(told[1], HasSubstr("there: " + written.manifest.ToString() + ", 2 layers, 0.1 MB, "));
  const auto image = Pulled("there");
  ASSERT_OK(image);
  EXPECT_EQ(image->manifest_digest, written.manifest);
}

// With the credentials that "docker login" keeps, as `hellobench images pull` finds them.
class PrivatePullTest : public PullTest {
 protected:
  PrivatePullTest() { (void)setenv("DOCKER_CONFIG", directory_.path().c_str(), 1); }
  ~PrivatePullTest() override { (void)unsetenv("DOCKER_CONFIG"); }

  // `entry` is what config.json has for the host.
  void LogIn(const std::string& host, const std::string& entry) {
    WriteFileOrDie(directory_ / "config.json", R"({"auths":{")" + host + R"(":{)" + entry + "}}}");
  }

  absl::Status PullFrom(const std::string& host) {
    Image image;
    image.name = "app";
    image.task.image = host + "/library/app:v1";
    absl::Status status = Internal("nothing was told");
    PullImages({image}, kPlatform, layout_,
               [&status](const Image&, const auto& pulled) { status = pulled.status(); });
    return status;
  }

  void ExpectPulled(const WrittenImage& written) {
    const auto image = Pulled("app");
    ASSERT_OK(image);
    EXPECT_EQ(image->manifest_digest, written.manifest);
    for (const Descriptor& layer : image->layers) {
      EXPECT_EQ(ReadFileOrDie(layout_ + "/blobs/sha256/" + layer.digest.ToHex()),
                ReadFileOrDie(origin_.BlobPath(layer.digest)));
    }
  }
};

constexpr char kRight[] = R"("auth":"dXNlcjpzZWNyZXQ=")";  // user:secret
constexpr char kWrong[] = R"("auth":"dXNlcjp3cm9uZw==")";  // user:wrong

TEST_F(PrivatePullTest, ARegistryThatWantsAPasswordGetsDockers) {
  const WrittenImage written = AddImage("app", 2);
  // "user" with the password "secret", bcrypt.
  WriteFileOrDie(directory_ / "htpasswd",
                 "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n");
  const RegistryProcess registry(directory_.path(),
                                 RegistrySettings{.htpasswd = directory_ / "htpasswd"});
  ASSERT_NE(registry.host(), "");
  InstallInRegistry(origin_, written, registry.storage(), "library/app", "v1");
  EXPECT_THAT(PullFrom(registry.host()), StatusIs(absl::StatusCode::kPermissionDenied, "log in"));
  LogIn(registry.host(), kWrong);
  EXPECT_THAT(PullFrom(registry.host()),
              StatusIs(absl::StatusCode::kPermissionDenied, "not accepted"));
  EXPECT_THAT(Pulled("app"), StatusIs(absl::StatusCode::kNotFound));
  LogIn(registry.host(), kRight);
  ASSERT_OK(PullFrom(registry.host()));
  ExpectPulled(written);
}

// A registry whose answers are for who shows a token, which it gives to who knows the password or has an
// identity token.
class TokenRegistry {
 public:
  TokenRegistry(const OciLayout& origin, WrittenImage image)
      : origin_(origin), image_(std::move(image)) {}

  std::string Host() const { return server_.Host(); }
  size_t tokens() const { return tokens_; }

 private:
  static std::string Authorization(const HttpRequest& request) {
    const auto found = request.headers.find("authorization");
    return found == request.headers.end() ? "" : found->second;
  }

  HttpAnswer Answer(const HttpRequest& request) {
    const std::string shown = Authorization(request);
    if (request.path.starts_with("/token")) return GiveToken(request, shown);
    if (shown != "Bearer access") {
      return {.status = 401,
              .headers = {"WWW-Authenticate: Bearer realm=\"http://" + Host() +
                          "/token\",service=\"s\",scope=\"repository:library/app:pull\""}};
    }
    const std::string root = "/v2/library/app/";
    if (request.path == root + "manifests/v1" ||
        request.path == root + "manifests/" + image_.manifest.ToString()) {
      return {.headers = {"Content-Type: application/vnd.oci.image.manifest.v1+json"},
              .body = image_.manifest_json};
    }
    if (request.path.starts_with(root + "blobs/")) {
      const auto digest = Digest::Parse(request.path.substr((root + "blobs/").size()));
      if (digest.ok()) return {.body = ReadFileOrDie(origin_.BlobPath(*digest))};
    }
    return {.status = 404};
  }

  HttpAnswer GiveToken(const HttpRequest& request, const std::string& shown) {
    const bool by_password =
        shown == "Basic dXNlcjpzZWNyZXQ=" &&
        request.path == "/token?service=s&scope=repository%3Alibrary%2Fapp%3Apull";
    const bool by_identity = request.method == "POST" &&
                             request.body.find("refresh_token=identity") != std::string::npos;
    if (!by_password && !by_identity) return {.status = 401};
    ++tokens_;
    return {.body = R"({"token":"access"})"};
  }

  const OciLayout& origin_;
  const WrittenImage image_;
  std::atomic<size_t> tokens_ = 0;
  HttpServer server_{[this](const HttpRequest& request) { return Answer(request); }};
};

TEST_F(PrivatePullTest, ATokenIsHadForDockersPassword) {
  const WrittenImage written = AddImage("app", 2);
  const TokenRegistry registry(origin_, written);
  EXPECT_THAT(PullFrom(registry.Host()), StatusIs(absl::StatusCode::kPermissionDenied));
  LogIn(registry.Host(), kWrong);
  EXPECT_THAT(PullFrom(registry.Host()), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Pulled("app"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(registry.tokens(), 0u);
  LogIn(registry.Host(), kRight);
  ASSERT_OK(PullFrom(registry.Host()));
  EXPECT_EQ(registry.tokens(), 1u) << "one is enough for all of an image";
  ExpectPulled(written);
}

TEST_F(PrivatePullTest, ATokenIsHadForDockersIdentityToken) {
  const WrittenImage written = AddImage("app", 2);
  const TokenRegistry registry(origin_, written);
  LogIn(registry.Host(), R"("identitytoken":"identity")");
  ASSERT_OK(PullFrom(registry.Host()));
  EXPECT_EQ(registry.tokens(), 1u);
  ExpectPulled(written);
}

}  // namespace
}  // namespace slacker::hellobench
