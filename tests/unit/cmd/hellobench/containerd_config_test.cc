#include "cmd/hellobench/site/containerd_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <toml++/toml.h>

#include <string>

#include "cmd/common/toml_values.h"
#include "tests/support/status_matchers.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

ContainerdConfig Config(const std::string& version) {
  return {.version = version,
          .directory = "/n0/c",
          .socket = "/n0/c.sock",
          .hosts = "/hosts",
          .pause = "10.77.0.1:32100/hellobench/pause:latest",
          .snapshotter = "overlayfs",
          .proxy_socket = "",
          .proxy_root = "",
          .differ = "",
          .further = ""};
}

class ContainerdConfigTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ContainerdConfigTest, NothingOfItIsTheMachines) {
  ASSERT_OK_AND_ASSIGN(const toml::table parsed, ParseSettings(ToText(Config(GetParam())), "c"));
  for (const char* key : {"root", "state", "temp"}) {
    EXPECT_THAT(parsed[key].value_or(std::string()), ::testing::StartsWith("/n0/c/")) << key;
  }
  EXPECT_FALSE(parsed.contains("proxy_plugins"));
}

TEST_P(ContainerdConfigTest, AProxyIsFoundAtItsSocket) {
  ContainerdConfig config = Config(GetParam());
  config.snapshotter = "lazy";
  config.proxy_socket = "/n0/s.sock";
  config.proxy_root = "/n0/s";
  config.further = "[plugins.\"further\"]\n  key = 1\n";
  ASSERT_OK_AND_ASSIGN(const toml::table parsed, ParseSettings(ToText(config), "c"));
  EXPECT_EQ(parsed["proxy_plugins"]["lazy"]["address"].value_or(std::string()), "/n0/s.sock");
  EXPECT_EQ(parsed["plugins"]["further"]["key"].value_or(0), 1);
}

INSTANTIATE_TEST_SUITE_P(Versions, ContainerdConfigTest, ::testing::Values("1", "2"));

TEST(ContainerdConfigTest, APluginThatIsMeasuredIsNotDisabled) {
  ContainerdConfig config = Config("2");
  EXPECT_THAT(ToText(config), HasSubstr("snapshotter.v1.erofs"));
  config.snapshotter = config.differ = "erofs";
  EXPECT_THAT(ToText(config), Not(HasSubstr("v1.erofs")));
  EXPECT_THAT(ToText(config), HasSubstr("differ = \"erofs\""));
}

// The setting with which containerd 1 names the image to snapshotters keeps containerd 2 from its transfer service.
TEST(ContainerdConfigTest, SnapshottersLearnTheImageAsEachVersionHasIt) {
  ContainerdConfig config = Config("1");
  config.proxy_socket = "/n0/s.sock";
  EXPECT_THAT(ToText(config), HasSubstr("disable_snapshot_annotations = false"));
  config.version = "2";
  EXPECT_THAT(ToText(config), Not(HasSubstr("disable_snapshot_annotations")));
  EXPECT_THAT(ToText(config), HasSubstr("enable_remote_snapshot_annotations = \"true\""));
}

TEST(MajorVersionTest, IsThatOfDebiansAndOfGithubs) {
  ASSERT_OK_AND_ASSIGN(
      const std::string debian,
      MajorVersion("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1\n"));
  EXPECT_EQ(debian, "1");
  ASSERT_OK_AND_ASSIGN(const std::string github,
                       MajorVersion("containerd github.com/containerd/containerd/v2 v2.4.2 abc\n"));
  EXPECT_EQ(github, "2");
  for (const char* other : {"", "containerd", "containerd x v3.0.0", "docker x 10.1"}) {
    EXPECT_THAT(MajorVersion(other), StatusIs(absl::StatusCode::kInvalidArgument)) << other;
  }
}

}  // namespace
}  // namespace slacker::hellobench
