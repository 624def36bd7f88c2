#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "backend/registry/registry_source.h"
#include "backend/source/verifying_source.h"
#include "tests/support/http_server.h"
#include "tests/support/nginx_process.h"
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
using testing::WriteFileOrDie;

// A registry called r.x that is only known through a hosts.toml.
class RegistryMirrorsTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<ImageSource>> Open(const std::string& toml,
                                                    const std::string& name = "r.x/team/app:v1") {
    WriteFileOrDie(dir_ / "hosts/_default/hosts.toml", toml);
    RegistryOptions options;
    options.stall_timeout = std::chrono::milliseconds(2000);
    options.retry_delay = std::chrono::milliseconds(1);
    options.max_tries = 2;
    options.hosts_directory = dir_ / "hosts";
    options.credential_files = {dir_ / "config.json"};
    return OpenRegistrySource(*ParseImageReference(name), options);
  }
  // The root document, or what was wrong.
  absl::StatusOr<std::string> Root(const std::string& toml) {
    auto source = Open(toml);
    if (!source.ok()) return source.status();
    auto root = (*source)->Root();
    if (!root.ok()) return root.status();
    return root->content;
  }
  const testing::TempDir dir_;
};

TEST_F(RegistryMirrorsTest, MirrorsAreAskedFirstAndToldWhichRegistryIsMeant) {
  HttpServer mirror([](const HttpRequest&) { return HttpAnswer{.body = kManifest}; });
  HttpServer server([](const HttpRequest&) { return HttpAnswer{.status = 500}; });
  EXPECT_EQ(
      *Root("server = 'http://" + server.Host() + "'\n[host.'http://" + mirror.Host() + "/cache']"),
      kManifest);
  EXPECT_EQ(mirror.Requests().at(0).path, "/cache/v2/team/app/manifests/v1?ns=r.x");
  EXPECT_EQ(server.Requests().size(), 0u);
}

TEST_F(RegistryMirrorsTest, WhateverAMirrorFailsWithTheNextOneIsAsked) {
  for (const int status : {400, 401, 403, 404, 429, 500}) {
    HttpServer mirror([status](const HttpRequest&) { return HttpAnswer{.status = status}; });
    HttpServer server([](const HttpRequest&) { return HttpAnswer{.body = kManifest}; });
    EXPECT_EQ(
        *Root("server = 'http://" + server.Host() + "'\n[host.'http://" + mirror.Host() + "']"),
        kManifest)
        << status;
    EXPECT_EQ(mirror.Requests().size(), 1u);
  }
}

TEST_F(RegistryMirrorsTest, TheServersErrorIsTheImagesAndTheMirrorsAreNamed) {
  HttpServer mirror([](const HttpRequest&) { return HttpAnswer{.status = 503}; });
  HttpServer server([](const HttpRequest&) { return HttpAnswer{.status = 404}; });
  const auto root =
      Root("server = 'http://" + server.Host() + "'\n[host.'http://" + mirror.Host() + "']");
  EXPECT_THAT(root, StatusIs(absl::StatusCode::kNotFound, server.Host()));
  EXPECT_THAT(root, StatusIs(absl::StatusCode::kNotFound, "before that: http://" + mirror.Host()));
  EXPECT_EQ(server.Requests().size(), 1u);
}

