// Sites with real servers and nodes: what a node fetches is counted, and nothing is left of it.
#include "cmd/hellobench/site/site.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "cmd/hellobench/cri/cri_client.h"
#include "cmd/hellobench/run/run.h"
#include "cmd/hellobench/site/link.h"
#include "cmd/hellobench/site/programs.h"
#include "cmd/hellobench/site/site_options.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::Eventually;
using ::slacker::testing::GzipLayer;
using ::slacker::testing::KernelLeakCheck;
using ::slacker::testing::OciLayout;
using ::slacker::testing::PlainLayer;
using ::slacker::testing::RandomBytes;
using ::slacker::testing::ReadFileOrDie;
using ::slacker::testing::StatusIs;
using ::slacker::testing::TarBuilder;
using ::slacker::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int64_t kLayerBytes = 3 << 20;
constexpr char kImage[] = "small";
const System kOverlay{"overlayfs", ""};
const System kStargz{"stargz", ""};
const System kSlackerNfs{"slacker", "nfs"};
const System kSlackerHttps{"slacker", "https"};
const System kSlackerLoopback{"slacker", "loopback"};

// Processes that are in this network namespace.
std::vector<std::string> ProcessesOn(const std::filesystem::path& network) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path() / "ns/net", gone) == network && !gone) {
      found.push_back(entry.path().filename());
    }
  }
  return found;
}

class SiteTest : public ::testing::TestWithParam<std::string> {
 protected:
  SiteTest() {
    // A busybox, and bytes that nothing compresses.
    const std::string busybox = ReadFileOrDie("/bin/busybox");
    const std::string base = TarBuilder()
                                 .Directory("bin/")
                                 .File("bin/busybox", busybox, 0755)
                                 .Symlink("bin/sh", "busybox")
                                 .Symlink("bin/cat", "busybox")
                                 .End();
    const std::string data =
        TarBuilder().File("data", RandomBytes(kLayerBytes, 1)).File("word", "hello\n").End();
    OciLayout layout(directory_ / "layout");
    layout.AddImage({GzipLayer(base), PlainLayer(data)}, kImage);
    task_.arguments = {"/bin/cat", "/word"};
    options_ = {.directory = directory_ / "site",
                .layout = layout.directory(),
                .data = SLACKER_SHARE_DIR,
                .containerd_directory = GetParam(),
                .program_directories = {SLACKER_PROGRAM_DIR, SLACKER_STARGZ},
                .snapshotters = {},
                .tasks = {{kImage, task_}},
                .interrupted = &interrupted_};
  }

