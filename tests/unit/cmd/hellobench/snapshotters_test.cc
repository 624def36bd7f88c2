#include "cmd/hellobench/site/snapshotters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/hellobench/site/programs.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kInstalled[] = SLACKER_SOURCE_DIR "/cmd/hellobench/site/snapshotters.toml";

TEST(SnapshottersTest, TheInstalledFileHasThoseThatAreCompared) {
  Snapshotters snapshotters;
  ASSERT_OK(snapshotters.AddFile(kInstalled));
  std::vector<std::string> names;
  for (const Snapshotter& one : snapshotters.all()) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("overlayfs", "erofs", "slacker", "stargz", "soci", "nydus"));
  ASSERT_OK_AND_ASSIGN(const Snapshotter* slacker, snapshotters.Find("slacker"));
  EXPECT_TRUE(slacker->proxy);
  EXPECT_THAT(slacker->stores, ElementsAre("loopback", "nfs", "https"));
  EXPECT_THAT(slacker->containerd, ElementsAre("1", "2"));
  ASSERT_OK_AND_ASSIGN(const Snapshotter* erofs, snapshotters.Find("erofs"));
  EXPECT_FALSE(erofs->proxy);
  EXPECT_THAT(erofs->containerd, ElementsAre("2"));
}

TEST(SnapshottersTest, AllButContainerdsOwnTellTheirVersions) {
  Snapshotters snapshotters;
  ASSERT_OK(snapshotters.AddFile(kInstalled));
  for (const Snapshotter& one : snapshotters.all()) {
    EXPECT_EQ(one.version.empty(), one.name == "overlayfs") << one.name;
  }
}

TEST(SnapshottersTest, AProgramThatDoesNotKnowItsVersionIsToldByItsDigest) {
  Snapshotters snapshotters;
  ASSERT_OK(snapshotters.AddFile(kInstalled));
  ASSERT_OK_AND_ASSIGN(const Snapshotter* nydus, snapshotters.Find("nydus"));
  const TempDir directory;
  const auto programs = OpenPrograms({directory.path()}, nullptr);
  for (const auto& [name, writes] :
       {std::pair("nydusd", "nydusd  Version: \\tunknown\\nGit Commit: unknown"),
        std::pair("containerd-nydus-grpc", "Version:     v0.16.1\\nRevision: x")}) {
    const std::string path = directory / name;
    std::ofstream(path) << "#!/bin/sh\nprintf '" << writes << "\\n'\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  ASSERT_OK_AND_ASSIGN(const std::string version, programs->Run({.words = nydus->version}));
  EXPECT_THAT(version, MatchesRegex("nydusd Version: unknown \\(sha256 [0-9a-f]+\\), "
                                    "containerd-nydus-grpc Version: v0.16.1\n"));
}

TEST(SnapshottersTest, AnEntryHasEverythingThatItsFileSays) {
  Snapshotters snapshotters;
  ASSERT_OK(snapshotters.Add(R"(
[[snapshotter]]
name = "lazy"
plugin = "proxy"
containerd = ["2"]
stores = ["nfs"]
programs = ["convert"]
daemon = ["lazyd", "--root", "{root}"]
version = ["lazyd", "-v"]
containerd_config = "[x]"
differ = "walking"
setup = ["true"]
reference = "{image}-lazy"
cache = ["{root}/*"]
figures = "count {image}"
[[snapshotter.file]]
path = "etc/lazyd.toml"
text = 'a = "${HOME}" { } {node}'
stores = ["nfs"]
[[snapshotter.prepare]]
name = "convert"
command = "convert {image}"
)",
                             "own.toml"));
  ASSERT_OK_AND_ASSIGN(const Snapshotter* lazy, snapshotters.Find("lazy"));
  EXPECT_THAT(lazy->daemon, ElementsAre("lazyd", "--root", "{root}"));
  EXPECT_EQ(lazy->differ, "walking");
  EXPECT_EQ(lazy->reference, "{image}-lazy");
  EXPECT_EQ(lazy->figures, "count {image}");
  ASSERT_EQ(lazy->files.size(), 1U);
  EXPECT_EQ(lazy->files[0].path, "etc/lazyd.toml");
  EXPECT_THAT(lazy->files[0].stores, ElementsAre("nfs"));
  ASSERT_EQ(lazy->prepare.size(), 1U);
  EXPECT_EQ(lazy->prepare[0].name, "convert");
}

