#include "cmd/slackerd/config.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>

#include "cmd/common/key_files.h"
#include "cmd/slackerd/config_files.h"
#include "cmd/slackerd/flags.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(ConfigTest, EveryKeyIsRead) {
  Config config;
  ASSERT_OK(ApplyToml(
      "address = '/a'\nroot = '/r'\nlog_level = 'debug'\n"
      "[store]\nurl = 'loopback:/s'\nca_file = '/c'\nclient_certificate = '/cc'\n"
      "client_key = '/ck'\ntoken_file = '/t'\nbudget_ms = 7\nstall_timeout = '2m'\ntrusted_keys = "
      "['/k', '/l']\n"
      "insecure = true\nprivate = 'cri-annotations'\n[publish]\nrequest = true\nauto = true\n"
      "key = '/p'\ncontainerd = '/c.sock'\n[node]\nrun_dir = '/n'\nsync_commits = false\n"
      "keeper_deadline = '1m'\n"
      "[cache]\ncomplete = 'off'\ncomplete_rate = 70000\nmax_bytes = 5000\nmin_free = '10%'\n",
      "f", &config));
  EXPECT_EQ(config.address, "/a");
  EXPECT_EQ(config.root, "/r");
  EXPECT_EQ(config.log_level, "debug");
  EXPECT_EQ(config.store_url, "loopback:/s");
  EXPECT_EQ(
      config.store_access,
      (StoreAccess{
          .ca_file = "/c", .client_certificate = "/cc", .client_key = "/ck", .token_file = "/t"}));
  EXPECT_EQ(config.store_budget_ms, 7);
  EXPECT_EQ(config.store_stall_seconds, 120);
  EXPECT_EQ(config.run_dir, "/n");
  EXPECT_FALSE(config.sync_commits);
  EXPECT_EQ(config.keeper_deadline_seconds, 60);
  EXPECT_EQ(config.trusted_keys, (std::vector<std::string>{"/k", "/l"}));
  EXPECT_TRUE(config.store_insecure);
  EXPECT_TRUE(config.publish_request);
  EXPECT_TRUE(config.publish_auto);
  EXPECT_EQ(config.publish_key, "/p");
  EXPECT_EQ(config.publish_containerd, "/c.sock");
  EXPECT_EQ(config.store_private, "cri-annotations");
  EXPECT_EQ(config.cache_complete, "off");
  EXPECT_EQ(config.cache_complete_rate, 70000);
  EXPECT_EQ(config.cache_max_bytes, 5000);
  EXPECT_EQ(MinFreePercent(config), 10U);
}

TEST(ConfigTest, AStoreInSeveralPlacesHasItsUrlsInTheOrderInWhichTheyAreAsked) {
  Config config;
  ASSERT_OK(ApplyToml("[store]\nurl = ''\nurls = ['loopback:/a', 'https://b', 'loopback:/c']\n",
                      "f", &config));
  EXPECT_EQ(config.store_url, "loopback:/a");
  EXPECT_EQ(config.store_replicas, (std::vector<std::string>{"https://b", "loopback:/c"}));
  EXPECT_THAT(ApplyToml("[store]\nurl = 'loopback:/a'\nurls = ['loopback:/b']\n", "f", &config),
              StatusIs(kInvalid, "f:3: store.urls: store.url is set, too"));
  EXPECT_THAT(ApplyToml("[store]\nurls = []\n", "f", &config),
              StatusIs(kInvalid, "must have a URL"));
  EXPECT_THAT(ApplyToml("[store]\nurls = ['']\n", "f", &config), StatusIs(kInvalid));
  EXPECT_THAT(ApplyToml("[store]\nurls = 'loopback:/a'\n", "f", &config), StatusIs(kInvalid));
}

