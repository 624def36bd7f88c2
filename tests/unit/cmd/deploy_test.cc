// The configurations that are shipped for containerd and systemd agree with slackerd's own, and name the plugin
// so that no client takes it for something else.
#include <gmock/gmock.h>
#include <toml++/toml.h>

#include <filesystem>
#include <sstream>

#include "backend/base/digest.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerd/config.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;
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
// containerd 2 maps mounts, and so needs no copy of an image for a user namespace; 1.7 would hand the
// maps to mount(2). And "rebase" is not true of us.
TEST_P(ContainerdConfigTest, OnlyWhatBothSidesCanDoIsAdvertised) {
  const auto capabilities = plugin_["capabilities"];
  if (containerd_["version"].value_or(0) == 2) {
    EXPECT_FALSE(capabilities);
    return;
  }
  ASSERT_TRUE(capabilities.is_array());
  ASSERT_EQ(capabilities.as_array()->size(), 1U);
  EXPECT_EQ(capabilities[0].value_or(std::string()), "remap-ids");
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

std::vector<std::string> LinesThatBeginWith(const std::string& text, const std::string& begin) {
  std::vector<std::string> lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) {
    if (line.starts_with(begin)) lines.push_back(line.substr(begin.size()));
  }
  return lines;
}

// That its command works is shown by serve_test.
class PublisherUnitTest : public ::testing::Test {
 protected:
  std::vector<std::string> Setting(const std::string& name) const {
    return LinesThatBeginWith(unit_, name + "=");
  }
  const std::string unit_ =
      ReadWholeFile(std::string(kDeploy) + "systemd/slacker-publisher.service");
  const std::string environment_ = ReadWholeFile(std::string(kDeploy) + "publisher.env");
};

TEST_F(PublisherUnitTest, ItsEnvironmentNamesAStore) {
  EXPECT_THAT(Setting("EnvironmentFile"), ElementsAre("/etc/slacker/publisher.env"));
  const std::vector<std::string> stores = LinesThatBeginWith(environment_, "SLACKER_STORE=");
  ASSERT_EQ(stores.size(), 1u);
  EXPECT_OK(ValidateStoreUrl(stores[0]));
}

TEST_F(PublisherUnitTest, ItsKeyIsTheOneThatTheEnvironmentSpeaksOf) {
  ASSERT_EQ(Setting("ExecStart").size(), 1u);
  EXPECT_THAT(Setting("ExecStart")[0], HasSubstr(" --key /etc/slacker/publisher.pem"));
  EXPECT_THAT(environment_, HasSubstr("/etc/slacker/publisher.pem"));
}

// A store may be any directory, written by root or not, and NFS servers want ports below 1024.
TEST_F(PublisherUnitTest, WhatItMayNotDoIsNotWhatItHasToDo) {
  EXPECT_THAT(Setting("ProtectSystem"), ElementsAre("full"));
  EXPECT_THAT(Setting("CapabilityBoundingSet"),
              ElementsAre("CAP_DAC_OVERRIDE CAP_NET_BIND_SERVICE"));
  EXPECT_THAT(Setting("NoNewPrivileges"), ElementsAre("yes"));
  EXPECT_THAT(Setting("RestrictAddressFamilies"),
              ElementsAre("AF_INET AF_INET6 AF_NETLINK AF_UNIX"));
  EXPECT_THAT(Setting("Restart"), ElementsAre("always"));
}

// Each unit that is there is installed.
TEST(UnitsTest, AllAreInstalled) {
  const std::string list = ReadWholeFile(std::string(kDeploy) + "CMakeLists.txt");
  int units = 0;
  for (const auto& unit : std::filesystem::directory_iterator(std::string(kDeploy) + "systemd")) {
    EXPECT_THAT(list, HasSubstr("systemd/" + unit.path().filename().string()));
    ++units;
  }
  EXPECT_GE(units, 3);
}

}  // namespace
}  // namespace slacker::testing
