// The faults that stores have, behind a real slackerd: what a pull makes of them, a container's start,
// and reads, which get the right bytes or none.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "tests/fault/remote_fixture.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/count.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/faulty_web_store.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Values;

constexpr char kUnreadable[] = "unreadable";
constexpr char kSilent[] = "the store does not answer; reads of missing data wait";
constexpr char kAnswers[] = "the store answers again";

class StoreFaultTest : public RemoteFixture {
 protected:
  void SetUp() override {
    auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
    ASSERT_OK(store);
    image_ = Publish(std::shared_ptr<Backend>(*std::move(store)),
                     {MakeBigLayer(600, 1), MakeBigLayer(5, 2)});
    ConfigureStore();
    Configure("cache.complete", "off");  // else it asks, too
    ConfigureRaw("store.insecure", "true");
    ConfigureRaw("store.budget_ms", std::to_string(BudgetMs()));
  }
  virtual void ConfigureStore() { Configure("store.url", web_.Url()); }
  // Of pulls that are to work: machines may be slow.
  virtual int BudgetMs() const { return 30'000; }

  // The tree of a container on the image; empty when that fails.
  std::string StartContainer(Daemon& daemon) {
    const std::string top = Pull(daemon, "pull");
    return top.empty() ? "" : TreeOf(daemon, top);
  }
  static std::string TreeOf(Daemon& daemon, const std::string& top) {
    if (!daemon.Prepare("container", top).ok()) return "";
    for (const std::string& option : daemon.mounts().front().options()) {
      if (option.starts_with("lowerdir=")) return option.substr(9);
    }
    return "";
  }
  std::string Content() const {
    const std::vector<std::string>& chunks = image_.layers.back().chunks;
    std::string content;
    for (size_t i = chunks.size() - 6; i < chunks.size(); ++i) content += chunks[i];
    return content;
  }

  FaultyWebStore web_{dir_ / "store"};
};

struct PullCase {
  StoreFault fault;
  const char* reason;
};

class PullFaultTest : public StoreFaultTest, public ::testing::WithParamInterface<PullCase> {
 protected:
  int BudgetMs() const override {
    const bool is_silent =
        GetParam().fault == StoreFault::kHanging || GetParam().fault == StoreFault::kSlow;
    return is_silent ? 1000 : 30'000;
  }
};

TEST_P(PullFaultTest, ThePullTakesTheOrdinaryPathAndSaysWhy) {
  web_.Set(GetParam().fault);
  const auto daemon = Start();
  const grpc::Status status = daemon->Prepare("pull", "", RefOf(0));
  EXPECT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(daemon->mounts().size(), 1U) << "containerd unpacks here";
  EXPECT_THAT(Log(), HasSubstr(GetParam().reason));
  web_.Set(StoreFault::kNone);
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

INSTANTIATE_TEST_SUITE_P(Faults, PullFaultTest,
                         Values(PullCase{StoreFault::kRefusing, "ordinary: store did not answer"},
                                PullCase{StoreFault::kHanging, "ordinary: store did not answer"},
                                PullCase{StoreFault::kSlow, "ordinary: store did not answer"},
                                PullCase{StoreFault::kWrongBytes, "ordinary: damaged in the store"},
                                PullCase{StoreFault::kTruncated, "ordinary: damaged in the store"},
                                PullCase{StoreFault::kDeleted, "ordinary: damaged in the store"},
                                PullCase{StoreFault::kEmpty, "ordinary: not published"}),
                         [](const auto& param) { return NameOf(param.param.fault); });

class AnyFaultTest : public StoreFaultTest, public ::testing::WithParamInterface<StoreFault> {};

TEST_P(AnyFaultTest, AContainerStartsOnAnImageThatIsHere) {
  const auto daemon = Start();
  const std::string top = Pull(*daemon, "pull");
  ASSERT_FALSE(top.empty());
  web_.Set(GetParam());
  const std::string tree = TreeOf(*daemon, top);
  EXPECT_TRUE(std::filesystem::exists(tree + "/big")) << tree;
  web_.Set(StoreFault::kNone);
  EXPECT_TRUE(ReadWholeFile(tree + "/big") == Content());
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

INSTANTIATE_TEST_SUITE_P(Faults, AnyFaultTest,
                         Values(StoreFault::kRefusing, StoreFault::kHanging, StoreFault::kSlow,
                                StoreFault::kWrongBytes, StoreFault::kTruncated,
                                StoreFault::kDeleted, StoreFault::kEmpty),
                         [](const auto& param) { return NameOf(param.param); });

// It may come back.
class SilentStoreTest : public AnyFaultTest {};

TEST_P(SilentStoreTest, AReadFailsAfterTheStallTimeoutAndWorksWhenTheStoreDoes) {
  Configure("store.stall_timeout", "1s");
  const auto daemon = Start();
  const std::string tree = StartContainer(*daemon);
  ASSERT_FALSE(tree.empty());
  web_.Set(GetParam());
  EXPECT_EQ(ReadWholeFile(tree + "/big"), kUnreadable);
  EXPECT_GT(CounterOf(sock_, "fill_stalled"), 0U);
  web_.Set(StoreFault::kNone);
  EXPECT_TRUE(ReadWholeFile(tree + "/big") == Content());
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

// An outage, with what operators see of it meanwhile.
TEST_P(SilentStoreTest, AReadWaitsForItsEndAndItIsToldWhenItBeginsAndWhenItEnds) {
  const auto daemon = Start();
  const std::string tree = StartContainer(*daemon);
  ASSERT_FALSE(tree.empty());
  EXPECT_TRUE(StatusOf(sock_)["store"]["outage"].is_null());
  web_.Set(GetParam());
  auto read = std::async(std::launch::async, [&] { return ReadWholeFile(tree + "/big"); });
  // Silence counts after 20 s.
  EXPECT_TRUE(Eventually([&] { return Count(Log(), kSilent) == 1; }));
  const nlohmann::json outage = StatusOf(sock_)["store"]["outage"];
  ASSERT_FALSE(outage.is_null());
  EXPECT_GT(outage["since_unix_seconds"], 0);
  EXPECT_THAT(outage["error"].get<std::string>(), ::testing::Not(::testing::IsEmpty()));
  EXPECT_EQ(Count(Log(), kAnswers), 0U);
  web_.Set(StoreFault::kNone);
  EXPECT_TRUE(read.get() == Content());
  EXPECT_TRUE(Eventually([&] { return Count(Log(), kAnswers) == 1; }));
  EXPECT_TRUE(StatusOf(sock_)["store"]["outage"].is_null());
  EXPECT_EQ(CounterOf(sock_, "fill_outages"), 1U);
  EXPECT_EQ(Count(Log(), kSilent), 1U);
  EXPECT_THAT(Log(), HasSubstr(R"("given_up":"0")"));
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

INSTANTIATE_TEST_SUITE_P(Faults, SilentStoreTest,
                         Values(StoreFault::kRefusing, StoreFault::kHanging, StoreFault::kSlow),
                         [](const auto& param) { return NameOf(param.param); });

class WrongStoreTest : public AnyFaultTest {};

TEST_P(WrongStoreTest, AReadFailsAndWorksWhenTheStoreIsRight) {
  const auto daemon = Start();
  const std::string tree = StartContainer(*daemon);
  ASSERT_FALSE(tree.empty());
  web_.Set(GetParam());
  EXPECT_EQ(ReadWholeFile(tree + "/big"), kUnreadable);
  EXPECT_EQ(Count(Log(), "chunks of a layer are missing or damaged in the store"), 1U);
  const nlohmann::json faulty = StatusOf(sock_)["faulty_layers"];
  ASSERT_EQ(faulty.size(), 1U) << faulty;
  EXPECT_EQ(faulty[0]["where"], "store");
  const uint64_t damaged = CounterOf(sock_, "chunks_damaged");
  EXPECT_GT(damaged, 0U);
  web_.Set(StoreFault::kNone);
  EXPECT_TRUE(ReadWholeFile(tree + "/big") == Content());
  if (GetParam() != StoreFault::kWrongBytes) {  // the rest is the same for all, and takes a while
    EXPECT_TRUE(RemoveAll(*daemon).ok());
    return;
  }
  constexpr char kRight[] = "missing or damaged chunks of a layer are right again";
  EXPECT_TRUE(Eventually([&] { return Count(Log(), kRight) == 1; })) << "10 s without another";
  EXPECT_THAT(Log(), HasSubstr(R"("still_wrong":"0")"));
  EXPECT_TRUE(StatusOf(sock_)["faulty_layers"].empty());
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

INSTANTIATE_TEST_SUITE_P(Faults, WrongStoreTest,
                         Values(StoreFault::kWrongBytes, StoreFault::kTruncated,
                                StoreFault::kDeleted, StoreFault::kEmpty),
                         [](const auto& param) { return NameOf(param.param); });

// A copy of the store that is well stands behind the one with the fault.
class ReplicaTest : public AnyFaultTest {
 protected:
  void ConfigureStore() override {
    ConfigureRaw("store.urls", "[\"" + web_.Url() + "\", \"loopback:" + (dir_ / "store") + "\"]");
  }
};

TEST_P(ReplicaTest, PullsAndReadsDoNotMissTheOtherOne) {
  web_.Set(GetParam());
  const auto daemon = Start();
  const std::string tree = StartContainer(*daemon);
  ASSERT_FALSE(tree.empty()) << "not pulled lazily";
  EXPECT_TRUE(ReadWholeFile(tree + "/big") == Content());
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

TEST_P(ReplicaTest, AFaultThatComesInBetweenIsNotSeen) {
  const auto daemon = Start();
  const std::string tree = StartContainer(*daemon);
  ASSERT_FALSE(tree.empty());
  EXPECT_GT(web_.requests(), 0U) << "the first one is asked";
  web_.Set(GetParam());
  EXPECT_TRUE(ReadWholeFile(tree + "/big") == Content());
  // One that says something, right or wrong, is asked on.
  const bool is_silent = GetParam() == StoreFault::kRefusing ||
                         GetParam() == StoreFault::kHanging || GetParam() == StoreFault::kSlow;
  const nlohmann::json places = StatusOf(sock_)["store"]["places"];
  ASSERT_EQ(places.size(), 2U);
  EXPECT_EQ(places[0]["aside"], is_silent) << places;
  EXPECT_EQ(places[1]["aside"], false) << places;
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

INSTANTIATE_TEST_SUITE_P(Faults, ReplicaTest,
                         Values(StoreFault::kRefusing, StoreFault::kHanging, StoreFault::kSlow,
                                StoreFault::kWrongBytes, StoreFault::kTruncated,
                                StoreFault::kDeleted, StoreFault::kEmpty),
                         [](const auto& param) { return NameOf(param.param); });

// As a container's process does; ends by itself when the byte is there.
pid_t StartReader(const std::string& path, bool by_page_fault) {
  const pid_t child = fork();
  if (child != 0) return child;
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (by_page_fault) {
    const void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    if (page == MAP_FAILED) _exit(1);
    _exit(*static_cast<const volatile char*>(page) == 0 ? 2 : 3);
  }
  char byte = 0;
  _exit(read(file, &byte, 1) == 1 ? 2 : 1);
}

// As in proc(5): 'D' waits for a disk.
char StateOf(pid_t pid) {
  const std::string stat = ReadWholeFile("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = stat.rfind(')');
  return name_end + 2 < stat.size() ? stat[name_end + 2] : '?';
}

// Who waits for his read instead dies when it is given up: after store.stall_timeout, five minutes.
constexpr double kSecondsToDie = 10;

TEST_F(StoreFaultTest, AProcessThatWaitsForTheStoreDiesAtOnceWhenItIsKilled) {
  const auto daemon = Start();
  const std::string tree = StartContainer(*daemon);
  ASSERT_FALSE(tree.empty());
  web_.Set(StoreFault::kHanging);
  for (const bool by_page_fault : {false, true}) {
    const pid_t reader = StartReader(tree + "/big", by_page_fault);
    EXPECT_TRUE(Eventually([&] { return StateOf(reader) == 'D'; })) << "it waits";
    int status = 0;
    const auto killed = std::chrono::steady_clock::now();
    kill(reader, SIGKILL);
    // In vain, the store says nothing, should it wait for its read.
    ASSERT_EQ(waitpid(reader, &status, 0), reader);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - killed;
    EXPECT_LT(took.count(), kSecondsToDie);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  }
  web_.Set(StoreFault::kNone);
  EXPECT_TRUE(ReadWholeFile(tree + "/big") == Content());
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

}  // namespace
}  // namespace slacker::testing
