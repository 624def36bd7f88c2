// gc, rm, compact, fsck and stats: what they say, to whom, and how they end. What they do to a store
// is tested with backend/upkeep.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "tests/unit/cmd/slackerctl/slackerctl_fixture.h"

namespace slacker::ctl {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TarBuilder;

class UpkeepVerbsTest : public testing::SlackerctlTest {
 protected:
  std::string Publish(const std::string& tag) {
    const std::string source =
        AddTar(TarBuilder()
                   .File("shared", testing::RandomBytes(200'000, 7))
                   .File("own", testing::RandomBytes(50'000, std::hash<std::string>()(tag)))
                   .End(),
               tag);
    EXPECT_EQ(Run({"publish", source, "--platform", "linux/amd64", "--store", url_}), kExitOk)
        << err_.str();
    return source;
  }
  // As if everything had been written two days ago.
  void Backdate() {
    const auto then = std::filesystem::file_time_type::clock::now() - std::chrono::hours(48);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(store_)) {
      if (entry.is_regular_file()) std::filesystem::last_write_time(entry.path(), then);
    }
  }
  std::vector<std::string> Files(const std::string& folder) {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(store_ + "/" + folder)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    return files;
  }
  void Damage(const std::string& path) {
    std::string bytes = testing::ReadFileOrDie(path);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    testing::WriteFileOrDie(path, bytes);
  }
  int RunOn(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--store", url_});
    return Run(std::move(arguments));
  }

  const std::string store_ = dir_ / "store";
};

TEST_F(UpkeepVerbsTest, WhatTheyDoNotKnowIsRefusedBeforeTheStoreIsLookedAt) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"gc", "--grace", "soon"},
                                             {"gc", "--grace", "-1d"},
                                             {"gc", "--grace", "30"},
                                             {"gc", "--grace", "99999999999999999999d"},
                                             {"gc", "--grace", "36501d"},
                                             {"gc", "something"},
                                             {"gc", "--repair"},
                                             {"compact", "--dry-run"},
                                             {"compact", "something"},
                                             {"fsck", "--repair=maybe"},
                                             {"fsck", "--grace", "0"},
                                             {"stats", "--repair"},
                                             {"stats", "something"},
                                             {"rm"},
                                             {"rm", "--grace", "0"}}) {
    EXPECT_EQ(RunOn(arguments), kExitUsage) << ::testing::PrintToString(arguments);
    EXPECT_THAT(err_.str(), Not(IsEmpty()));
    EXPECT_THAT(out_.str(), IsEmpty());
  }
  EXPECT_FALSE(std::filesystem::exists(store_));
}

TEST_F(UpkeepVerbsTest, AStoreThatIsNotThereIsAnErrorAndIsNotMade) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"gc"}, {"compact"}, {"fsck"}, {"fsck", "--repair"}, {"stats"}, {"rm", "image"}}) {
    EXPECT_EQ(RunOn(arguments), kExitFailed) << arguments[0];
    EXPECT_THAT(err_.str(), StartsWith("slackerctl: "));
    EXPECT_THAT(out_.str(), IsEmpty());
  }
  EXPECT_FALSE(std::filesystem::exists(store_));
}

// Neither sound, nor theirs to write to; and a store with nothing in it any more still is one.
TEST_F(UpkeepVerbsTest, ADirectoryThatIsNoStoreIsRefusedAndLeftAsItIs) {
  const std::vector<std::vector<std::string>> verbs = {{"gc"},    {"gc", "--dry-run"},  {"compact"},
                                                       {"fsck"},  {"fsck", "--repair"}, {"stats"},
                                                       {"verify"}};
  std::filesystem::create_directories(store_ + "/images");
  testing::WriteFileOrDie(store_ + "/images/cat.jpg", "x");
  for (const std::vector<std::string>& verb : verbs) {
    EXPECT_EQ(RunOn(verb), kExitFailed) << ::testing::PrintToString(verb);
    EXPECT_THAT(err_.str(), HasSubstr("no store at " + url_));
    EXPECT_THAT(out_.str(), IsEmpty());
  }
  EXPECT_EQ(Files(""), (std::vector<std::string>{store_ + "/images/cat.jpg"}));
  ASSERT_EQ(RunOn({"rm", Publish("one")}), kExitOk);
  Backdate();
  ASSERT_EQ(RunOn({"gc", "--grace", "0"}), kExitOk) << err_.str();
  for (const std::vector<std::string>& verb : verbs) {
    EXPECT_EQ(RunOn(verb), kExitOk) << ::testing::PrintToString(verb) << err_.str();
  }
}

