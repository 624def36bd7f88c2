#include "cmd/slackerctl/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/nginx_process.h"
#include "tests/unit/cmd/slackerctl/slackerctl_fixture.h"

namespace slacker::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;
using SlackerctlTest = testing::SlackerctlTest;

TEST_F(SlackerctlTest, WrongUsageExitsWith2) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"frobnicate"},
           {"publish"},
           {"inspect"},
           {"images", "--frobnicate"},
           {"publish", "oci:x", "--chunk-size", "1000"},
           {"publish", "oci:x", "--chunk-size", "524288"},
           {"publish", "oci:x", "--zstd-level", "99"},
           {"publish", "oci:x", "--platform", "linux", "--store", url_},
           {"publish", "ftp:x"},
           {"publish", "docker://"},
           {"export", "x", "ftp:x"},
           {"export", "x", "oci:"},
           {"export", "x", "oci-archive::tag"},
           {"images", "--store", "ftp://x"}}) {
    EXPECT_EQ(Run(arguments), kExitUsage);
    EXPECT_NE(err_.str(), "");
  }
}

TEST_F(SlackerctlTest, PublishWantsSourcesOrToServe) {
  EXPECT_EQ(Run({"publish"}), kExitUsage);
  EXPECT_EQ(Run({"publish", "--serve", "oci:x"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("SOURCE: is required, or else --serve; not both"));
}

TEST_F(SlackerctlTest, AnUnknownVerbIsNamed) {
  EXPECT_EQ(Run({"bogus\n", "x"}), kExitUsage);
  EXPECT_EQ(err_.str(),
            "slackerctl: there is no verb \"bogus?\"; \"slackerctl --help\" lists them\n");
}

TEST_F(SlackerctlTest, ABadValueIsAUsageErrorWhateverTheVerb) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"inspect", "x", "--platform", "linux"},
                                             {"images", "--platform", "linux"},
                                             {"publish", "oci:x", "--private", "bad//name"}}) {
    EXPECT_EQ(Run(arguments), kExitUsage) << arguments[0];
    EXPECT_THAT(err_.str(), HasSubstr(arguments.end()[-2]));
  }
}