  // What gRPC keeps as long as there is a client is no leak of a test.
  static void SetUpTestSuite() {
    static CriClient kept("/none", std::chrono::seconds(1));
    EXPECT_FALSE(kept.Version().ok());
  }

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "namespaces need root";
    ASSERT_OK(options_.snapshotters.AddFile(SLACKER_SHARE_DIR "/snapshotters.toml"));
  }

  void Open(const std::string& link) {
    ASSERT_OK_AND_ASSIGN(site_, OpenSite(options_));
    ASSERT_OK_AND_ASSIGN(const Link parsed, ParseLink(link));
    ASSERT_OK(site_->SetLink(parsed));
  }

  // Runs the image once on a new node, and gives what that moved and took.
  void RunCold(const System& system, Result* result) {
    Result preparation;
    ASSERT_OK_AND_ASSIGN(const SiteImage image, site_->Prepare(system, kImage, &preparation));
    EXPECT_GT(image.bytes, kLayerBytes);
    EXPECT_EQ(image.layers, 2);
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Node> node, site_->StartNode(system));
    std::filesystem::path network;
    // Held, so that no namespace of others can have its number.
    UniqueFd held;
    node->Enter([&] {
      network = std::filesystem::read_symlink("/proc/thread-self/ns/net");
      held.Reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    });
    ASSERT_TRUE(held.valid());
    EXPECT_NE(network, std::filesystem::read_symlink("/proc/self/ns/net"));
    ASSERT_OK_AND_ASSIGN(const std::string wire,
                         node->RunScript("ip -brief address show wire", std::chrono::seconds(10)));
    EXPECT_THAT(wire, HasSubstr("10.77."));
    ASSERT_OK(node->MakeCold());
    ASSERT_OK(node->ResetPeaks());
    ASSERT_OK_AND_ASSIGN(const Counters before, node->Count());
    RunResult run;
    absl::Status ran;
    node->Enter([&] {
      CriClient client(node->socket(), std::chrono::seconds(60));
      task_.image = image.reference;
      ran = RunOnce(client, task_, {}, &run);
    });
    ASSERT_OK(ran);
    EXPECT_EQ(run.output, "hello\n");
    ASSERT_OK_AND_ASSIGN(const Counters after, node->Count());
    SetDifference(before, after, result);
    look_(*node);
    // It has run something now.
    EXPECT_THAT(node->MakeCold(), StatusIs(absl::StatusCode::kFailedPrecondition));
    ASSERT_OK(node->Destroy());
    EXPECT_THAT(ProcessesOn(network), IsEmpty());
  }

  // Once a node has run: what it received by its own addresses, where a relay listens if there is one.
  int64_t* CountRelayed() {
    look_ = [this](Node& node) {
      ASSERT_OK_AND_ASSIGN(
          const std::string counted,
          node.RunScript("sed -n 's/^ *lo: *//p' /proc/net/dev", std::chrono::seconds(10)));
      relayed_bytes_ = std::stoll(counted);
    };
    return &relayed_bytes_;
  }

  // What is known of the queue through which the servers send.
  std::string QueueAtServers() const {
    const std::vector<pid_t> pids =
        slacker::testing::ProcessesBelow(options_.directory + "/registry");
    if (pids.empty()) return "there is no registry";
    const std::unique_ptr<Programs> programs = OpenPrograms({}, nullptr);
    const auto shown =
        programs->Run({.words = {"nsenter", "--net=/proc/" + std::to_string(pids[0]) + "/ns/net",
                                 "tc", "-statistics", "qdisc", "show", "dev", "servers", "root"}});
    return shown.ok() ? *shown : Message(shown.status());
  }

  static bool HasDaemon(const Result& result, const std::string& name) {
    for (const DaemonUse& daemon : result.daemons) {
      if (daemon.name != name) continue;
      EXPECT_GT(daemon.peak_rss_bytes, 1 << 20) << name;
      EXPECT_GE(daemon.cpu_seconds, 0) << name;
      return true;
    }
    return false;
  }

  TempDir directory_;
  KernelLeakCheck leaks_{directory_.path()};
  std::atomic<bool> interrupted_ = false;
  Task task_;
  SiteOptions options_;
  std::function<void(Node&)> look_ = [](Node&) {};  // at a node after its run
  int64_t relayed_bytes_ = -1;
  std::unique_ptr<Site> site_;

  void TearDown() override {
    site_.reset();
    EXPECT_FALSE(std::filesystem::exists(options_.directory));
  }
};

TEST_P(SiteTest, CountsWhatAnOrdinaryPullFetches) {
  ASSERT_NO_FATAL_FAILURE(Open("loopback"));
  const int64_t* const relayed = CountRelayed();
  Result result;
  ASSERT_NO_FATAL_FAILURE(RunCold(kOverlay, &result));
  EXPECT_GE(*relayed, 0);
  EXPECT_LT(*relayed, kLayerBytes) << "nobody is between";
  EXPECT_GT(result.traffic.received_bytes, kLayerBytes);
  EXPECT_GT(result.traffic.registry_bytes, kLayerBytes);
  EXPECT_LE(result.traffic.registry_bytes, result.traffic.received_bytes);
  EXPECT_GT(result.traffic.registry_requests, 3);  // a manifest, a configuration, two layers
  EXPECT_FALSE(result.traffic.store_bytes.has_value());
  EXPECT_GT(result.disk_bytes, kLayerBytes);
  EXPECT_TRUE(HasDaemon(result, "containerd"));
  EXPECT_FALSE(HasDaemon(result, "overlayfs"));
}

