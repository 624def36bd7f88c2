#include "backend/registry/registry_hosts.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "backend/registry/http_client.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::StatusIs;
using testing::WriteFileOrDie;

// One line for each host: its URL and whatever differs from the defaults.
std::string Describe(const std::vector<RegistryHost>& hosts) {
  std::string text;
  for (const RegistryHost& host : hosts) {
    text += (text.empty() ? "" : "\n") + host.url;
    if (!host.resolves) text += " -resolve";
    if (!host.pulls) text += " -pull";
    if (host.proxy) text += " proxy";
    for (const std::string& ca : host.tls.ca_files) text += " ca=" + ca;
    if (!host.tls.client_certificate_file.empty()) {
      text += " client=" + host.tls.client_certificate_file + "," + host.tls.client_key_file;
    }
    if (host.tls.skip_verify) text += " skip";
    if (host.connect_timeout.has_value()) {
      text += " dial=" + std::to_string(host.connect_timeout->count());
    }
    for (const std::string& header : host.headers) text += " [" + header + "]";
  }
  return text;
}

struct HostsCase {
  const char* name;
  const char* registry;
  const char* toml;
  const char* hosts;  // what Describe says
};

class HostsTomlTest : public ::testing::TestWithParam<HostsCase> {};

TEST_P(HostsTomlTest, GivesTheHostsInTheirOrder) {
  ASSERT_OK_AND_ASSIGN(const auto hosts,
                       ParseHostsToml(GetParam().toml, "/d", GetParam().registry));
  EXPECT_EQ(Describe(hosts), GetParam().hosts);
}

INSTANTIATE_TEST_SUITE_P(
    All, HostsTomlTest,
    ::testing::Values(
        HostsCase{"Nothing", "r.x", "", "https://r.x/v2"},
        HostsCase{"Hub", "docker.io", "", "https://registry-1.docker.io/v2"},
        HostsCase{"Loopback", "localhost:5000", "", "http://localhost:5000/v2"},
        HostsCase{"LoopbackWithCa", "localhost:5000", "ca = 'c'",
                  "https://localhost:5000/v2 ca=/d/c"},
        HostsCase{"Server", "r.x", "server = 'https://o.x:1/p'", "https://o.x:1/p/v2 proxy"},
        HostsCase{"ServerWithoutScheme", "r.x", "server = 'r.x'", "https://r.x/v2"},
        HostsCase{"PlainServer", "r.x", "server = 'http://r.x'", "http://r.x/v2"},
        HostsCase{"PathWithV2", "r.x", "server = 'https://r.x/a/v2/'", "https://r.x/a/v2"},
        HostsCase{"OverridePath", "r.x", "server = 'https://r.x/a/'\noverride_path = true",
                  "https://r.x/a"},
        HostsCase{"OverrideWithoutPath", "r.x", "server = 'https://r.x'\noverride_path = true",
                  "https://r.x"},
        HostsCase{
            "MirrorsInTheOrderOfTheFile", "docker.io",
            "server = 'https://registry-1.docker.io'\n[host.'https://z.x']\n[host.'https://a.x']\n"
            "capabilities = ['pull']\n[host.'http://m.x']\ncapabilities = ['Resolve', 'push']",
            "https://z.x/v2 proxy\nhttps://a.x/v2 -resolve proxy\nhttp://m.x/v2 -pull proxy\n"
            "https://registry-1.docker.io/v2"},
        HostsCase{"NoCapabilitiesAreAll", "r.x", "capabilities = []\nserver = 'r.x'",
                  "https://r.x/v2"},
        HostsCase{"PushOnly", "r.x", "[host.'m.x']\ncapabilities = ['push']",
                  "https://m.x/v2 -resolve -pull proxy\nhttps://r.x/v2"},
        HostsCase{"SeveralAuthorities", "r.x", "ca = ['a', '/b']", "https://r.x/v2 ca=/d/a ca=/b"},
        HostsCase{"ClientInOneFile", "r.x", "client = 'c'", "https://r.x/v2 client=/d/c,/d/c"},
        HostsCase{"ClientInAList", "r.x", "client = ['c']", "https://r.x/v2 client=/d/c,/d/c"},
        HostsCase{"ClientPair", "r.x", "client = [['c', '/k']]", "https://r.x/v2 client=/d/c,/k"},
        HostsCase{"SkipVerify", "r.x", "skip_verify = true", "https://r.x/v2 skip"},
        HostsCase{"Headers", "r.x", "[host.'m.x'.header]\nA = 'b'\nC = ['d', 'e']",
                  "https://m.x/v2 proxy [A: b] [C: d] [C: e]\nhttps://r.x/v2"},
        HostsCase{"UnknownKeys", "r.x", "fallback = '1s'\n[other]\nx = 1", "https://r.x/v2"},
        HostsCase{"DialTimeout", "r.x",
                  "dial_timeout = '1.5s'\n[host.'m.x']\ndial_timeout = '1m30s'",
                  "https://m.x/v2 proxy dial=90000\nhttps://r.x/v2 dial=1500"},
        HostsCase{"Referrers", "r.x",
                  "[host.'m.x']\ncapabilities = ['pull', 'resolve', 'referrers']",
                  "https://m.x/v2 proxy\nhttps://r.x/v2"}),
    [](const auto& param) { return param.param.name; });