TEST(SnapshottersTest, OneThatIsNotThereIsNamedWithThoseThatAre) {
  Snapshotters snapshotters;
  ASSERT_OK(snapshotters.AddFile(kInstalled));
  const absl::Status status = snapshotters.Find("none").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("none"), HasSubstr("overlayfs")));
}

TEST(SnapshottersTest, AFileThatIsRefusedAddsNothing) {
  Snapshotters snapshotters;
  EXPECT_THAT(snapshotters.Add("[[snapshotter]]\nname = 'a'\nplugin = 'containerd'\n"
                               "[[snapshotter]]\nname = 'a'\nplugin = 'containerd'\n",
                               "own.toml"),
              StatusIs(kInvalid));
  EXPECT_TRUE(snapshotters.all().empty());
}

struct Wrong {
  std::string text, says;
};

class WrongSnapshottersTest : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongSnapshottersTest, IsRefusedWithItsPlace) {
  Snapshotters snapshotters;
  const absl::Status status = snapshotters.Add(GetParam().text, "own.toml");
  EXPECT_THAT(status, StatusIs(kInvalid));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("own.toml:"), HasSubstr(GetParam().says)));
}

const std::string kHead = "[[snapshotter]]\nname = 'a'\nplugin = 'containerd'\n";
const std::string kProxy = "[[snapshotter]]\nname = 'a'\nplugin = 'proxy'\ndaemon = ['d']\n";

INSTANTIATE_TEST_SUITE_P(
    Texts, WrongSnapshottersTest,
    ::testing::Values(
        Wrong{"x", "own.toml:1"}, Wrong{"image = 1", "own.toml:1: image: unknown key"},
        Wrong{"[snapshotter]", "must be written as [[snapshotter]]"},
        Wrong{"snapshotter = [1]", "must be written as [[snapshotter]]"},
        Wrong{"[[snapshotter]]\nplugin = 'proxy'", "snapshotter.name: is missing"},
        Wrong{"[[snapshotter]]\nname = 'a'", "snapshotter.plugin: is missing"},
        Wrong{kHead + "color = 1", "own.toml:4: snapshotter.color: unknown key"},
        Wrong{"[[snapshotter]]\nname = 'A b'\nplugin = 'proxy'", "own.toml:2: snapshotter.name"},
        Wrong{"[[snapshotter]]\nname = 'a'\nplugin = 'other'", "one of containerd, proxy"},
        Wrong{"[[snapshotter]]\nname = 'a'\nplugin = 'proxy'", "snapshotter.daemon"},
        Wrong{kHead + "daemon = ['d']", "snapshotter.daemon"},
        Wrong{kHead + "containerd = ['3']", "must be a list of 1, 2"},
        Wrong{kHead + "stores = ['ftp']", "must be a list of loopback, nfs, https"},
        Wrong{kHead + "stores = []", "must not be empty"},
        Wrong{kHead + "version = 'x'", "must be a list of strings"},
        Wrong{kHead + "reference = '{picture}'", "{picture} is no placeholder"},
        Wrong{kProxy + "cache = ['{rot}/x']", "{rot} is no placeholder"},
        Wrong{kHead + "file = 1", "snapshotter.file: must be written as [[snapshotter.file]]"},
        Wrong{kHead + "[[snapshotter.file]]\npath = '../x'\ntext = 'y'", "own.toml:5"},
        Wrong{kHead + "[[snapshotter.file]]\npath = '/x'\ntext = 'y'", "snapshotter.file.path"},
        Wrong{kHead + "[[snapshotter.file]]\npath = 'x'", "snapshotter.file.text: is missing"},
        Wrong{kHead + "[[snapshotter.prepare]]\nname = 'x'\ncommand = ''", "must not be empty"},
        Wrong{kHead + "[[snapshotter.prepare]]\nname = 'x'\ncommand = 'y'\nfast = 1",
              "own.toml:7: snapshotter.prepare.fast: unknown key"}));

TEST(PlaceholdersTest, AreReplacedAndNothingElseIs) {
  const Placeholders values = {{"root", "/r"}, {"image", "{root}"}};
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       Expand("{root}/a {image} ${root} {} {A} { root } {\"x\": {root}}{", values));
  EXPECT_EQ(text, "/r/a {root} ${root} {} {A} { root } {\"x\": /r}{");
}

TEST(PlaceholdersTest, OneWithoutAValueIsRefused) {
  const absl::Status status = Expand("{store}", {}).status();
  EXPECT_THAT(status, StatusIs(kInvalid));
  EXPECT_THAT(std::string(status.message()), HasSubstr("{store}"));
}

}  // namespace
}  // namespace slacker::hellobench