TEST_P(SiteTest, FetchesOverALinkWithALimitAndADelay) {
  ASSERT_NO_FATAL_FAILURE(Open("200mbit-10ms"));
  const int64_t* const relayed = CountRelayed();
  Result result;
  ASSERT_NO_FATAL_FAILURE(RunCold(kOverlay, &result));
  EXPECT_GT(result.traffic.received_bytes, kLayerBytes);
  EXPECT_GT(*relayed, kLayerBytes);
  const std::string queue = QueueAtServers();
  EXPECT_THAT(queue, HasSubstr("qdisc tbf"));
  EXPECT_THAT(queue, HasSubstr("rate 200Mbit"));
  const size_t sent = queue.find("Sent ");
  ASSERT_NE(sent, std::string::npos) << queue;
  EXPECT_GT(std::stoll(queue.substr(sent + 5)), kLayerBytes);

  ASSERT_OK(site_->SetLink({.name = "1gbit", .mbit = 1000}));
  EXPECT_THAT(QueueAtServers(), HasSubstr("rate 1Gbit"));
  ASSERT_OK(site_->SetLink({}));
  EXPECT_THAT(QueueAtServers(), Not(HasSubstr("tbf")));
}

TEST_P(SiteTest, APublishedImageNeedsLittleOfIt) {
  ASSERT_NO_FATAL_FAILURE(Open("200mbit-10ms"));
  for (const System& system : {kSlackerNfs, kSlackerHttps}) {
    SCOPED_TRACE(system.store);
    Result result;
    ASSERT_NO_FATAL_FAILURE(RunCold(system, &result));
    EXPECT_LT(result.traffic.registry_bytes, kLayerBytes);
    EXPECT_LT(result.traffic.received_bytes, kLayerBytes);
    EXPECT_TRUE(HasDaemon(result, "containerd"));
    EXPECT_TRUE(HasDaemon(result, "slacker"));
    // As nginx counts them, or, where the server does not, as slackerd does.
    EXPECT_GT(result.traffic.store_requests, 0);
    EXPECT_GT(result.traffic.store_bytes, 0);
    EXPECT_LT(result.traffic.store_bytes, result.traffic.received_bytes);
  }
}

TEST_P(SiteTest, ANodeThatHasNothingButSomethingInItsCacheIsNotCold) {
  ASSERT_NO_FATAL_FAILURE(Open("loopback"));
  look_ = [this](Node& node) {
    const auto blobs = std::filesystem::path(node.socket()).parent_path() / "s/blobs";
    ASSERT_FALSE(std::filesystem::is_empty(blobs));
    // Containerd has slackerd collect what is removed, some time after it has forgotten it itself: only
    // what nobody collects is certain to be seen.
    std::filesystem::create_hard_link(std::filesystem::directory_iterator(blobs)->path(),
                                      blobs / "left");
    CriClient client(node.socket(), std::chrono::seconds(60));
    ASSERT_OK(client.RemoveImage(task_.image));
    absl::Status cold;
    EXPECT_TRUE(Eventually([&] {
      cold = node.MakeCold();
      return Message(cold).find("in its cache " + blobs.string()) != std::string::npos;
    })) << Message(cold);
  };
  Result result;
  ASSERT_NO_FATAL_FAILURE(RunCold(kSlackerLoopback, &result));
}

