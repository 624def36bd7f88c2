// HttpsBackend's connections and credentials, against a real nginx.
#include <gmock/gmock.h>

#include <fstream>
#include <future>
#include <set>

#include "backend/https/https_backend.h"
#include "tests/support/nginx_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using testing::NginxProcess;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr absl::StatusCode kPermissionDenied = absl::StatusCode::kPermissionDenied;

class NginxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(directory_ / "store/packs");
    std::ofstream(directory_ / "store/packs/a") << "0123456789";
  }
  NginxProcess::Options Options(const std::string& name = "nginx") const {
    return {.directory = directory_ / name,
            .root = directory_ / "store",
            .certificates = &certificates_};
  }
  HttpsOptions Access() const { return {.ca_file = certificates_.ca()}; }
  static std::unique_ptr<HttpsBackend> Open(const std::string& url, const HttpsOptions& options) {
    auto backend = HttpsBackend::Open(url, options);
    EXPECT_OK(backend);
    return *std::move(backend);
  }
  static void ReadOften(HttpsBackend& backend, size_t times) {
    std::vector<std::promise<absl::StatusOr<std::string>>> answers(times);
    for (auto& answer : answers) {
      backend.ReadAsync("packs/a", 2, 3,
                        [&answer](auto bytes) { answer.set_value(std::move(bytes)); });
    }
    for (auto& answer : answers) EXPECT_EQ(answer.get_future().get().value(), "234");
  }
  // How many connections the requests in the log came by.
  static size_t Connections(const NginxProcess& nginx, size_t requests) {
    std::set<std::string> connections;
    for (const std::string& line : nginx.Requests(requests)) {
      const size_t at = line.find("connection=");
      connections.insert(line.substr(at, line.find(' ', at) - at));
    }
    return connections.size();
  }

  testing::TempDir directory_;
  testing::TestCertificates certificates_{directory_ / "certificates"};
};

TEST_F(NginxTest, Http2SharesOneConnection) {
  const NginxProcess nginx(Options());
  const auto backend = Open(nginx.Url(), Access());
  ReadOften(*backend, 200);
  const std::vector<std::string> requests = nginx.Requests(200);
  EXPECT_THAT(requests, AllOf(SizeIs(200), Each(HasSubstr("HTTP/2.0"))));
  EXPECT_EQ(Connections(nginx, 200), 1u);
}

TEST_F(NginxTest, Http1KeepsItsConnections) {
  auto options = Options();
  options.http2 = false;
  const NginxProcess nginx(options);
  auto access = Access();
  access.max_transfers = 5;
  const auto backend = Open(nginx.Url(), access);
  ReadOften(*backend, 200);
  const std::vector<std::string> requests = nginx.Requests(200);
  EXPECT_THAT(requests, AllOf(SizeIs(200), Each(HasSubstr("HTTP/1.1"))));
  EXPECT_LE(Connections(nginx, 200), 5u);
}

// The configuration that is shipped: caches between may keep what never changes, and nothing else.
TEST_F(NginxTest, CachesAreToldWhatNeverChanges) {
  const std::vector<std::string> immutable = {"records/a", "tars/a", "packs/a", "packs/a.idx"};
  const std::vector<std::string> replaceable = {"locations/a", "manifests/a/unsigned", "boot/a",
                                                "grants/a/public/unsigned", "images/a"};
  const NginxProcess nginx(Options());
  const auto backend = Open(nginx.Url(), Access());
  size_t requests = 0;
  const auto read = [&](const std::string& name) {
    (void)backend->Read(name, 0, 1);
    const std::string line = nginx.Requests(++requests).back();
    return line.substr(line.find("answered="));
  };
  for (const auto* names : {&immutable, &replaceable}) {
    for (const std::string& name : *names) {
      SCOPED_TRACE(name);
      const std::string path = directory_ / ("store/" + name);
      std::filesystem::remove(path);
      EXPECT_EQ(read(name), "answered=\"no-cache\"") << "it may come";
      std::filesystem::create_directories(std::filesystem::path(path).parent_path());
      std::ofstream(path) << "0123456789";
      EXPECT_EQ(read(name), names == &immutable ? "answered=\"max-age=31536000, immutable\""
                                                : "answered=\"no-cache\"");
    }
  }
}

TEST_F(NginxTest, AServerThatEndsConnectionsIsNoProblem) {
  auto options = Options();
  options.directives = "keepalive_requests 100;";
  for (const bool http2 : {true, false}) {
    options.http2 = http2;
    options.directory = directory_ / (http2 ? "nginx2" : "nginx1");
    const NginxProcess nginx(options);
    ReadOften(*Open(nginx.Url(), Access()), 1000);
    EXPECT_GE(Connections(nginx, 1000), 10u);
  }
}