TEST_F(SlackerctlTest, AStoreIsMadeByAPublicationWhichSaysSoAndByNoService) {
  const std::string source = AddImage("v1");
  EXPECT_EQ(Run({"publish", "--serve", "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("store is missing"), HasSubstr("hint: ")));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "store"));
  const std::vector<std::string> publish = {"publish",     source,    "--platform",
                                            "linux/amd64", "--store", url_};
  EXPECT_EQ(Run(publish), kExitOk);
  EXPECT_EQ(err_.str().find("slackerctl: there was no store at " + url_ + ": made it\n"), 0U);
  EXPECT_EQ(Run(publish), kExitOk);
  EXPECT_THAT(err_.str(), Not(HasSubstr("made it")));
}

TEST_F(SlackerctlTest, HelpAndVersionGoToStandardOutput) {
  EXPECT_EQ(Run({"--version"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("slackerctl " SLACKER_VERSION));
  EXPECT_EQ(Run({"publish", "--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("--zstd-level"));
}

TEST_F(SlackerctlTest, OutputThatCannotBeWrittenIsAFailure) {
  std::ofstream full("/dev/full");
  const Console console{full, err_, false, false};
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"--help"}, {"images", "--store", "loopback:" + dir_.path(), "--json"}}) {
    full.clear();
    err_.str("");
    EXPECT_EQ(RunSlackerctl(arguments, console), kExitFailed);
    EXPECT_THAT(err_.str(), HasSubstr("standard output"));
  }
}

TEST_F(SlackerctlTest, AMissingStoreIsAFailure) {
  EXPECT_EQ(Run({"images", "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("slackerctl: "));
  EXPECT_THAT(err_.str(), HasSubstr("hint: "));
}

TEST_F(SlackerctlTest, AStoreInMemoryIsRefused) {
  EXPECT_EQ(Run({"images", "--store", "memory:"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("gone with slackerctl"));
}

TEST_F(SlackerctlTest, AChainThatIsNotPublishedIsNamed) {
  ASSERT_EQ(Run({"publish", AddImage("v1"), "--platform", "linux/amd64", "--store", url_}),
            kExitOk);
  const std::string chain = "sha256:" + std::string(64, '0');
  EXPECT_EQ(Run({"inspect", chain, "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(),
              HasSubstr("slackerctl: no image with the chain ID " + chain + " is published"));
}

TEST_F(SlackerctlTest, ANodeWithoutASlackerdIsToldPlainly) {
  const std::string socket = dir_ / "slackerd.sock";
  EXPECT_EQ(Run({"status", "--address", socket}), kExitFailed);
  EXPECT_EQ(err_.str(),
            "slackerctl: there is no slackerd at " + socket +
                "\n  hint: see whether it runs, and whether this is its socket (--address).\n");
}

TEST_F(SlackerctlTest, TheOptionWinsOverTheEnvironment) {
  ASSERT_EQ(setenv("SLACKER_STORE", "ftp://x", 1), 0);
  EXPECT_EQ(Run({"images"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("ftp://x"));
  EXPECT_EQ(Run({"images", "--store", "loopback:" + dir_.path()}), kExitOk) << err_.str();
  ASSERT_EQ(unsetenv("SLACKER_STORE"), 0);
}

// Documents nested as deep as their size allows: whoever prints them recurses.
TEST_F(SlackerctlTest, ADeeplyNestedConfigurationIsRefused) {
  const std::string source = AddImage("v1");
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  const std::string file = layout_.directory() + "/index.json";
  const std::string index = testing::ReadFileOrDie(file);
  testing::WriteFileOrDie(file, index.substr(0, index.rfind('}')) + ",\"x\":" + deep + "}");
  EXPECT_EQ(Run({"publish", source, "--platform", "linux/amd64", "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("nested more than 64 deep"));
}

TEST_F(SlackerctlTest, AnImageIsPublishedListedInspectedAndVerified) {
  const std::string source = AddImage("v1");
  const Json published = RunJson({"publish", source, "--platform", "linux/amd64"});
  ASSERT_EQ(published.size(), 1u);
  EXPECT_EQ(published[0]["chain_id"], chain_);
  EXPECT_EQ(published[0]["name"], source);
  EXPECT_EQ(published[0]["layers_reused"], 0);
  const Json images = RunJson({"images"});
  ASSERT_EQ(images.size(), 1u);
  EXPECT_EQ(images[0]["chain_id"], chain_);
  EXPECT_EQ(images[0]["layers"], 1);
  EXPECT_EQ(images[0]["stored_bytes"], 200'000);
  EXPECT_EQ(images[0]["shared_bytes"], 0);
  for (const std::string& name : {source, chain_}) {
    const Json details = RunJson({"inspect", name});
    EXPECT_EQ(details["layers"].size(), 1u);
    EXPECT_EQ(details["layers"][0]["content_bytes"], 200'000);
    EXPECT_EQ(details["config"]["os"], "linux");
    const Json report = RunJson({"verify", name});
    EXPECT_EQ(report["layers"], 1);
    EXPECT_EQ(report["damages"].size(), 0u);
  }
}

TEST_F(SlackerctlTest, SeveralPlatformsOfAnIndexArePublished) {
  AddImage("a");
  AddImage("b", {"linux", "arm64", "v8"});
  const std::string source = "oci:" + layout_.directory();
  const auto platforms = [](const Json& images) {
    std::vector<std::string> found;
    for (const Json& image : images) found.push_back(image["platform"]);
    return found;
  };
  const std::vector<std::string> both = {"linux/amd64", "linux/arm64/v8"};
  EXPECT_EQ(platforms(RunJson(
                {"publish", "--platform", "linux/amd64", "--platform", "linux/arm64", source})),
            both);
  EXPECT_EQ(platforms(RunJson({"publish", "--all-platforms", source})), both);
  EXPECT_EQ(platforms(RunJson({"images"})), both);
  // One that is missing does not keep the other from it.
  EXPECT_EQ(Run({"publish", "--platform", "linux/s390x", "--platform", "linux/amd64", source,
                 "--store", url_}),
            kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("linux/s390x"));
  EXPECT_THAT(out_.str(), HasSubstr("published " + source + " (linux/amd64)"));
  EXPECT_EQ(Run({"publish", "--all-platforms", "--platform", "linux/amd64", source}), kExitUsage);
}

TEST_F(SlackerctlTest, WhoMayHaveAnImageIsSaid) {
  const std::string source = AddImage("v1");
  const std::vector<std::string> base = {"publish", source, "--platform", "linux/amd64"};
  const auto with = [&base](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  EXPECT_EQ(RunJson(with({"--private", "r.x/app"}))[0]["private_repository"], "r.x/app");
  EXPECT_EQ(RunJson(with({"--public"}))[0]["private_repository"], "");
  EXPECT_EQ(Run(with({"--public", "--private", "r.x/app"})), kExitUsage);
}

TEST_F(SlackerctlTest, PeopleReadTables) {
  const std::string source = AddImage("v1");
  ASSERT_EQ(Run({"publish", source, "--platform", "linux/amd64", "--store", url_}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("published " + source));
  EXPECT_THAT(err_.str(), HasSubstr("layer 1/1"));
  terminal_ = true;
  ASSERT_EQ(Run({"images", "--store", url_}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr(source + "  " + chain_.substr(0, 19) + "  linux/amd64  1  "));
  EXPECT_THAT(out_.str(), HasSubstr("SHARED"));
  ASSERT_EQ(Run({"inspect", source, "--store", url_}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("chain:      " + chain_));
  EXPECT_THAT(out_.str(), HasSubstr("granted to: anybody"));
  ASSERT_EQ(Run({"verify", "--store", url_}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("everything is sound"));
}

TEST_F(SlackerctlTest, ProgramsReadPlainLines) {
  const std::string source = AddImage("v1");
  ASSERT_EQ(Run({"publish", source, "--platform", "linux/amd64", "--store", url_}), kExitOk);
  ASSERT_EQ(Run({"images", "--store", url_}), kExitOk);
  EXPECT_TRUE(out_.str().starts_with(source + "\t" + chain_ + "\tlinux/amd64\t1\t")) << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("\t200000\t0\t"));
  ASSERT_EQ(Run({"inspect", source, "--store", url_}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("chain\t" + chain_ + "\n"));
  EXPECT_THAT(out_.str(), HasSubstr("layer\t1\tsha256:"));
}

TEST_F(SlackerctlTest, ImagesOfOnePlatformAreListed) {
  AddImage("", {"linux", "s390x", ""});
  const std::string name = "oci:" + layout_.directory();
  ASSERT_EQ(Run({"publish", name, "--platform", "linux/s390x", "--store", url_}), kExitOk);
  EXPECT_EQ(RunJson({"images", "--platform", "linux/s390x"}).size(), 1u);
  EXPECT_EQ(RunJson({"images", "--platform", "linux/arm64"}).size(), 0u);
}

TEST_F(SlackerctlTest, AnImageThatCannotBeMeasuredIsListedAllTheSame) {
  const std::string source = AddImage("v1");
  ASSERT_EQ(Run({"publish", source, "--platform", "linux/amd64", "--store", url_}), kExitOk);
  std::filesystem::remove_all(dir_ / "store/locations");
  EXPECT_EQ(Run({"images", "--store", url_}), kExitFailed);
  EXPECT_THAT(out_.str(), HasSubstr(source + "\t" + chain_ + "\tlinux/amd64\t?\t"));
  EXPECT_THAT(err_.str(), HasSubstr(source));
}

TEST_F(SlackerctlTest, DamageIsNamedAndExitsWith1) {
  const std::string source = AddImage("v1");
  ASSERT_EQ(Run({"publish", source, "--platform", "linux/amd64", "--store", url_}), kExitOk);
  for (const auto& pack : std::filesystem::directory_iterator(dir_ / "store/packs")) {
    if (pack.path().extension() != ".idx") std::filesystem::resize_file(pack.path(), 100'000);
  }
  EXPECT_EQ(Run({"verify", "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("damaged: chunk sha256:"));
  EXPECT_EQ(Run({"verify", source, "--store", url_, "--json"}), kExitFailed);
  const Json damages = Json::parse(out_.str())["damages"];
  ASSERT_GT(damages.size(), 0u);
  EXPECT_EQ(damages[0]["images"], Json::array({source}));
}

TEST_F(SlackerctlTest, SeveralImagesAreVerifiedAtOnceAndFoundByTheBeginningsOfTheirChains) {
  const std::string source = AddImage("v1");
  ASSERT_EQ(Run({"publish", source, "--platform", "linux/amd64", "--store", url_}), kExitOk);
  const std::string prefix = chain_.substr(0, chain_.find(':') + 13);
  EXPECT_EQ(RunJson({"inspect", prefix})["chain_id"], chain_);
  const uint64_t chunks = RunJson({"verify", source})["chunks"];
  EXPECT_EQ(RunJson({"verify", source, prefix})["chunks"], 2 * chunks);
  EXPECT_EQ(Run({"inspect", "sha256:000000", "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("no image's chain ID begins with sha256:000000"));
}

TEST_F(SlackerctlTest, OneBadSourceDoesNotKeepTheOthersOut) {
  const std::string good = AddImage("good");
  EXPECT_EQ(Run({"publish", good + "-not", good, "--platform", "linux/amd64", "--store", url_}),
            kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("no image with the tag good-not"));
  EXPECT_EQ(RunJson({"images"}).size(), 1u);
}

TEST_F(SlackerctlTest, ThePlatformChoosesBetweenImagesOfOneName) {
  AddImage("", {"linux", "s390x", ""});
  const std::string s390x = chain_;
  AddImage("", {"linux", "mips64le", ""});
  const std::string mips = chain_;
  const std::string name = "oci:" + layout_.directory();
  for (const char* platform : {"linux/s390x", "linux/mips64le"}) {
    ASSERT_EQ(Run({"publish", name, "--platform", platform, "--store", url_}), kExitOk);
  }
  EXPECT_EQ(RunJson({"inspect", name, "--platform", "linux/mips64le"})["chain_id"], mips);
  EXPECT_EQ(RunJson({"inspect", name, "--platform", "linux/s390x"})["chain_id"], s390x);
  EXPECT_EQ(Run({"inspect", name, "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("--platform"));
  EXPECT_EQ(Run({"inspect", "nginx", "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("no image nginx is published"));
}

TEST_F(SlackerctlTest, AKeySignsWhatIsPublishedAndVerifyProvesIt) {
  const std::string key = dir_ / "key";
  ASSERT_EQ(Run({"keygen", key}), kExitOk) << err_.str();
  EXPECT_EQ(std::filesystem::status(key).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(Run({"keygen", key}), kExitFailed);  // never overwritten
  RunJson({"publish", AddImage("signed"), "--key", key});
  const std::string key_id = RunJson({"images"})[0]["keys"][0];
  EXPECT_EQ(key_id.size(), 64u);
  const Json details = RunJson({"inspect", chain_});
  EXPECT_EQ(details["keys"][0], key_id);
  EXPECT_EQ(details["grants"].back()["repository"], "");
  EXPECT_EQ(details["grants"].back()["key"], key_id);
  // One line for whom, however many grants say so.
  EXPECT_EQ(details["grants"].size(), 2u);
  ASSERT_EQ(Run({"inspect", chain_, "--store", url_}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("granted to\tanybody, signed by " + key_id + "\n"));
  EXPECT_EQ(out_.str().find("granted to"), out_.str().rfind("granted to"));
  EXPECT_EQ(RunJson({"verify", "--trusted-key", key + ".pub"})["signatures"], 1);
  EXPECT_EQ(RunJson({"verify", chain_, "--trusted-key", key + ".pub"})["signatures"], 1);
}

TEST_F(SlackerctlTest, WhatWasPublishedUnsignedIsSignedLater) {
  const std::string key = dir_ / "key";
  ASSERT_EQ(Run({"keygen", key}), kExitOk) << err_.str();
  RunJson({"publish", AddImage("v1")});
  EXPECT_EQ(Run({"verify", chain_, "--store", url_, "--trusted-key", key + ".pub"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("not signed by a trusted key"));
  EXPECT_EQ(Run({"sign", "--store", url_, "--key", key}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("it grants the image to everybody, but nothing proves that"));
  EXPECT_EQ(Run({"sign", "--store", url_, "--key", key, "--public"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("granted to everybody: " + chain_));
  EXPECT_THAT(out_.str(), HasSubstr("signed 0 manifests, 1 had this signature already"));
  EXPECT_EQ(RunJson({"verify", chain_, "--trusted-key", key + ".pub"})["signatures"], 1);
}

TEST_F(SlackerctlTest, AFileThatIsNoKeyIsRefused) {
  const std::string source = AddImage("v1");
  EXPECT_EQ(Run({"publish", source, "--store", url_, "--key", dir_ / "none"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("open " + (dir_ / "none")));
  EXPECT_EQ(Run({"publish", source, "--store", url_, "--key", dir_ / "layout/oci-layout"}),
            kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("not an Ed25519 private key"));
  EXPECT_EQ(Run({"verify", "--store", url_, "--trusted-key", dir_ / "none"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("open " + (dir_ / "none")));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "store"));
  EXPECT_EQ(Run({"sign", "--store", url_}), kExitUsage);
}

TEST_F(SlackerctlTest, AStoreBehindAWebServerIsReadByNamesAndChainIds) {
  const testing::TestCertificates certificates(dir_ / "certificates");
  const testing::NginxProcess nginx({.directory = dir_ / "nginx",
                                     .root = dir_ / "store",
                                     .certificates = &certificates,
                                     .client_certificate = true,
                                     .token = "secret"});
  std::ofstream(dir_ / "token") << "secret\n";
  RunJson({"publish", AddImage("arm", {"linux", "arm64", "v8"}), "--platform", "linux/arm64"});
  const std::string arm_chain = chain_;
  const std::string image = AddImage("v1");
  RunJson({"publish", image, "--platform", "linux/amd64"});
  const std::vector<std::string> access = {"--store",
                                           nginx.Url(),
                                           "--ca-file",
                                           certificates.ca(),
                                           "--client-certificate",
                                           certificates.client(),
                                           "--client-key",
                                           certificates.client_key(),
                                           "--token-file",
                                           dir_ / "token"};
  const auto with = [&access](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), access.begin(), access.end());
    return arguments;
  };
  EXPECT_EQ(Run(with({"inspect", chain_})), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr(chain_));
  EXPECT_EQ(Run(with({"verify", chain_})), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("everything is sound"));
  EXPECT_EQ(Run(with({"inspect", image})), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("image\t" + image), HasSubstr(chain_)));
  EXPECT_EQ(Run(with({"verify", image})), kExitOk) << err_.str();
  EXPECT_EQ(Run(with({"ls", image})), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("file-v1\n"));
  EXPECT_EQ(Run(with({"cat", image, "file-v1"})), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(), testing::RandomBytes(200'000, 7));
  const std::string arm = "oci:" + layout_.directory() + ":arm";
  EXPECT_EQ(Run(with({"inspect", arm, "--platform", "linux/arm64"})), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr(arm_chain));
  EXPECT_EQ(Run(with({"diff", chain_, arm_chain})), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(), "A\t/file-arm\nD\t/file-v1\n");
  EXPECT_EQ(Run(with({"inspect", arm})), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("is published for linux/amd64"));
  EXPECT_EQ(Run(with({"inspect", chain_.substr(0, 20)})), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("the whole chain ID"));
  EXPECT_EQ(Run(with({"export", chain_, "oci:" + dir_ / "exported"})), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("by the image's name only"));
  EXPECT_EQ(Run(with({"export", image, "oci:" + dir_ / "exported:v1"})), kExitOk) << err_.str();
  EXPECT_THAT(testing::ReadFileOrDie(dir_ / "exported/index.json"), HasSubstr("\"v1\""));
  EXPECT_EQ(Run(with({"verify"})), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("can only be read"));
  for (const char* verb : {"images", "sign"}) {
    std::vector<std::string> arguments = {verb, "--store", nginx.Url()};
    if (verb == std::string("sign")) {
      ASSERT_EQ(Run({"keygen", dir_ / "key"}), kExitOk);
      arguments.insert(arguments.end(), {"--key", dir_ / "key"});
    }
    EXPECT_EQ(Run(arguments), kExitFailed);
    EXPECT_THAT(err_.str(), HasSubstr("can only be read"));
  }
  EXPECT_EQ(Run({"inspect", chain_, "--store", nginx.Url(), "--ca-file", certificates.ca()}),
            kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("400"));
}

}  // namespace
}  // namespace slacker::ctl