TEST_P(SiteTest, ANodeThatHasNothingButContentIsNotCold) {
  ASSERT_NO_FATAL_FAILURE(Open("loopback"));
  ASSERT_OK_AND_ASSIGN(const auto node, site_->StartNode(kOverlay));
  ASSERT_OK(node->MakeCold());
  // As a layer that containerd's collector has not got to; the label keeps it from this one.
  const std::string ctr = "ctr -a " + node->socket() + " -n k8s.io content ";
  ASSERT_OK(node->RunScript("set -e; printf left | " + ctr +
                                "ingest left; digest=$(printf left | sha256sum | cut -d' ' -f1);" +
                                ctr + "label sha256:$digest containerd.io/gc.root=left",
                            std::chrono::seconds(30)));
  EXPECT_THAT(node->MakeCold(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "the node has the content sha256:"));
  ASSERT_OK(node->Destroy());
}

TEST_P(SiteTest, AConvertedImageIsPulledUnderItsOwnName) {
  ASSERT_NO_FATAL_FAILURE(Open("loopback"));
  Result result;
  ASSERT_NO_FATAL_FAILURE(RunCold(kStargz, &result));
  // The last layer is read from the registry as it is needed.
  EXPECT_GT(result.traffic.registry_requests, 3);
  EXPECT_TRUE(HasDaemon(result, "stargz"));
  EXPECT_FALSE(HasDaemon(result, "slacker"));
}

TEST_P(SiteTest, NodesAreThereAtTheSameTime) {
  ASSERT_NO_FATAL_FAILURE(Open("loopback"));
  Result preparation;
  ASSERT_OK(site_->Prepare(kSlackerLoopback, kImage, &preparation));
  EXPECT_TRUE(preparation.phases.prepare_ms.has_value());
  ASSERT_FALSE(preparation.figures.empty());
  Result again;
  ASSERT_OK(site_->Prepare(kSlackerLoopback, kImage, &again));
  EXPECT_FALSE(again.phases.prepare_ms.has_value());
  ASSERT_OK_AND_ASSIGN(const auto one, site_->StartNode(kSlackerLoopback));
  ASSERT_OK_AND_ASSIGN(const auto other, site_->StartNode(kOverlay));
  EXPECT_OK(site_->DropServerCaches());
  EXPECT_OK(one->MakeCold());
  EXPECT_OK(other->MakeCold());
  EXPECT_OK(site_->WarmServerCaches());
  EXPECT_THAT(site_->Versions()["containerd"], HasSubstr("containerd"));
  EXPECT_THAT(site_->Versions()["slacker"], Not(IsEmpty()));
  EXPECT_THAT(site_->Versions()["nginx"], HasSubstr("nginx/"));
  EXPECT_THAT(site_->Versions()["nfs-ganesha"], HasSubstr("Release = "));
  // The rest is the destructors' work: a site is left like this after an interrupt.
  interrupted_ = true;
}