TEST(ConfigTest, WhatIsNestedWithoutAnEndIsNotFollowed) {
  std::string deep = "a";
  for (int i = 0; i < 500'000; ++i) deep += ".a";
  Config config;
  EXPECT_THAT(ApplyToml(deep + " = 1", "f.toml", &config), StatusIs(kInvalid, "f.toml: "));
}

TEST(ConfigTest, AnEmptyFileLeavesTheDefaults) {
  Config config;
  ASSERT_OK(ApplyToml("", "f", &config));
  EXPECT_EQ(config.address, "/run/slacker/slackerd.sock");
}

TEST(ConfigTest, TheShippedExampleHoldsTheDefaults) {
  Config config;
  config.address = config.root = config.run_dir = config.log_level = "/changed";
  config.store_url = "loopback:/changed";
  config.store_budget_ms = config.store_stall_seconds = 1;
  config.store_private = kPrivateByCri;
  config.cache_complete = "off";
  config.cache_complete_rate = 1;
  config.cache_max_bytes = 1;
  config.cache_min_free = "1%";
  config.store_insecure = config.publish_request = config.publish_auto = true;
  config.sync_commits = false;
  config.publish_key = config.publish_containerd = "/changed";
  config.trusted_keys = {"/changed"};
  config.store_access = {
      .ca_file = "/a", .client_certificate = "/b", .client_key = "/c", .token_file = "/d"};
  ASSERT_OK(ApplyTomlFile(SLACKER_SOURCE_DIR "/deploy/config.toml", &config));
  config.places.clear();
  EXPECT_TRUE(config == Config()) << "a key is not in the example, or with another value";
}

struct BadCase {
  const char* name;
  const char* text;
  const char* message;
};

class BadConfigTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadConfigTest, IsRefusedWithFileLineAndKeyAndChangesNothing) {
  Config config;
  EXPECT_THAT(ApplyToml(std::string("log_level = 'debug'\n") + GetParam().text, "f.toml", &config),
              StatusIs(kInvalid, GetParam().message));
  EXPECT_EQ(config.log_level, "info");
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfigTest,
    ::testing::Values(
        BadCase{"UnknownKey", "adress = '/a'", "f.toml:2: adress: unknown key"},
        BadCase{"UnknownTable", "[stores]\nurl = ''", "f.toml:2: stores: unknown key"},
        BadCase{"UnknownKeyInTable", "[store]\nuri = ''", "f.toml:3: store.uri: unknown key"},
        BadCase{"KeyOfAnotherTable", "[node]\nurl = ''", "f.toml:3: node.url: unknown key"},
        BadCase{"WrongType", "root = 5", "f.toml:2: root: must be a string"},
        BadCase{"NumberAsString", "[store]\nbudget_ms = '5'",
                "f.toml:3: store.budget_ms: must be an integer"},
        BadCase{"NumberAsFloat", "[store]\nbudget_ms = 5.0",
                "f.toml:3: store.budget_ms: must be an integer"},
        BadCase{"NumberOutOfRange", "[store]\nbudget_ms = 0", "f.toml:3: store.budget_ms: must be"},
        BadCase{"UnknownPrivate", "[store]\nprivate = 'all'", "f.toml:3: store.private: "},
        BadCase{"UnknownComplete", "[cache]\ncomplete = 'now'", "f.toml:3: cache.complete: "},
        BadCase{"NegativeCache", "[cache]\nmax_bytes = -1", "f.toml:3: cache.max_bytes: must be"},
        BadCase{"FreeBytes", "[cache]\nmin_free = 5", "f.toml:3: cache.min_free: must be a string"},
        BadCase{"FreeWithoutUnit", "[cache]\nmin_free = '5'", "f.toml:3: cache.min_free: must be"},
        BadCase{"FreeOfMore", "[cache]\nmin_free = '5% '", "f.toml:3: cache.min_free: must be"},
        BadCase{"AllFree", "[cache]\nmin_free = '91%'", "f.toml:3: cache.min_free: must be"},
        BadCase{"CompleteRateOfNothing", "[cache]\ncomplete_rate = 0",
                "f.toml:3: cache.complete_rate: must be"},
        BadCase{"ListAsString", "[store]\ntrusted_keys = '/k'",
                "f.toml:3: store.trusted_keys: must be a list of strings"},
        BadCase{"ListOfNumbers", "[store]\ntrusted_keys = [1]",
                "f.toml:3: store.trusted_keys: must be a list of strings"},
        BadCase{"RelativeKey", "[store]\ntrusted_keys = ['k']",
                "f.toml:3: store.trusted_keys: must be an absolute path"},
        BadCase{"RelativeFile", "[store]\ntoken_file = 't'",
                "f.toml:3: store.token_file: must be an absolute path"},
        BadCase{"FlagAsNumber", "[store]\ninsecure = 1",
                "f.toml:3: store.insecure: must be true or false"},
        BadCase{"TableAsValue", "store = 'x'", "f.toml:2: store: must be a table"},
        BadCase{"ArrayOfTables", "[[store]]\nurl = ''", "f.toml:2: store: must be a table"},
        BadCase{"ValueAsTable", "[address]\nx = 1", "f.toml:2: address: must be a string"},
        BadCase{"TableWithoutAName", "[\"\"]\nroot = '/x'", "f.toml:2: : unknown key"},
        BadCase{"KeyWithoutAName", "\"\" = 1", "f.toml:2: : unknown key"},
        BadCase{"BadUrl", "[store]\nurl = 's3://x'",
                "f.toml:3: store.url: store URL \"s3://x\": must be loopback"},
        BadCase{"RelativeUrl", "[store]\nurl = 'loopback:x'", "f.toml:3: store.url"},
        BadCase{"RelativePath", "root = 'x'", "f.toml:2: root: must be an absolute path"},
        BadCase{"PathWithColon", "root = '/x:y'", "f.toml:2: root"},
        BadCase{"BadLevel", "[node]\nrun_dir = '/x'\n[store]\nbudget_ms = -1", "f.toml:5"},
        BadCase{"NotToml", "address = ", "f.toml:2: "},
        BadCase{"DuplicateKey", "log_level = 'info'", "f.toml:2: "}),
    [](const auto& test) { return test.param.name; });

class FlagsTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::optional<Config>> Read(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "slackerd");
    return ReadFlags(static_cast<int>(arguments.size()), arguments.data());
  }
  TempDir dir_;
};

TEST_F(FlagsTest, FlagsOverrideTheFile) {
  const std::string file = dir_ / "c.toml";
  std::ofstream(file) << "address = '/from-file'\nroot = '/root-of-file'\n";
  ASSERT_OK_AND_ASSIGN(const auto config, Read({"--config", file.c_str(), "--address", "/from-flag",
                                                "--store", "loopback:/s", "--log-level", "error"}));
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->address, "/from-flag");
  EXPECT_EQ(config->root, "/root-of-file");
  EXPECT_EQ(config->store_url, "loopback:/s");
  EXPECT_EQ(config->log_level, "error");
}

TEST_F(FlagsTest, MistakesAreRefused) {
  EXPECT_THAT(Read({"--no-such-flag"}), StatusIs(kInvalid));
  EXPECT_THAT(Read({"--root"}), StatusIs(kInvalid));
  EXPECT_THAT(Read({"--root", "relative"}), StatusIs(kInvalid, "--root"));
  EXPECT_THAT(Read({"--root", "/r\xff"}), StatusIs(kInvalid, "--root: must be UTF-8"));
  EXPECT_THAT(Read({"--root", "/r\n"}), StatusIs(kInvalid, "--root: must not contain"));
  EXPECT_OK(Read({"--root", "/r\xc3\xa4#'"}));
  EXPECT_THAT(Read({"--store", "x"}), StatusIs(kInvalid, "--store"));
  EXPECT_THAT(Read({"--log-level", "loud"}), StatusIs(kInvalid, "--log-level"));
  const std::string longer = "/" + std::string(107, 'a');
  EXPECT_THAT(Read({"--address", longer.c_str()}), StatusIs(kInvalid, "107"));
  EXPECT_THAT(Read({"--address", "/run/slacker/"}),
              StatusIs(kInvalid, "--address: must be a file"));
  EXPECT_THAT(Read({"--address", "/"}), StatusIs(kInvalid, "--address"));
  EXPECT_THAT(Read({"--config", (dir_ / "none").c_str()}), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(FlagsTest, AnEmptyValueIsNotTheDefault) {
  for (const char* flag : {"--address", "--config", "--root", "--store", "--log-level"}) {
    EXPECT_THAT(Read({flag, ""}), StatusIs(kInvalid, std::string(flag) + ": must not be empty"));
    EXPECT_THAT(Read({(std::string(flag) + "=").c_str()}), StatusIs(kInvalid, flag));
  }
}

TEST_F(FlagsTest, RequestsWithoutAStoreAreRefusedByName) {
  const std::string file = dir_ / "c.toml";
  std::ofstream(file) << "publish.request = true\n";
  EXPECT_THAT(Read({"--config", file.c_str()}), StatusIs(kInvalid, "publish.request"));
  EXPECT_OK(Read({"--config", file.c_str(), "--store", "loopback:/s"}));
}

TEST_F(FlagsTest, HelpSaysWhatTheDefaultsAre) {
  const Config defaults;
  const std::string help = Flags().app->help();
  for (const std::string& value : {defaults.address, defaults.root, defaults.log_level}) {
    EXPECT_NE(help.find("(default: " + value + ")"), std::string::npos) << value;
  }
}

TEST_F(FlagsTest, VersionAsksForTextOnly) {
  ASSERT_OK_AND_ASSIGN(const auto config, Read({"--version"}));
  EXPECT_FALSE(config.has_value());
}

// Files that the configuration names.
class ConfigFilesTest : public ::testing::Test {
 protected:
  // The configuration from a file of this text, "f.toml".
  static Config Read(const std::string& text) {
    Config config;
    EXPECT_OK(ApplyToml(text, "f.toml", &config));
    return config;
  }
  std::string WriteKey(const std::string& name) {
    EXPECT_OK(WriteKeyPair(SigningKey::Generate(), dir_ / name));
    return dir_ / name;
  }

  const TempDir dir_;
};

TEST_F(ConfigFilesTest, KeysThatCannotBeReadAreNamedWithFileLineAndKey) {
  const std::string good = WriteKey("good");
  EXPECT_OK(ReadTrustedKeys(Read("[store]\n\ntrusted_keys = ['" + good + ".pub']")));
  EXPECT_THAT(ReadTrustedKeys(Read("[store]\n\ntrusted_keys = ['" + good + ".pub', '/none']")),
              StatusIs(absl::StatusCode::kInternal, "f.toml:3: store.trusted_keys: open /none"));
  EXPECT_THAT(ReadTrustedKeys(Read("[store]\ntrusted_keys = ['" + good + "']")),
              StatusIs(kInvalid, "f.toml:2: store.trusted_keys: " + good + ": "));
  EXPECT_THAT(CheckPublishing(Read("[store]\nurl = 'loopback:/s'\n"
                                   "[publish]\nauto = true\nkey = '" +
                                   good + ".pub'"),
                              {}),
              StatusIs(kInvalid, "f.toml:5: publish.key: " + good + ".pub: "));
}

TEST_F(ConfigFilesTest, FilesOfAWebStoreAreNamedWithFileLineAndKeyWhereThereIsOne) {
  for (const std::string key : {"ca_file", "client_certificate", "client_key", "token_file"}) {
    const std::string text = "[store]\n" + key + " = '/none'\n";
    EXPECT_OK(CheckAccessFiles(Read(text + "url = 'loopback:/s'")));
    for (const std::string url : {"url = 'https://s'", "urls = ['loopback:/s', 'https://s']"}) {
      EXPECT_THAT(CheckAccessFiles(Read(text + url)),
                  StatusIs(absl::StatusCode::kInternal, "f.toml:2: store." + key + ": open /none"));
    }
  }
}

TEST_F(ConfigFilesTest, PublishingWhatTheNodeWouldNotRunIsRefused) {
  const std::string mine = WriteKey("mine");
  const std::string other = WriteKey("other");
  const auto trusted = ReadPublicKeys({other + ".pub"});
  ASSERT_OK(trusted);
  const std::string store = "[store]\nurl = 'loopback:/s'\n[publish]\nauto = true\n";
  EXPECT_OK(CheckPublishing(Read(store), {}));
  EXPECT_OK(CheckPublishing(Read(store + "key = '" + other + "'"), *trusted));
  EXPECT_THAT(
      CheckPublishing(Read(store + "key = '" + mine + "'"), *trusted),
      StatusIs(absl::StatusCode::kFailedPrecondition, "f.toml:5: publish.key: the public half"));
  EXPECT_THAT(
      CheckPublishing(Read(store), *trusted),
      StatusIs(absl::StatusCode::kFailedPrecondition, "f.toml:4: publish.auto: it needs a"));
  for (const char* url : {"", "memory:", "https://s"}) {
    EXPECT_THAT(CheckPublishing(
                    Read(std::string("[store]\nurl = '") + url + "'\n[publish]\nauto = true"), {}),
                StatusIs(kInvalid, "f.toml:4: publish.auto: "))
        << url;
  }
}

}  // namespace
}  // namespace slacker::testing