TEST(HostsTomlErrorTest, WhatCannotBeMeantIsRefused) {
  for (const char* toml : {"server = 1",
                           "server = 'https://'",
                           "server = 'httpx://a'",
                           "server = 'https://u@r.x'",
                           "server = 'https://r.x/?a'",
                           "capabilities = ['fly']",
                           "capabilities = 1",
                           "ca = 1",
                           "ca = [1]",
                           "client = 1",
                           "client = ['a', 'b']",
                           "client = [['a']]",
                           "client = [['a', 'b', 'c']]",
                           "client = [['a', 'b'], ['c', 'd']]",
                           "skip_verify = 'yes'",
                           "override_path = 1\nserver = 'r.x'",
                           "dial_timeout = 1",
                           "dial_timeout = 'soon'",
                           "dial_timeout = '0s'",
                           "dial_timeout = '2h'",
                           "header = 1",
                           "header = {A = 1}",
                           "header = {A = \"b\\r\\nC: d\"}",
                           "header = {\"A: b\\nC\" = 'd'}",
                           "host = 1",
                           "host = {a = 1}",
                           "[host.'m.x']\nca = 1",
                           "not toml"}) {
    EXPECT_THAT(ParseHostsToml(toml, "/d", "r.x"), StatusIs(absl::StatusCode::kInvalidArgument))
        << toml;
  }
}

TEST(BadHostsTomlTest, WhatIsNestedWithoutAnEndIsNotFollowed) {
  std::string deep = "a";
  for (int i = 0; i < 500'000; ++i) deep += ".a";
  EXPECT_THAT(ParseHostsToml(deep + " = 1", "/d", "r.x"),
              StatusIs(absl::StatusCode::kInvalidArgument, "nested"));
}

class HostsDirectoryTest : public ::testing::Test {
 protected:
  std::string Load(const std::string& registry) {
    const auto hosts = LoadRegistryHosts(root_.path(), registry);
    return hosts.ok() ? Describe(*hosts) : hosts.status().ToString();
  }
  const testing::TempDir root_;
};

TEST_F(HostsDirectoryTest, TheFirstDirectoryCounts) {
  EXPECT_EQ(Load("r.x:5000"), "https://r.x:5000/v2");
  WriteFileOrDie(root_ / "_default/hosts.toml", "server = 'd.x'");
  EXPECT_EQ(Load("r.x:5000"), "https://d.x/v2 proxy");
  WriteFileOrDie(root_ / "r.x:5000/hosts.toml", "server = 'c.x'");
  EXPECT_EQ(Load("r.x:5000"), "https://c.x/v2 proxy");
  WriteFileOrDie(root_ / "r.x_5000_/hosts.toml", "server = 'u.x'");
  EXPECT_EQ(Load("r.x:5000"), "https://u.x/v2 proxy");
  WriteFileOrDie(root_ / "docker.io/hosts.toml", "[host.'m.x']");
  EXPECT_EQ(Load("docker.io"), "https://m.x/v2 proxy\nhttps://registry-1.docker.io/v2");
}

TEST_F(HostsDirectoryTest, WithoutAFileCertificatesAreFoundAsDockerFindsThem) {
  for (const char* name : {"b.crt", "a.crt", "c.cert", "c.key", "readme"}) {
    WriteFileOrDie(root_ / "r.x/" + name, "x");
  }
  const std::string dir = root_ / "r.x";
  EXPECT_EQ(Load("r.x"), "https://r.x/v2 ca=" + dir + "/a.crt ca=" + dir + "/b.crt client=" + dir +
                             "/c.cert," + dir + "/c.key");
  WriteFileOrDie(root_ / "r.x/d.cert", "x");
  EXPECT_THAT(LoadRegistryHosts(root_.path(), "r.x"),
              StatusIs(absl::StatusCode::kInvalidArgument, "several"));
}

TEST_F(HostsDirectoryTest, ABadFileIsNamed) {
  WriteFileOrDie(root_ / "r.x/hosts.toml", "server = 1");
  EXPECT_THAT(LoadRegistryHosts(root_.path(), "r.x"),
              StatusIs(absl::StatusCode::kInvalidArgument, "r.x/hosts.toml"));
  WriteFileOrDie(root_ / "r.x/hosts.toml", std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(LoadRegistryHosts(root_.path(), "r.x"),
              StatusIs(absl::StatusCode::kInvalidArgument, "larger"));
}

TEST(HostsAuthoritiesTest, MoreCertificatesThanLibcurlTakesAreRefused) {
  const testing::TempDir dir;
  HttpClient::Options options;
  for (int i = 0; i < 8; ++i) {
    options.tls.ca_files.push_back(dir / (std::to_string(i) + ".crt"));
    WriteFileOrDie(options.tls.ca_files.back(), "-----BEGIN " + std::string(1'000'100, 'x'));
  }
  EXPECT_THAT(HttpClient::Open(options).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "8 MB"));
}

TEST(HostsDefaultTest, NoRootIsNoDirectory) {
  EXPECT_EQ(Describe(*LoadRegistryHosts("", "r.x")), "https://r.x/v2");
  EXPECT_EQ(Describe(*LoadRegistryHosts("/nowhere", "r.x")), "https://r.x/v2");
}

}  // namespace
}  // namespace slacker
