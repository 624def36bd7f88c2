#include "cmd/slackerd/auto_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "backend/store/requests.h"
#include "cmd/common/store_url.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// The child is a shell that works on requests below root/publish; what it says is in `said`.
class AutoPublisherTest : public ::testing::Test {
 protected:
  std::unique_ptr<AutoPublisher> Open(const std::string& script) {
    AutoPublisher::Options options;
    options.root = dir_ / "root";
    options.command = {"/bin/sh", "-c", "cd '" + dir_.path() + "'; " + script};
    options.first_pause = std::chrono::milliseconds(1);
    options.last_pause = std::chrono::milliseconds(4);
    options.stop_grace = stop_grace_;
    return AutoPublisher::Open(std::move(options)).value();
  }
  void Note(AutoPublisher& publisher, const std::string& image) {
    publisher.Note(Sha256::Of(image).ToString(), "k8s.io/7/extract-1 sha256:x",
                   {{"containerd.io/snapshot/cri.image-ref", image},
                    {"containerd.io/snapshot/cri.image-layers", "sha256:x"}});
  }
  std::vector<StoredRequest> Requests() {
    return *ListRequests(**OpenBackend(NodeRequestsUrl(dir_ / "root")));
  }
  std::string Said() {
    std::ifstream file(dir_ / "said");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  const testing::TempDir dir_;
  std::chrono::milliseconds stop_grace_{60'000};
};

constexpr char kServe[] = "echo serving >> said; rm -f root/publish/requests/*";

TEST_F(AutoPublisherTest, WhatIsNotedIsPublishedByAChild) {
  const auto publisher =
      Open("ls root/publish/requests | wc -l >> said; rm root/publish/requests/*");
  Note(*publisher, "registry.example.com/app:v1");
  EXPECT_TRUE(testing::Eventually([this] { return Said() == "1\n"; }));
}

TEST_F(AutoPublisherTest, TheRequestNamesTheNamespaceOfTheKey) {
  const auto publisher = Open("exec sleep 1000");
  Note(*publisher, "registry.example.com/app:v1");
  EXPECT_TRUE(testing::Eventually([this] { return !Requests().empty(); }));
  ASSERT_OK(Requests().at(0).request);
  EXPECT_EQ(Requests().at(0).request->name_space, "k8s.io");
  EXPECT_EQ(Requests().at(0).request->reference, "registry.example.com/app:v1");
}

TEST_F(AutoPublisherTest, WithNothingToDoThereIsNoChild) {
  Open(kServe)->Stop();
  EXPECT_EQ(Said(), "");
}

TEST_F(AutoPublisherTest, WhatAPredecessorLeftIsDone) {
  {
    const auto requests = OpenBackend(NodeRequestsUrl(dir_ / "root"));
    ASSERT_OK(requests);
    ASSERT_OK(WriteRequest(**requests, {.reference = "registry.example.com/app:v1",
                                        .chain_id = Sha256::Of("chain"),
                                        .platform = {"linux", "amd64", ""}}));
  }
  const auto publisher = Open(kServe);
  EXPECT_TRUE(testing::Eventually([this] { return Said() == "serving\n"; }));
}

TEST_F(AutoPublisherTest, AChildThatFailsIsStartedAgain) {
  const auto publisher =
      Open("echo x >> said; test $(wc -l < said) -ge 4 || kill -9 $$; rm root/publish/requests/*");
  Note(*publisher, "registry.example.com/app:v1");
  EXPECT_TRUE(
      testing::Eventually([this] { return Requests().empty() && Said() == "x\nx\nx\nx\n"; }));
}

TEST_F(AutoPublisherTest, AProgramThatIsMissingEndsNothing) {
  AutoPublisher::Options options;
  options.root = dir_ / "root";
  options.command = {dir_ / "none"};
  ASSERT_OK_AND_ASSIGN(const auto publisher, AutoPublisher::Open(std::move(options)));
  Note(*publisher, "registry.example.com/app:v1");
  EXPECT_TRUE(testing::Eventually([this] { return !Requests().empty(); }));
  publisher->Stop();
  EXPECT_THAT(Requests(), SizeIs(1));
}

TEST_F(AutoPublisherTest, TheChildHasTheLowestPriorityAndIsTheFirstToGo) {
  const auto publisher = Open(
      // The score is set from outside, a moment after the start.
      "until grep -qx 500 /proc/$$/oom_score_adj; do :; done; "
      "{ nice; ionice; grep SigBlk /proc/self/status; } > said; " +
      std::string("mv root/publish/requests done"));
  Note(*publisher, "registry.example.com/app:v1");
  EXPECT_TRUE(testing::Eventually([this] { return std::filesystem::exists(dir_ / "done"); }));
  EXPECT_THAT(Said(), HasSubstr("19\nidle\n"));
  EXPECT_THAT(Said(), HasSubstr("0000000000000000\n"));
}

TEST_F(AutoPublisherTest, StoppingAsksTheChildToEnd) {
  const auto publisher = Open(
      "trap 'echo ended >> said; exit 0' TERM; echo up > said; "
      "while :; do sleep 0.01; done");
  Note(*publisher, "registry.example.com/app:v1");
  EXPECT_TRUE(testing::Eventually([this] { return Said() == "up\n"; }));
  publisher->Stop();
  EXPECT_EQ(Said(), "up\nended\n");
  EXPECT_THAT(Requests(), SizeIs(1));  // for the next slackerd
}

TEST_F(AutoPublisherTest, AChildThatDoesNotEndIsKilled) {
  stop_grace_ = std::chrono::milliseconds(1);
  const auto publisher = Open("trap '' TERM; echo $$ > said; while :; do sleep 0.01; done");
  Note(*publisher, "registry.example.com/app:v1");
  EXPECT_TRUE(testing::Eventually([this] { return Said().ends_with('\n'); }));
  publisher->Stop();
  EXPECT_EQ(kill(std::stoi(Said()), 0), -1);
}

}  // namespace
}  // namespace slacker