TEST_F(UpkeepVerbsTest, AStoreBehindAWebServerIsNotKeptFromHere) {
  for (const char* verb : {"gc", "compact", "fsck", "stats"}) {
    EXPECT_EQ(Run({verb, "--store", "https://store.example/"}), kExitFailed) << verb;
    EXPECT_THAT(err_.str(), HasSubstr("can only be read"));
  }
}

TEST_F(UpkeepVerbsTest, RmSaysWhatItTookAwayAndWhatStays) {
  const std::string one = Publish("one");
  (void)Publish("two");
  EXPECT_EQ(RunOn({"rm", one}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(),
            "removed 1 name, 1 manifest, 1 grant. \"slackerctl gc\" removes their data.\n");
  EXPECT_EQ(RunOn({"rm", one}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr(one));
  EXPECT_EQ(RunJson({"images"}).size(), 1u);
}

TEST_F(UpkeepVerbsTest, ImagesNamesADamagedEntryAndListsTheOthers) {
  (void)Publish("one");
  (void)Publish("two");
  const std::string entry = Files("images")[0];
  Damage(entry);
  EXPECT_EQ(RunOn({"images"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("images/" + std::filesystem::path(entry).filename().string()));
  const std::string listed = out_.str();
  EXPECT_EQ(std::count(listed.begin(), listed.end(), '\n'), 1);
  EXPECT_EQ(RunOn({"images", "--json"}), kExitFailed);
  EXPECT_EQ(Json::parse(out_.str()).size(), 1u);
}

TEST_F(UpkeepVerbsTest, FsckNamesManifestsThatNoImageLeadsTo) {
  (void)Publish("one");
  std::filesystem::remove(Files("images")[0]);
  EXPECT_EQ(RunOn({"fsck"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(),
              HasSubstr("no image is called by manifests/" + Digest::Parse(chain_)->ToHex()));
  EXPECT_EQ(RunJson({"fsck"})["unnamed"].size(), 1u);
}

TEST_F(UpkeepVerbsTest, RmOfAChainTakesAllItsNames) {
  (void)Publish("one");
  const Json removed = RunJson({"rm", chain_});
  EXPECT_EQ(
      removed,
      Json({{"entries", 1}, {"replaced", 0}, {"manifests", 1}, {"grants", 1}, {"kept_chains", 0}}));
  EXPECT_EQ(RunJson({"images"}), Json::array());
}

// One name of several is wrong: nothing is removed.
TEST_F(UpkeepVerbsTest, RmOfAnUnknownImageRemovesNothing) {
  const std::string one = Publish("one");
  EXPECT_EQ(RunOn({"rm", one, "unknown"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("unknown"));
  EXPECT_EQ(RunJson({"images"}).size(), 1u);
}

TEST_F(UpkeepVerbsTest, OnlyARealCollectionSweepsWhatDeadWritersLeft) {
  (void)Publish("one");
  const std::string left = store_ + "/packs/.tmp-" + std::string(32, 'a');
  testing::WriteFileOrDie(left, "unfinished");
  std::filesystem::last_write_time(
      left, std::filesystem::file_time_type::clock::now() - std::chrono::hours(48));
  EXPECT_EQ(RunOn({"gc", "--dry-run"}), kExitOk) << err_.str();
  EXPECT_TRUE(std::filesystem::exists(left));
  EXPECT_EQ(RunOn({"gc"}), kExitOk) << err_.str();
  EXPECT_FALSE(std::filesystem::exists(left));
}

TEST_F(UpkeepVerbsTest, GcCountsWhatItFound) {
  const std::string one = Publish("one");
  (void)Publish("two");
  ASSERT_EQ(RunOn({"rm", one}), kExitOk);
  Backdate();
  const Json before = RunJson({"gc", "--dry-run"});
  EXPECT_TRUE(before["dry_run"].get<bool>());
  EXPECT_THAT(before["actions"].get<std::vector<std::string>>(),
              AllOf(Not(IsEmpty()), Each(StartsWith("condemn "))));
  EXPECT_EQ(before, RunJson({"gc", "--dry-run"})) << "nothing was done";

  const Json condemned = RunJson({"gc"});
  EXPECT_GT(condemned["in_use"]["objects"], 0);
  EXPECT_GT(condemned["condemned"]["objects"], 0);
  EXPECT_EQ(condemned["removed"]["objects"], 0);
  EXPECT_EQ(RunOn({"gc", "--grace", "0"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("in use\t"));
  EXPECT_THAT(out_.str(), HasSubstr("removed\t"));
  const Json after = RunJson({"gc", "--grace", "0"});
  EXPECT_EQ(after["waiting"]["objects"], 0);
  EXPECT_EQ(after["removed"]["objects"], 0);
  terminal_ = true;
  EXPECT_EQ(RunOn({"gc"}), kExitOk);
  EXPECT_THAT(out_.str(),
              AllOf(StartsWith("WHAT "), HasSubstr("condemned, waiting for the grace")));
}

TEST_F(UpkeepVerbsTest, GcNamesWhatIsNotTheStores) {
  (void)Publish("one");
  testing::WriteFileOrDie(store_ + "/mine", "x");
  EXPECT_EQ(RunOn({"gc"}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("not the store's, left alone: mine\n"));
  EXPECT_EQ(RunJson({"gc"})["foreign"], Json({"mine"}));
}

TEST_F(UpkeepVerbsTest, GcOfADamagedStoreRemovesNothingAndSaysWhatHelps) {
  (void)Publish("one");
  Damage(Files("manifests").front());
  EXPECT_EQ(RunOn({"gc", "--grace", "0"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("manifests/"));
  EXPECT_THAT(out_.str(), IsEmpty());
}

TEST_F(UpkeepVerbsTest, CompactSaysWhatBecameOfThePacks) {
  (void)Publish("one");
  (void)Publish("two");
  const Json report = RunJson({"compact"});
  EXPECT_EQ(report["packs_before"], 2);
  EXPECT_EQ(report["packs_after"], 1);
  EXPECT_EQ(report["packs_condemned"], 2);
  EXPECT_EQ(report["damaged"], Json::array());
  EXPECT_EQ(RunOn({"compact"}), kExitOk);
  EXPECT_EQ(out_.str(),
            "1 pack became 1: 0 chunks moved, 0 B written, 0 duplicates left out, 0 lists of "
            "locations replaced\n");
}

TEST_F(UpkeepVerbsTest, ExportSignAndCompactTellATerminalHowFarTheyAre) {
  (void)Publish("one");
  (void)Publish("two");
  ASSERT_EQ(Run({"keygen", dir_ / "key"}), kExitOk);
  const struct {
    std::vector<std::string> verb;
    std::string line;
  } kLines[] = {
      {{"export", chain_, "oci:" + dir_ / "copy", "--store", url_}, "\rlayer 0/"},
      {{"sign", "--public", "--key", dir_ / "key", "--store", url_}, "\rmanifests/: 0 of "},
      {{"compact", "--store", url_}, "\r0 chunks moved, "},
  };
  for (const auto& [verb, line] : kLines) {
    for (const bool interactive : {false, true}) {
      std::filesystem::remove_all(dir_ / "copy");
      interactive_ = interactive;
      if (!interactive && verb[0] == "compact") continue;  // it leaves nothing to do
      ASSERT_EQ(Run(verb), kExitOk) << err_.str();
      EXPECT_EQ(err_.str().find(line) != std::string::npos, interactive) << verb[0];
      EXPECT_EQ(err_.str().find('\r') != std::string::npos, interactive) << verb[0];
    }
  }
}

TEST_F(UpkeepVerbsTest, CompactNamesDamagedChunksAndExitsWith1) {
  (void)Publish("one");
  (void)Publish("two");
  for (const std::string& pack : Files("packs")) {
    if (!pack.ends_with(".idx")) Damage(pack);
  }
  EXPECT_EQ(RunOn({"compact"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("damaged, left where it is: sha256:"));
}

TEST_F(UpkeepVerbsTest, FsckCountsAndFindsNothing) {
  (void)Publish("one");
  EXPECT_EQ(RunOn({"fsck"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), AllOf(StartsWith("checked 1 manifest, 1 layer, "),
                                HasSubstr("everything is sound\n")));
  const Json report = RunJson({"fsck"});
  EXPECT_EQ(report["damages"], Json::array());
  EXPECT_EQ(report["repaired"], Json::array());
  EXPECT_EQ(report["left"], Json::array());
  EXPECT_EQ(report["packs"], 1);
}

TEST_F(UpkeepVerbsTest, FsckSaysWhichLeasesItHasLeft) {
  const std::string lease = "leases/" + std::string(32, 'a') + "/images";
  std::filesystem::create_directories(std::filesystem::path(store_ + "/" + lease).parent_path());
  testing::WriteFileOrDie(store_ + "/" + lease, "junk");
  EXPECT_EQ(RunOn({"fsck", "--repair"}), kExitFailed);
  EXPECT_THAT(out_.str(), HasSubstr("left as it is: " + lease + ": "));
  Backdate();
  EXPECT_EQ(RunOn({"fsck", "--repair"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("repaired: " + lease + ": "));
}

TEST_F(UpkeepVerbsTest, FsckNamesDamageAndMendsItOnlyWhenAsked) {
  const std::string image = Publish("one");
  const std::string locations = Files("locations").front();
  Damage(locations);
  const std::string name = std::filesystem::relative(locations, store_);
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(RunOn({"fsck"}), kExitFailed);
    EXPECT_THAT(err_.str(), HasSubstr("damaged: " + name + ": "));
    EXPECT_THAT(err_.str(), HasSubstr(" (needed by " + image + ")\n"));
    EXPECT_THAT(out_.str(), HasSubstr("1 damage\n"));
  }
  EXPECT_EQ(RunOn({"fsck", "--repair"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), StartsWith("repaired: " + name + ": made anew"));
  EXPECT_EQ(RunOn({"fsck"}), kExitOk);
}

TEST_F(UpkeepVerbsTest, FsckTellsDamageThatNothingNeedsFromTheRest) {
  (void)Publish("one");
  const std::string record = Files("records").front();
  for (const char* kind : {"manifests", "images", "grants", "layers", "boot"}) {
    std::filesystem::remove_all(store_ + "/" + kind);
  }
  Damage(record);
  Backdate();
  EXPECT_EQ(RunOn({"fsck"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr(" (nothing needs it)\n"));
  EXPECT_THAT(out_.str(), HasSubstr("1 damage, 1 of them in what nothing needs\n"));
  EXPECT_EQ(RunOn({"fsck", "--repair"}), kExitOk) << err_.str();
  EXPECT_EQ(RunOn({"fsck"}), kExitOk);
}

TEST_F(UpkeepVerbsTest, FsckTakesPublicKeysOnly) {
  (void)Publish("one");
  const std::string key = dir_ / "key";
  ASSERT_EQ(Run({"keygen", key}), kExitOk);
  EXPECT_EQ(RunOn({"fsck", "--trusted-key", key}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr(key));
}

TEST_F(UpkeepVerbsTest, WhatTheGivenKeysHaveNotSignedFailsVerifyAndFsckAndIsLeftAsItIs) {
  const std::string image = Publish("one");
  const std::string key = dir_ / "key";
  ASSERT_EQ(Run({"keygen", key}), kExitOk);
  const auto manifests = Files("manifests");
  for (const std::vector<std::string>& verb :
       std::vector<std::vector<std::string>>{{"verify"}, {"fsck"}, {"fsck", "--repair"}}) {
    EXPECT_EQ(RunOn(verb), kExitOk) << "nobody asked for signatures";
    std::vector<std::string> with_key = verb;
    with_key.insert(with_key.end(), {"--trusted-key", key + ".pub"});
    EXPECT_EQ(RunOn(with_key), kExitFailed) << verb[0];
    EXPECT_THAT(err_.str(), HasSubstr("untrusted: manifests/"));
    EXPECT_THAT(err_.str(), HasSubstr(": not signed by a trusted key (needed by " + image + ")\n"));
    EXPECT_THAT(out_.str(), HasSubstr("1 chain the ordinary way\n"));
    with_key.push_back("--json");
    EXPECT_EQ(RunOn(with_key), kExitFailed);
    const Json report = Json::parse(out_.str());
    EXPECT_EQ(report["damages"], Json::array());
    EXPECT_EQ(report["untrusted"].size(), 1u);
    EXPECT_EQ(report["untrusted"][0]["images"], Json({image}));
  }
  EXPECT_EQ(Files("manifests"), manifests);
  ASSERT_EQ(RunOn({"sign", "--key", key, "--public"}), kExitOk) << err_.str();
  EXPECT_EQ(RunOn({"fsck", "--trusted-key", key + ".pub"}), kExitOk) << err_.str();
  EXPECT_EQ(RunOn({"verify", "--trusted-key", key + ".pub"}), kExitOk) << err_.str();
}

TEST_F(UpkeepVerbsTest, StatsTellWhatIsShared) {
  (void)Publish("one");
  (void)Publish("two");
  const Json stats = RunJson({"stats"});
  EXPECT_EQ(stats["layers"], 2);
  EXPECT_EQ(stats["logical_bytes"], 500'000);
  EXPECT_EQ(stats["chunk_bytes"], 300'000);
  ASSERT_EQ(stats["images"].size(), 2u);
  EXPECT_GE(stats["images"][0]["shared_bytes"], 200'000);
  EXPECT_EQ(RunOn({"stats"}), kExitOk);
  EXPECT_THAT(out_.str(), StartsWith("all images, each on its own\t500000\t"));
  terminal_ = true;
  EXPECT_EQ(RunOn({"stats"}), kExitOk);
  EXPECT_THAT(out_.str(), AllOf(StartsWith("CONTENT "), HasSubstr("IMAGE "), HasSubstr("60.0 %")));
}

}  // namespace
}  // namespace slacker::ctl
