// What keeps an image alive in the store that a node uses: slackerctl rm and gc, without grace, beside
// a real slackerd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/store/references.h"
#include "tests/fault/remote_fixture.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

enum class Use { kPulled, kAttached, kAttachedAndKilled };

class LeaseTest : public RemoteFixture {
 protected:
  // There once a daemon has started.
  std::shared_ptr<Backend> Store() {
    if (opened_ == nullptr) opened_ = OpenStore(store_);
    return opened_;
  }
  std::vector<std::string> Names(const std::string& prefix) {
    return Store()->List(prefix).value();
  }
  // What the image's content is in.
  std::vector<std::string> Data() {
    std::vector<std::string> data;
    for (const char* prefix : {"records/", "tars/", "locations/", "packs/"}) {
      for (const std::string& name : Names(prefix)) data.push_back(name);
    }
    return data;
  }
  // Whether some node says that it has the image.
  bool IsLeased() {
    const auto store = Store();
    for (const std::string& name : Names("leases/")) {
      const auto bytes = store->ReadWhole(name, kMaxReferencesBytes);
      if (!bytes.ok()) continue;  // replaced or removed just now
      const auto lease = DecodeReferences(*bytes);
      if (lease.ok() && lease->chains.contains(image_.chain())) return true;
    }
    return false;
  }
  void RemoveFromStore() {
    ASSERT_EQ(
        RunSlackerctl({"rm", "docker://example.org/app:v1", "--platform", "linux/amd64"}, Url()),
        0);
    ASSERT_THAT(Names("images/"), IsEmpty());
  }
  void CollectGarbage() { ASSERT_EQ(RunSlackerctl({"gc", "--grace", "0"}, Url()), 0); }
  std::string Url() const { return "loopback:" + store_; }
  // In the tree that the last Prepare's mount has below it.
  static std::string FileOf(const Daemon& daemon) {
    for (const std::string& option : daemon.mounts().front().options()) {
      if (option.starts_with("lowerdir="))
        return option.substr(sizeof "lowerdir=" - 1) + "/dir/plain";
    }
    return "";
  }

  const std::string store_ = dir_ / "store";
  std::shared_ptr<Backend> opened_;
};

class LeaseOfUseTest : public LeaseTest, public ::testing::WithParamInterface<Use> {};

TEST_P(LeaseOfUseTest, AnImageThatANodeHasStaysUntilTheNodeHasRemovedIt) {
  auto daemon = Start();
  const std::string top = Pull(*daemon, "extract ");
  ASSERT_THAT(top, Not(IsEmpty()));
  if (GetParam() != Use::kPulled) {
    ASSERT_TRUE(daemon->Prepare("container", top).ok());
  }
  ASSERT_TRUE(Eventually([this] { return IsLeased(); }));
  const std::vector<std::string> data = Data();
  if (GetParam() == Use::kAttachedAndKilled) daemon->End(SIGKILL);

  RemoveFromStore();
  for (int run = 0; run < 3; ++run) CollectGarbage();
  EXPECT_EQ(Data(), data);
  if (GetParam() == Use::kAttachedAndKilled) daemon = Start();
  // Nothing of it has been read before.
  ASSERT_TRUE(daemon->Prepare("another container", top).ok());
  EXPECT_TRUE(ReadWholeFile(FileOf(*daemon)).starts_with("hello, seed 2"));
  CollectGarbage();
  EXPECT_EQ(Data(), data);

  const grpc::Status removed = RemoveAll(*daemon);
  EXPECT_TRUE(removed.ok()) << removed.error_message();
  ASSERT_TRUE(Eventually([this] { return !IsLeased(); }));
  for (int run = 0; run < 2; ++run) CollectGarbage();
  EXPECT_THAT(Names(""), ElementsAre("trash/clock", "trash/reserve"));
}

INSTANTIATE_TEST_SUITE_P(Uses, LeaseOfUseTest,
                         ::testing::Values(Use::kPulled, Use::kAttached, Use::kAttachedAndKilled),
                         [](const auto& test) {
                           return test.param == Use::kPulled     ? "Pulled"
                                  : test.param == Use::kAttached ? "Attached"
                                                                 : "AttachedAndKilled";
                         });

TEST_F(LeaseTest, OfANodeThatNeverComesBackItExpires) {
  {
    const auto daemon = Start();
    ASSERT_THAT(Pull(*daemon, "extract "), Not(IsEmpty()));
    ASSERT_TRUE(Eventually([this] { return IsLeased(); }));
    daemon->End(SIGKILL);
  }
  RemoveFromStore();
  CollectGarbage();
  EXPECT_THAT(Data(), Not(IsEmpty()));
  const auto renewed = std::filesystem::file_time_type::clock::now();
  for (const int days : {29, 31}) {
    for (const std::string& name : Names("leases/")) {
      std::filesystem::last_write_time(store_ + "/" + name,
                                       renewed - std::chrono::hours(24 * days));
    }
    for (int run = 0; run < 2; ++run) CollectGarbage();
    if (days < 30) {
      EXPECT_THAT(Data(), Not(IsEmpty()));
    }
  }
  EXPECT_THAT(Names(""), ElementsAre("trash/clock", "trash/reserve"));
  (void)Start();  // takes the keeper over, and ends it
}

}  // namespace
}  // namespace slacker::testing
