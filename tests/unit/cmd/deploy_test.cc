// The configurations that are shipped for containerd agree with slackerd's own, and name the plugin
// so that no client takes it for something else.
#include <gmock/gmock.h>
#include <toml++/toml.h>

#include "backend/base/digest.h"
#include "cmd/slackerd/config.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kDeploy[] = SLACKER_SOURCE_DIR "/deploy/";

class ContainerdConfigTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_OK(ApplyTomlFile(std::string(kDeploy) + "config.toml", &slackerd_));
    containerd_ = toml::parse_file(std::string(kDeploy) + "containerd/" + GetParam());
    const toml::table* plugins = containerd_["proxy_plugins"].as_table();
    ASSERT_NE(plugins, nullptr);
    ASSERT_EQ(plugins->size(), 1U);
    name_ = std::string(plugins->begin()->first.str());
    plugin_ = toml::node_view<const toml::node>(plugins->begin()->second);
  }
  static std::string Text(toml::node_view<const toml::node> node) {
    return node.value_or(std::string());
  }

  Config slackerd_;
  toml::table containerd_;
  std::string name_;
  toml::node_view<const toml::node> plugin_;
};

TEST_P(ContainerdConfigTest, ThePluginsNameIsNoPathAndNoOtherSnapshotters) {
  EXPECT_EQ(Text(plugin_["type"]), "snapshot");
  EXPECT_FALSE(name_.empty());
  // nerdctl takes what contains one of these for that snapshotter, and pulls into it.
  for (const char* word : {"/", "stargz", "overlaybd", "nydus", "soci", "cvmfs-snapshotter"}) {
    EXPECT_THAT(name_, Not(HasSubstr(word)));
  }
}

TEST_P(ContainerdConfigTest, TheAddressIsSlackerds) {
  EXPECT_EQ(Text(plugin_["address"]), slackerd_.address);
}

// Up to 1.6.31 and 1.7.15 containerd takes the path from the name, later from the export: the
// default root is both, and kubelet finds the file system of images in either case.
TEST_P(ContainerdConfigTest, TheExportedRootIsSlackerdsAndTheOneThatOldContainerdsExpect) {
  EXPECT_EQ(Text(plugin_["exports"]["root"]), slackerd_.root);
  EXPECT_EQ(slackerd_.root, "/var/lib/containerd/io.containerd.snapshotter.v1." + name_);
}

// With it containerd gives every layer the parent "", and what is there already would be recorded
// without one.
TEST_P(ContainerdConfigTest, RebaseIsNotAdvertised) {
  EXPECT_FALSE(plugin_["capabilities"]) << "no capability is needed";
}

TEST_P(ContainerdConfigTest, CriUsesThePlugin) {
  const auto plugins = containerd_["plugins"];
  const toml::node_view<toml::node> used =
      containerd_["version"].value_or(0) == 2
          ? plugins["io.containerd.grpc.v1.cri"]["containerd"]["snapshotter"]
          : plugins["io.containerd.cri.v1.images"]["snapshotter"];
  EXPECT_EQ(used.value_or(std::string()), name_);
}

INSTANTIATE_TEST_SUITE_P(All, ContainerdConfigTest,
                         ::testing::Values("config-v2.toml", "config-v3.toml"),
                         [](const auto& test) { return std::string(test.param).substr(7, 2); });

TEST(KeeperUnitTest, ItsSocketIsWhereSlackerdWithTheDefaultsLooks) {
  const Config config;
  const std::string hash = Sha256::Of(std::string_view(config.root)).ToHex().substr(0, 16);
  const std::string unit = ReadWholeFile(std::string(kDeploy) + "systemd/slackerd-keeper.service");
  EXPECT_THAT(unit, HasSubstr("--socket " + config.run_dir + "/" + hash + "/keeper.sock\n"));
  EXPECT_THAT(unit, HasSubstr("RuntimeDirectory=slacker slacker/" + hash + "\n"));
}

}  // namespace
}  // namespace slacker::testing
