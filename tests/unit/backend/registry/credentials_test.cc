#include "backend/registry/credentials.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "backend/registry/credential_helper.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::StatusIs;
using testing::WriteFileOrDie;

constexpr std::chrono::milliseconds kLong{20'000};

std::string Describe(const std::optional<RegistryCredentials>& found) {
  if (!found.has_value()) return "none";
  return found->username + ":" + found->password + "|" + found->identity_token + "|" +
         found->access_token;
}

struct Case {
  const char* host;
  const char* repository;
  const char* config;
  const char* found;
};

// dTpw is u:p, djpx is v:q.
TEST(CredentialFileTest, TheEntryOfTheHostIsFound) {
  for (const Case& c : {
           Case{"r.x", "a", "{}", "none"},
           Case{"r.x", "a", R"({"auths":{}})", "none"},
           Case{"r.x", "a", R"({"auths":{"r.x":{}}})", "none"},
           Case{"r.x", "a", R"({"auths":{"r.x":{"auth":"dTpw"}}})", "u:p||"},
           Case{"r.x:5000", "a", R"({"auths":{"r.x":{"auth":"dTpw"}}})", "none"},
           Case{"r.x", "a", R"({"auths":{"https://r.x/v2/":{"auth":"dTpw"}}})", "u:p||"},
           Case{"r.x", "a", R"({"auths":{"http://r.x":{"auth":"dTpw"}}})", "u:p||"},
           Case{"r.x", "a", R"({"auths":{"r.x":{"username":"u","password":"p"}}})", "u:p||"},
           Case{"r.x", "a", R"({"auths":{"r.x":{"auth":"dTpwOng="}}})", "u:p:x||"},
           Case{"r.x", "a", R"({"auths":{"r.x":{"auth":"dTpwAAA="}}})", "u:p||"},
           Case{"r.x", "a", R"({"auths":{"r.x":{"identitytoken":"t"}}})", ":|t|"},
           Case{"r.x", "a", R"({"auths":{"r.x":{"registrytoken":"t"}}})", ":||t"},
           Case{"docker.io", "library/a",
                R"({"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}})", "u:p||"},
           Case{"docker.io", "library/a", R"({"auths":{"docker.io":{"auth":"dTpw"}}})", "u:p||"},
           Case{"r.x", "team/app",
                R"({"auths":{"r.x":{"auth":"dTpw"},"r.x/team":{"auth":"djpx"}}})", "v:q||"},
           Case{"r.x", "teams/app",
                R"({"auths":{"r.x":{"auth":"dTpw"},"r.x/team":{"auth":"djpx"}}})", "u:p||"},
       }) {
    ASSERT_OK_AND_ASSIGN(const auto entry, ParseCredentialFile(c.config, c.host, c.repository));
    EXPECT_EQ(Describe(entry.stored), c.found) << c.config;
    EXPECT_EQ(entry.helper, "");
  }
}

TEST(CredentialFileTest, TheHelperOfTheHostWinsOverTheStore) {
  const std::string config =
      R"({"credsStore":"all","credHelpers":{"r.x":"one","https://index.docker.io/v1/":"hub"}})";
  EXPECT_EQ(ParseCredentialFile(config, "r.x", "a")->helper, "one");
  EXPECT_EQ(ParseCredentialFile(config, "r.x", "a")->server, "r.x");
  EXPECT_EQ(ParseCredentialFile(config, "s.x", "a")->helper, "all");
  EXPECT_EQ(ParseCredentialFile(config, "docker.io", "a")->helper, "hub");
  EXPECT_EQ(ParseCredentialFile(config, "docker.io", "a")->server, "https://index.docker.io/v1/");
}

TEST(CredentialFileTest, WhatDockerDoesNotWriteIsRefused) {
  for (const char* config :
       {"", "[]", "not json", R"({"auths":1})", R"({"auths":{"r.x":1}})",
        R"({"auths":{"r.x":{"auth":1}}})", R"({"auths":{"r.x":{"auth":"a b"}}})",
        R"({"auths":{"r.x":{"auth":"dXA="}}})", R"({"auths":{"r.x":{"registrytoken":"a\nb"}}})",
        R"({"credHelpers":1})", R"({"credHelpers":{"r.x":1}})", R"({"credsStore":1})"}) {
    EXPECT_THAT(ParseCredentialFile(config, "r.x", "a"),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << config;
  }
}

class CredentialHelperTest : public ::testing::Test {
 protected:
  CredentialHelperTest() {
    const std::string path = dir_.path() + ":" + old_path_;
    EXPECT_EQ(setenv("PATH", path.c_str(), 1), 0);
  }
  ~CredentialHelperTest() override { EXPECT_EQ(setenv("PATH", old_path_.c_str(), 1), 0); }

  void WriteHelper(const std::string& name, const std::string& body) {
    const std::string path = dir_ / "docker-credential-" + name;
    WriteFileOrDie(path, "#!/bin/sh\n" + body + "\n");
    EXPECT_EQ(chmod(path.c_str(), 0700), 0);
  }
  auto Ask(const std::string& body, std::chrono::milliseconds timeout = kLong) {
    WriteHelper("x", body);
    return AskCredentialHelper("x", "r.x", timeout);
  }

  const std::string old_path_ = getenv("PATH");
  const testing::TempDir dir_;
};

TEST_F(CredentialHelperTest, ItIsAskedForTheServer) {
  ASSERT_OK_AND_ASSIGN(const auto answer, Ask(R"(test "$1" = get || exit 1
read server
echo "{\"ServerURL\":\"$server\",\"Username\":\"u-$server\",\"Secret\":\"p\"}")"));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->username, "u-r.x");
  EXPECT_EQ(answer->secret, "p");
}

TEST_F(CredentialHelperTest, NoCredentialsAreNoError) {
  EXPECT_EQ(Ask("echo credentials not found in native keychain; exit 1")->has_value(), false);
  EXPECT_EQ(Ask(R"(echo '{"Username":"","Secret":""}')")->has_value(), false);
}

TEST_F(CredentialHelperTest, WhatItDoesWrongIsTold) {
  const auto code = absl::StatusCode::kFailedPrecondition;
  EXPECT_THAT(Ask("echo the keychain is locked; exit 1"), StatusIs(code, "keychain is locked"));
  EXPECT_THAT(Ask("exit 1"), StatusIs(code, "without saying why"));
  EXPECT_THAT(Ask("kill -9 $$"), StatusIs(code, "without saying why"));
  EXPECT_THAT(Ask("echo hello"), StatusIs(code, "not what credential helpers say"));
  EXPECT_THAT(Ask(R"(echo '{"Username":"u"}')"), StatusIs(code, "not what"));
  EXPECT_THAT(Ask("exec yes"), StatusIs(code, "more than 64 KiB"));
  EXPECT_THAT(AskCredentialHelper("missing", "r.x", kLong), StatusIs(code, "no such program"));
  for (const char* name : {"", "../x", "a/b", "a b"}) {
    EXPECT_THAT(AskCredentialHelper(name, "r.x", kLong),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << name;
  }
}

TEST_F(CredentialHelperTest, OneThatHangsIsKilledWithWhatItStarted) {
  const std::string pid = dir_ / "pid";
  // Both: the helper itself, and a child that keeps its output open.
  for (const std::string tail : {"exit 0", "wait"}) {
    EXPECT_THAT(Ask("sleep 1000 & echo $! > " + pid + "; " + tail, std::chrono::milliseconds(300)),
                StatusIs(absl::StatusCode::kDeadlineExceeded, "docker-credential-x"));
    const std::string child = testing::ReadFileOrDie(pid);
    // Until it is gone, or a zombie of whoever adopts it.
    EXPECT_EQ(std::system(("while grep -q '^State:.[RSD]' /proc/" +
                           child.substr(0, child.find('\n')) + "/status 2>/dev/null; do :; done")
                              .c_str()),
              0);
  }
}

TEST_F(CredentialHelperTest, OneThatClosesItsOutputAndHangsIsKilled) {
  EXPECT_THAT(Ask("exec >&- ; exec sleep 1000", std::chrono::milliseconds(300)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(CredentialHelperTest, TheFirstFileWithCredentialsCounts) {
  const std::string empty = dir_ / "empty";
  const std::string helper = dir_ / "helper";
  const std::string stored = dir_ / "stored";
  WriteFileOrDie(empty, "{}");
  WriteFileOrDie(helper, R"({"credsStore":"x"})");
  WriteFileOrDie(stored, R"({"auths":{"r.x":{"auth":"dTpw"}}})");
  WriteHelper("x", R"(echo '{"Username":"<token>","Secret":"t"}')");
  const auto find = [](const std::vector<std::string>& files) {
    return FindCredentials(files, "r.x", "a", kLong);
  };
  EXPECT_EQ(Describe(*find({})), "none");
  EXPECT_EQ(Describe(*find({dir_ / "missing", empty})), "none");
  EXPECT_EQ(Describe(*find({dir_ / "missing", empty, stored, helper})), "u:p||");
  EXPECT_EQ(Describe(*find({helper, stored})), ":|t|");
  WriteHelper("x", "echo credentials not found in native keychain; exit 1");
  EXPECT_EQ(Describe(*find({helper, stored})), "u:p||");
  WriteFileOrDie(empty, "not json");
  EXPECT_THAT(find({empty, stored}), StatusIs(absl::StatusCode::kInvalidArgument, empty));
  WriteFileOrDie(empty, std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(find({empty}), StatusIs(absl::StatusCode::kInvalidArgument, "larger"));
}

}  // namespace
}  // namespace slacker