TEST_F(NginxTest, AServerThatOthersCertifyIsUnavailable) {
  const NginxProcess nginx(Options());
  const testing::TestCertificates others(directory_ / "others");
  const auto backend = Open(nginx.Url(), {.ca_file = others.ca()});
  EXPECT_THAT(backend->Read("packs/a", 0, 1),
              StatusIs(absl::StatusCode::kUnavailable, "certificate"));
  EXPECT_THAT(Open(nginx.Url(), {})->Stat("packs/a"),
              StatusIs(absl::StatusCode::kUnavailable, "certificate"));
  EXPECT_THAT(nginx.Requests(0), SizeIs(0));
}

TEST_F(NginxTest, AServerOfAnotherNameIsUnavailable) {
  const NginxProcess nginx(Options());
  std::string url = nginx.Url();
  url.replace(url.find("127.0.0.1"), 9, "localhost");
  EXPECT_THAT(Open(url, Access())->Read("packs/a", 0, 1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(nginx.Requests(0), SizeIs(0));
}

TEST_F(NginxTest, AClientCertificateIsShown) {
  auto options = Options();
  options.client_certificate = true;
  const NginxProcess nginx(options);
  EXPECT_THAT(Open(nginx.Url(), Access())->Read("packs/a", 0, 1), StatusIs(kPermissionDenied));
  auto access = Access();
  access.client_certificate = certificates_.client();
  access.client_key = certificates_.client_key();
  const auto backend = Open(nginx.Url(), access);
  EXPECT_EQ(backend->Read("packs/a", 0, 10).value(), "0123456789");
  access.client_key = certificates_.server_key();
  EXPECT_THAT(Open(nginx.Url(), access)->Read("packs/a", 0, 1),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(NginxTest, ATokenIsSentAndCanBeReplaced) {
  auto options = Options();
  options.token = "right";
  const NginxProcess nginx(options);
  EXPECT_THAT(Open(nginx.Url(), Access())->Stat("packs/a"), StatusIs(kPermissionDenied, "401"));
  auto access = Access();
  access.token_file = directory_ / "token";
  std::ofstream(access.token_file) << "wrong\n";
  const auto backend = Open(nginx.Url(), access);
  EXPECT_THAT(backend->Read("packs/a", 0, 1), StatusIs(kPermissionDenied, "401"));
  std::ofstream(access.token_file) << "right\n";
  EXPECT_EQ(backend->Read("packs/a", 0, 10).value(), "0123456789");
}

TEST_F(NginxTest, ARedirectIsFollowedWithoutCredentials) {
  auto options = Options("other");
  const NginxProcess other(options);
  options = Options();
  options.directives =
      "rewrite ^/here/(.*)$ $scheme://$http_host/$1 redirect;\n"
      "rewrite ^/round/ $scheme://$http_host/round/packs/b redirect;\n"
      "rewrite ^/there/(.*)$ " +
      other.Url() + "/$1 redirect;";
  const NginxProcess nginx(options);
  auto access = Access();
  access.token_file = directory_ / "token";
  std::ofstream(access.token_file) << "secret\n";
  EXPECT_EQ(Open(nginx.Url() + "/here", access)->Read("packs/a", 2, 3).value(), "234");
  EXPECT_THAT(nginx.Requests(2), AllOf(SizeIs(2), Each(HasSubstr("\"Bearer secret\""))));
  const auto there = Open(nginx.Url() + "/there", access);
  EXPECT_EQ(there->Read("packs/a", 2, 3).value(), "234");
  EXPECT_EQ(there->Stat("packs/a").value().size_bytes, 10u);
  EXPECT_THAT(there->Read("packs/none", 2, 3), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(other.Requests(3), AllOf(SizeIs(3), Each(HasSubstr("authorization=\"-\""))));
  EXPECT_THAT(Open(nginx.Url() + "/round", access)->Read("packs/a", 0, 1),
              StatusIs(absl::StatusCode::kInternal, "too many redirects"));
}

TEST_F(NginxTest, ARedirectIsFollowedWithoutTheClientCertificate) {
  auto options = Options("other");
  options.client_certificate = true;
  const NginxProcess other(options);
  options = Options();
  options.directives = "rewrite ^/there/(.*)$ " + other.Url() + "/$1 redirect;";
  const NginxProcess nginx(options);
  auto access = Access();
  access.client_certificate = certificates_.client();
  access.client_key = certificates_.client_key();
  EXPECT_EQ(Open(other.Url(), access)->Read("packs/a", 2, 3).value(), "234");
  EXPECT_THAT(Open(nginx.Url() + "/there", access)->Read("packs/a", 2, 3),
              StatusIs(kPermissionDenied, "400"));
}

}  // namespace
}  // namespace slacker
