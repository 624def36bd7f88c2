// `slackerctl publish --serve` as a process: signals, registries that hang, several at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <iterator>
#include <sstream>

#include "backend/export/image_export.h"
#include "backend/loopback/loopback_backend.h"
#include "backend/memory/memory_backend.h"
#include "backend/publish/publisher.h"
#include "backend/source/layout_source.h"
#include "backend/store/requests.h"
#include "tests/support/eventually.h"
#include "tests/support/http_server.h"
#include "tests/support/oci_image.h"
#include "tests/support/processes.h"
#include "tests/support/registry_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tcp_relay.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using testing::HttpAnswer;
using testing::HttpRequest;
using testing::HttpServer;
using ::testing::IsEmpty;
using testing::LineProcess;
using ::testing::SizeIs;

const Platform kPlatform = {"linux", "amd64", ""};

class ServeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(store_,
                         LoopbackBackend::Open(store_path_, LoopbackBackend::Missing::kCreate));
  }
  std::unique_ptr<LineProcess> Serve(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {SLACKERCTL, "publish", "--serve", "--store",
                                      "loopback:" + store_path_};
    words.insert(words.end(), more.begin(), more.end());
    return std::make_unique<LineProcess>(words);
  }
  void Request(const std::string& reference, const Digest& chain) {
    ASSERT_OK(
        WriteRequest(*store_, {.reference = reference, .chain_id = chain, .platform = kPlatform}));
  }
  static void ExpectCleanEnd(LineProcess& server) {
    const int status = server.Wait();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }

  const testing::TempDir dir_;
  const std::string store_path_ = dir_ / "store";
  std::shared_ptr<Backend> store_;
};

TEST_F(ServeTest, ASignalEndsOneThatHasNothingToDo) {
  for (const int signal : {SIGTERM, SIGINT}) {
    // The signal may come before it has begun to wait for one: it counts all the same.
    const auto server = Serve();
    EXPECT_TRUE(testing::Eventually(
        [&] {  // signals are blocked from early on, and until then they end the process
          return !testing::ProcessesWith("--serve").empty() &&
                 testing::ReadWholeFile("/proc/" + std::to_string(server->pid()) + "/status")
                         .find("SigBlk:\t0000000000004002") != std::string::npos;
        }));
    ASSERT_EQ(kill(server->pid(), signal), 0);
    ExpectCleanEnd(*server);
  }
}

TEST_F(ServeTest, WhatIsUnderWayIsFinishedAndNothingElseBegun) {
  Mutex mutex;
  CondVar changed;
  bool open = false;
  HttpServer registry([&](const HttpRequest&) {
    MutexLock lock(&mutex);
    while (!open) changed.Wait(&mutex);
    return HttpAnswer{.status = 404};
  });
  Request(registry.Host() + "/app:v1", Sha256::Of("one"));
  Request(registry.Host() + "/app:v2", Sha256::Of("two"));
  const auto server = Serve();
  EXPECT_TRUE(testing::Eventually([&] { return !registry.Requests().empty(); }));
  ASSERT_EQ(kill(server->pid(), SIGTERM), 0);
  EXPECT_EQ(waitpid(server->pid(), nullptr, WNOHANG), 0);
  EXPECT_THAT(*store_->List("requests/"), SizeIs(3));  // two, and the claim on one of them
  {
    MutexLock lock(&mutex);
    open = true;
    changed.SignalAll();
  }
  ExpectCleanEnd(*server);
  ASSERT_OK_AND_ASSIGN(const auto requests, ListRequests(*store_));
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_NE(requests[0].failure.has_value(), requests[1].failure.has_value());
  EXPECT_THAT(*store_->List("requests/"), SizeIs(3));  // two, and the failure of one
}