TEST_F(RegistryMirrorsTest, WhileTheServerFailsAllAreAskedAgain) {
  HttpServer mirror([](const HttpRequest&) { return HttpAnswer{.status = 404}; });
  HttpServer server([](const HttpRequest&) { return HttpAnswer{.status = 503}; });
  EXPECT_THAT(
      Root("server = 'http://" + server.Host() + "'\n[host.'http://" + mirror.Host() + "']"),
      StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(mirror.Requests().size(), 2u);
  EXPECT_EQ(server.Requests().size(), 2u);
}

TEST_F(RegistryMirrorsTest, AHostIsAskedForWhatItCanDoOnly) {
  const std::string blob = "content";
  HttpServer mirror([&](const HttpRequest&) { return HttpAnswer{.body = blob}; });
  HttpServer server([&](const HttpRequest&) { return HttpAnswer{.body = kManifest}; });
  ASSERT_OK_AND_ASSIGN(
      const auto source,
      Open("server = 'http://" + server.Host() + "'\ncapabilities = ['resolve']\n" +
           "[host.'http://" + mirror.Host() + "']\ncapabilities = ['pull']"));
  EXPECT_EQ(source->Root()->content, kManifest);
  ASSERT_OK_AND_ASSIGN(const auto stream, source->OpenBlob(BlobOf(blob)));
  EXPECT_EQ(*ReadAll(*stream, 100), blob);
  EXPECT_EQ(mirror.Requests().size(), 1u);
  EXPECT_EQ(server.Requests().size(), 1u);
  EXPECT_THAT(Root("server = 'http://" + server.Host() + "'\ncapabilities = ['push']"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "hosts.toml"));
}

TEST_F(RegistryMirrorsTest, ABrokenDownloadGoesOnAtTheNextHost) {
  const std::string content = testing::RandomBytes(300'000, 1);
  std::atomic<int> asked{0};
  HttpServer mirror([&](const HttpRequest&) {
    if (asked++ > 0) return HttpAnswer{.status = 404};
    return HttpAnswer{.body = content, .send_bytes = 100'000};
  });
  HttpServer server([&](const HttpRequest& request) {
    const size_t offset = std::stoul(request.headers.at("range").substr(6));
    return HttpAnswer{
        .status = 206,
        .headers = {"Content-Range: bytes " + std::to_string(offset) + "-299999/300000"},
        .body = content.substr(offset)};
  });
  ASSERT_OK_AND_ASSIGN(const auto source, Open("server = 'http://" + server.Host() +
                                               "'\n[host.'http://" + mirror.Host() + "']"));
  ASSERT_OK_AND_ASSIGN(const auto stream, source->OpenBlob(BlobOf(content)));
  EXPECT_EQ(*ReadAll(*stream, 1 << 20), content);
}

TEST_F(RegistryMirrorsTest, HeadersAndCredentialsGoToTheirHostOnly) {
  HttpServer storage([](const HttpRequest&) { return HttpAnswer{.body = kManifest}; });
  HttpServer mirror([&storage](const HttpRequest& request) {
    if (!request.headers.contains("authorization")) {
      return HttpAnswer{.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"x\""}};
    }
    return HttpAnswer{.status = 307, .headers = {"Location: http://" + storage.Host() + "/data"}};
  });
  WriteFileOrDie(dir_ / "config.json",
                 R"({"auths":{")" + mirror.Host() + R"(":{"auth":"dTpw"},"r.x":{"auth":"djpx"}}})");
  EXPECT_EQ(*Root("[host.'http://" + mirror.Host() + "'.header]\nX-Key = 'secret'"), kManifest);
  ASSERT_EQ(mirror.Requests().size(), 2u);
  EXPECT_EQ(mirror.Requests()[1].headers.at("authorization"), "Basic dTpw");
  EXPECT_EQ(mirror.Requests()[1].headers.at("x-key"), "secret");
  ASSERT_EQ(storage.Requests().size(), 1u);
  EXPECT_FALSE(storage.Requests()[0].headers.contains("authorization"));
  EXPECT_FALSE(storage.Requests()[0].headers.contains("x-key"));
}

TEST_F(RegistryMirrorsTest, WhatTakesAHeaderToBeReadIsPrivate) {
  HttpServer server([](const HttpRequest& request) {
    if (request.headers.contains("x-key")) return HttpAnswer{.body = kManifest};
    return HttpAnswer{.status = 403};
  });
  ASSERT_OK_AND_ASSIGN(const auto source, Open("server = 'http://" + server.Host() +
                                               "'\nheader = {X-Key = 'secret'}"));
  ASSERT_OK(source->Root());
  EXPECT_EQ(source->PrivateRepository().value(), "r.x/team/app");
}

TEST_F(RegistryMirrorsTest, APageThatAsksToLogInMakesNoImagePublic) {
  std::string page = "<html>please log in</html>";
  HttpServer server([&page](const HttpRequest& request) {
    if (request.path == "/login") return HttpAnswer{.body = page};
    if (request.headers.contains("x-key")) return HttpAnswer{.body = kManifest};
    return HttpAnswer{.status = 302, .headers = {"Location: /login"}};
  });
  ASSERT_OK_AND_ASSIGN(const auto source, Open("server = 'http://" + server.Host() +
                                               "'\nheader = {X-Key = 'secret'}"));
  EXPECT_THAT(source->PrivateRepository(), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(source->Root());
  EXPECT_EQ(source->PrivateRepository().value(), "r.x/team/app");
  page.resize(kMaxOciManifestBytes + 1);
  EXPECT_EQ(source->PrivateRepository().value(), "r.x/team/app");
}

TEST_F(RegistryMirrorsTest, ATagThatMovedToAPublicImageDoesNotMakeThePrivateOnePublic) {
  std::atomic<bool> moved = false;
  HttpServer server([&moved](const HttpRequest& request) {
    if (request.headers.contains("x-key")) return HttpAnswer{.body = kManifest};
    if (moved && request.path.ends_with("/v1")) return HttpAnswer{.body = "public"};
    return HttpAnswer{.status = 403};
  });
  ASSERT_OK_AND_ASSIGN(const auto source, Open("server = 'http://" + server.Host() +
                                               "'\nheader = {X-Key = 'secret'}"));
  ASSERT_OK(source->Root());
  moved = true;
  EXPECT_EQ(source->PrivateRepository().value(), "r.x/team/app");
}

TEST_F(RegistryMirrorsTest, AMirrorsImageOfTheSameNameMakesNoImagePublic) {
  const std::string theirs = std::string(kManifest) + " ";
  std::atomic<bool> mirrors{false};
  HttpServer mirror([&](const HttpRequest& request) {
    if (!mirrors || request.path.find("/manifests/sha256:") != std::string::npos) {
      return HttpAnswer{.status = 404};
    }
    return HttpAnswer{.body = theirs};
  });
  HttpServer server([](const HttpRequest& request) {
    if (request.headers.contains("x-key")) return HttpAnswer{.body = kManifest};
    return HttpAnswer{.status = 403};
  });
  ASSERT_OK_AND_ASSIGN(const auto source, Open("server = 'http://" + server.Host() +
                                               "'\nheader = {X-Key = 'secret'}\n[host.'http://" +
                                               mirror.Host() + "']"));
  ASSERT_EQ(source->Root()->content, kManifest);
  mirrors = true;  // it has one by now, for everybody
  EXPECT_EQ(source->PrivateRepository().value(), "r.x/team/app");
}

// Debian's docker-registry behind TLS.
class RegistryTlsTest : public RegistryMirrorsTest {
 protected:
  RegistryTlsTest() { image_ = layout_.AddImage({testing::GzipLayer(tar_)}, "v1"); }

  void Install(const testing::RegistryProcess& registry) {
    testing::InstallInRegistry(layout_, image_, registry.storage(), "team/app", "v1");
  }
  absl::StatusOr<ResolvedImage> Resolve(const std::string& toml) {
    auto source = Open(toml);
    if (!source.ok()) return source.status();
    return ResolveImage(**source, {"linux", "amd64", ""});
  }

  const std::string tar_ = testing::TarBuilder().File("a", "x").End();
  testing::OciLayout layout_{dir_ / "layout"};
  testing::WrittenImage image_;
  const testing::TestCertificates certificates_{dir_.path()};
};

TEST_F(RegistryTlsTest, ItsAuthorityMustBeKnown) {
  const testing::RegistryProcess registry(
      dir_.path(), {.certificate = certificates_.server(), .key = certificates_.server_key()});
  ASSERT_NE(registry.host(), "");
  Install(registry);
  const std::string server = "server = 'https://" + registry.host() + "'\n";
  EXPECT_THAT(Resolve(server), StatusIs(absl::StatusCode::kPermissionDenied, "certificate"));
  EXPECT_EQ(Resolve(server + "ca = '" + certificates_.ca() + "'")->manifest_digest,
            image_.manifest);
  EXPECT_EQ(Resolve(server + "skip_verify = true")->manifest_digest, image_.manifest);
  EXPECT_THAT(Resolve(server + "ca = 'missing'"),
              StatusIs(absl::StatusCode::kInvalidArgument, "missing"));
  WriteFileOrDie(dir_ / "hosts/_default/junk", "junk");
  EXPECT_THAT(Resolve(server + "ca = 'junk'"),
              StatusIs(absl::StatusCode::kInvalidArgument, "not PEM"));
}

TEST_F(RegistryTlsTest, ItMayWantOurCertificate) {
  const testing::RegistryProcess registry(dir_.path(), {.certificate = certificates_.server(),
                                                        .key = certificates_.server_key(),
                                                        .client_authority = certificates_.ca()});
  ASSERT_NE(registry.host(), "");
  Install(registry);
  const std::string server =
      "server = 'https://" + registry.host() + "'\nca = '" + certificates_.ca() + "'\n";
  EXPECT_THAT(Resolve(server), StatusIs(absl::StatusCode::kPermissionDenied, "certificate"));
  const std::string both = server + "client = [['" + certificates_.client() + "', '" +
                           certificates_.client_key() + "']]";
  EXPECT_EQ(Resolve(both)->manifest_digest, image_.manifest);
  ASSERT_OK_AND_ASSIGN(const auto source, Open(both));
  ASSERT_OK(source->Root());
  EXPECT_EQ(source->PrivateRepository().value(), "r.x/team/app");
}

// Registries redirect to storage that knows nothing of them.
TEST_F(RegistryTlsTest, OurCertificateIsNotShownToWhereItRedirects) {
  const std::string wants =
      "ssl_client_certificate " + certificates_.ca() + "; ssl_verify_client optional; ";
  std::filesystem::create_directories(dir_ / "storage");
  std::filesystem::create_directories(dir_ / "registry");
  const testing::NginxProcess storage({.directory = dir_ / "storage",
                                       .root = dir_.path(),
                                       .certificates = &certificates_,
                                       .directives = wants + "return 200 $ssl_client_verify;"});
  const testing::NginxProcess registry(
      {.directory = dir_ / "registry",
       .root = dir_.path(),
       .certificates = &certificates_,
       .directives = wants + "if ($ssl_client_verify != SUCCESS) { return 403; } return 307 " +
                     storage.Url() + "/data;"});
  ASSERT_OK_AND_ASSIGN(
      const auto source,
      Open("server = '" + registry.Url() + "'\nca = '" + certificates_.ca() + "'\nclient = [['" +
           certificates_.client() + "', '" + certificates_.client_key() + "']]"));
  ASSERT_OK_AND_ASSIGN(const auto blob, source->OpenBlob(BlobOf("NONE")));
  EXPECT_EQ(*ReadAll(*blob, 100), "NONE");
}

TEST_F(RegistryTlsTest, OurCertificateIsNotShownToATokenServiceElsewhere) {
  std::filesystem::create_directories(dir_ / "tokens");
  std::filesystem::create_directories(dir_ / "registry");
  const std::string wants =
      "ssl_client_certificate " + certificates_.ca() + "; ssl_verify_client optional; ";
  const testing::NginxProcess tokens(
      {.directory = dir_ / "tokens",
       .root = dir_.path(),
       .certificates = &certificates_,
       .directives = wants + "return 200 '{\"token\":\"$ssl_client_verify\"}';"});
  const testing::NginxProcess registry(
      {.directory = dir_ / "registry",
       .root = dir_.path(),
       .certificates = &certificates_,
       .directives = wants +
                     "if ($http_authorization = \"Bearer NONE\") { return 200 content; } "
                     "add_header WWW-Authenticate 'Bearer realm=\"" +
                     tokens.Url() + "/token\"' always; return 401;"});
  const std::string server = "server = '" + registry.Url() + "'\nclient = [['" +
                             certificates_.client() + "', '" + certificates_.client_key() + "']]\n";
  ASSERT_OK_AND_ASSIGN(const auto source, Open(server + "ca = '" + certificates_.ca() + "'"));
  ASSERT_OK_AND_ASSIGN(const auto blob, source->OpenBlob(BlobOf("content")));
  EXPECT_EQ(*ReadAll(*blob, 100), "content");
  // Nor is it believed only because the registry's own certificate need not be looked at.
  ASSERT_OK_AND_ASSIGN(const auto careless, Open(server + "skip_verify = true"));
  EXPECT_THAT(careless->OpenBlob(BlobOf("content")),
              StatusIs(absl::StatusCode::kPermissionDenied, "certificate"));
}

TEST_F(RegistryTlsTest, ItMustNotRedirectToAnUnencryptedConnection) {
  HttpServer storage([](const HttpRequest&) { return HttpAnswer{.body = kManifest}; });
  const testing::NginxProcess registry(
      {.directory = dir_.path(),
       .root = dir_.path(),
       .certificates = &certificates_,
       .directives = "return 307 http://" + storage.Host() + "/data;"});
  ASSERT_OK_AND_ASSIGN(const auto source, Open("server = '" + registry.Url() + "'\nca = '" +
                                               certificates_.ca() + "'"));
  EXPECT_THAT(source->Root(), StatusIs(absl::StatusCode::kInvalidArgument, "without encryption"));
  EXPECT_EQ(storage.Requests().size(), 0u);
}

TEST_F(RegistryTlsTest, ItMayWantAPassword) {
  // "user" with the password "secret", bcrypt.
  WriteFileOrDie(dir_ / "htpasswd",
                 "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n");
  const testing::RegistryProcess registry(dir_.path(), {.htpasswd = dir_ / "htpasswd",
                                                        .certificate = certificates_.server(),
                                                        .key = certificates_.server_key()});
  ASSERT_NE(registry.host(), "");
  Install(registry);
  const std::string toml =
      "server = 'https://" + registry.host() + "'\nca = '" + certificates_.ca() + "'\n";
  EXPECT_THAT(Resolve(toml), StatusIs(absl::StatusCode::kPermissionDenied, "log in"));
  const auto write_auth = [&](const std::string& auth) {
    WriteFileOrDie(dir_ / "config.json",
                   R"({"auths":{")" + registry.host() + R"(":{"auth":")" + auth + R"("}}})");
  };
  write_auth("dXNlcjp3cm9uZw==");  // user:wrong
  EXPECT_THAT(Resolve(toml), StatusIs(absl::StatusCode::kPermissionDenied, "not accepted"));
  write_auth("dXNlcjpzZWNyZXQ=");  // user:secret
  EXPECT_EQ(Resolve(toml)->manifest_digest, image_.manifest);
  ASSERT_OK_AND_ASSIGN(const auto source, Open(toml));
  ASSERT_OK(source->Root());
  EXPECT_EQ(source->PrivateRepository().value(), "r.x/team/app");
}

}  // namespace
}  // namespace slacker