TEST_P(SiteTest, WhatCannotBeMeasuredIsSaid) {
  ASSERT_OK(options_.snapshotters.Add(R"(
[[snapshotter]]
name = "absent"
plugin = "proxy"
daemon = ["no-such-snapshotter"]
[[snapshotter]]
name = "dead"
plugin = "proxy"
daemon = ["sh", "-c", "echo its last words; exit 3"]
[[snapshotter]]
name = "unknown"
plugin = "containerd"
[[snapshotter]]
name = "unconverted"
plugin = "containerd"
[[snapshotter.prepare]]
name = "convert"
command = "echo {name} cannot be converted; exit 4"
)",
                                      "own.toml"));
  ASSERT_NO_FATAL_FAILURE(Open("loopback"));
  Result result;
  const auto prepared = [&](const System& system) {
    return site_->Prepare(system, kImage, &result).status();
  };
  EXPECT_THAT(prepared({"absent", ""}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Message(prepared({"absent", ""})), HasSubstr("no program no-such-snapshotter"));
  EXPECT_THAT(prepared({"none", ""}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(prepared({"overlayfs", "nfs"}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(prepared({"slacker", ""}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Message(prepared({"unconverted", ""})), HasSubstr("small cannot be converted"));
  EXPECT_THAT(site_->Prepare(kOverlay, "no-image", &result), StatusIs(absl::StatusCode::kInternal));
  const absl::Status dead = site_->StartNode({"dead", ""}).status();
  EXPECT_THAT(dead, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Message(dead), HasSubstr("its last words"));
  EXPECT_FALSE(std::filesystem::exists(options_.directory + "/n0"));
  const absl::Status unknown = site_->StartNode({"unknown", ""}).status();
  EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Message(unknown), HasSubstr("io.containerd.snapshotter.v1 unknown"));
  // And the site goes on.
  EXPECT_OK(site_->StartNode(kOverlay));
}

TEST_P(SiteTest, AnInterruptEndsAPreparationAtOnce) {
  ASSERT_OK(options_.snapshotters.Add(R"(
[[snapshotter]]
name = "slow"
plugin = "containerd"
[[snapshotter.prepare]]
name = "convert"
command = "touch {shared}/begun; sleep 1000"
)",
                                      "own.toml"));
  ASSERT_NO_FATAL_FAILURE(Open("loopback"));
  std::thread interrupt([this] {
    EXPECT_TRUE(Eventually(
        [this] { return std::filesystem::exists(options_.directory + "/shared/slow/begun"); }));
    interrupted_ = true;
  });
  Result result;
  EXPECT_THAT(site_->Prepare({"slow", ""}, kImage, &result),
              StatusIs(absl::StatusCode::kCancelled));
  interrupt.join();
}

TEST_P(SiteTest, AnInterruptEndsTheStartOfANodeAtOnce) {
  ASSERT_OK(options_.snapshotters.Add(R"(
[[snapshotter]]
name = "deaf"
plugin = "proxy"
daemon = ["sh", "-c", "touch {node}/begun; exec sleep 1000"]
)",
                                      "own.toml"));
  ASSERT_NO_FATAL_FAILURE(Open("loopback"));
  std::thread interrupt([this] {
    EXPECT_TRUE(
        Eventually([this] { return std::filesystem::exists(options_.directory + "/n0/begun"); }));
    interrupted_ = true;
  });
  EXPECT_THAT(site_->StartNode({"deaf", ""}), StatusIs(absl::StatusCode::kCancelled));
  interrupt.join();
  EXPECT_FALSE(std::filesystem::exists(options_.directory + "/n0"));
}

// A child that dies without a word leaves no process: the kernel ends what it has started.
TEST_P(SiteTest, NothingRunsOnWhenTheProgramIsKilled) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd ready(ends[0]);
  UniqueFd tell(ends[1]);
  const pid_t child = fork();
  if (child == 0) {
    absl::StatusOr<std::unique_ptr<Site>> site = OpenSite(options_);
    if (!site.ok()) _exit(1);
    const absl::StatusOr<std::unique_ptr<Node>> node = (*site)->StartNode(kOverlay);
    if (!node.ok() || write(tell.get(), "x", 1) != 1) _exit(2);
    while (true) (void)pause();
  }
  tell.Reset();
  char byte = 0;
  ASSERT_EQ(read(ready.get(), &byte, 1), 1);
  EXPECT_THAT(slacker::testing::ProcessesBelow(options_.directory), Not(IsEmpty()));
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(
      Eventually([this] { return slacker::testing::ProcessesBelow(options_.directory).empty(); }));
  std::filesystem::remove_all(options_.directory);
}

TEST_P(SiteTest, ADirectoryThatIsThereOrOutOfSightIsRefused) {
  for (const char* directory : {"relative", "/run/site", "/tmp"}) {
    options_.directory = directory;
    EXPECT_THAT(OpenSite(options_), StatusIs(absl::StatusCode::kInvalidArgument)) << directory;
  }
  options_.directory = directory_ / std::string(60, 'x');
  EXPECT_THAT(OpenSite(options_), StatusIs(absl::StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(Containerds, SiteTest, ::testing::Values("", SLACKER_CONTAINERD2),
                         [](const auto& suite) {
                           return suite.param.empty() ? "Version1" : "Version2";
                         });

}  // namespace
}  // namespace slacker::hellobench