TEST_F(ServeTest, SeveralAtOnceDownloadAnImageOnce) {
  const testing::RegistryProcess registry(dir_ / "registry");
  ASSERT_NE(registry.host(), "");
  testing::OciLayout layout(dir_ / "layout");
  const testing::WrittenImage image = layout.AddImage(testing::SampleLayers(), "v1");
  std::vector<Digest> layers;
  {
    const std::shared_ptr<Backend> other = std::make_shared<MemoryBackend>();
    ASSERT_OK_AND_ASSIGN(const auto source, OpenLayoutSource(layout.directory(), "v1"));
    PublishOptions options;
    options.platform = kPlatform;
    ASSERT_OK_AND_ASSIGN(const auto published, Publish(*source, other, options, nullptr));
    ASSERT_OK_AND_ASSIGN(const auto reference, ParseImageReference(registry.host() + "/app:v1"));
    ASSERT_OK_AND_ASSIGN(const auto sink, OpenRegistrySink(reference, std::nullopt, {}));
    ASSERT_OK_AND_ASSIGN(const ExportedImage pushed,
                         ExportImage(StoreReader(other), published.entry, *sink, nullptr));
    for (const ExportedLayer& layer : pushed.layers) layers.push_back(layer.blob.digest);
  }
  const std::string port = registry.host().substr(registry.host().find(':') + 1);
  testing::TcpRelay relay(static_cast<uint16_t>(std::stoi(port)));
  Request("127.0.0.1:" + std::to_string(relay.port()) + "/app:v1", image.chain_id);

  std::vector<std::unique_ptr<LineProcess>> servers;
  for (int i = 0; i < 3; ++i) servers.push_back(Serve());
  EXPECT_TRUE(testing::Eventually([this] { return ListRequests(*store_)->empty(); }));
  for (const auto& server : servers) ASSERT_EQ(kill(server->pid(), SIGTERM), 0);
  for (const auto& server : servers) ExpectCleanEnd(*server);
  EXPECT_OK(StoreReader(store_).ReadGrantedManifest(image.chain_id, ""));
  EXPECT_FALSE(layers.empty());
  for (const Digest& layer : layers) {
    EXPECT_EQ(relay.Seen("GET /v2/app/blobs/" + layer.ToString()), 1u);
  }
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
}

// With the program and the key of this test in place of those of the machine.
TEST_F(ServeTest, TheCommandOfItsUnitServesTheStoreOfItsEnvironment) {
  std::string unit =
      testing::ReadWholeFile(SLACKER_SOURCE_DIR "/deploy/systemd/slacker-publisher.service");
  const std::string before = "\nExecStart=";
  const size_t begin = unit.find(before) + before.size();
  std::istringstream command(unit.substr(begin, unit.find('\n', begin) - begin));
  std::vector<std::string> words{std::istream_iterator<std::string>(command), {}};
  ASSERT_FALSE(words.empty());
  ASSERT_EQ(words[0], "/usr/bin/slackerctl");
  words[0] = SLACKERCTL;
  const std::string key = dir_ / "publisher.pem";
  LineProcess keygen({SLACKERCTL, "keygen", key});
  ExpectCleanEnd(keygen);
  ASSERT_EQ(std::ranges::count(words, "/etc/slacker/publisher.pem"), 1);
  std::ranges::replace(words, "/etc/slacker/publisher.pem", key);

  ASSERT_OK(store_->Put("requests/junk", "junk"));
  LineProcess server(words, {"SLACKER_STORE=loopback:" + store_path_});
  EXPECT_TRUE(testing::Eventually([this] { return store_->List("requests/")->empty(); }));
  ASSERT_EQ(kill(server.pid(), SIGTERM), 0);
  ExpectCleanEnd(server);
}

TEST_F(ServeTest, ANodeWithNothingToPublishIsDone) {
  const std::string root = dir_ / "root";
  ASSERT_OK(LoopbackBackend::Open(root + "/publish", LoopbackBackend::Missing::kCreate).status());
  ExpectCleanEnd(*Serve({"--node", root}));
}

TEST_F(ServeTest, ANodeWhoseContainerdIsAwayTriesAgain) {
  const std::string root = dir_ / "root";
  ASSERT_OK_AND_ASSIGN(const auto requests,
                       LoopbackBackend::Open(root + "/publish", LoopbackBackend::Missing::kCreate));
  ASSERT_OK(WriteRequest(*requests, {.reference = "registry.example.com/app:v1",
                                     .chain_id = Sha256::Of("chain"),
                                     .platform = kPlatform,
                                     .name_space = "k8s.io"}));
  const auto server = Serve({"--node", root, "--containerd-address", dir_ / "none.sock"});
  EXPECT_TRUE(
      testing::Eventually([&] { return ListRequests(*requests)->at(0).failure.has_value(); }));
  const RequestFailure failure = *ListRequests(*requests)->at(0).failure;
  EXPECT_EQ(failure.attempts, 1u);
  EXPECT_FALSE(failure.given_up);
  ASSERT_EQ(kill(server->pid(), SIGTERM), 0);
  ExpectCleanEnd(*server);
}

}  // namespace
}  // namespace slacker
