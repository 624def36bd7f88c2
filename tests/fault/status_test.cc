// slackerctl status, asked of a real slackerd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "snapshotter/files/node_files.h"
#include "tests/fault/remote_fixture.h"
#include "tests/fault/slackerctl.h"
#include "tests/support/erofs_sample.h"

namespace slacker::testing {
namespace {

class StatusTest : public RemoteFixture {
 protected:
  void SetUp() override {
    RemoteFixture::SetUp();
    ConfigureRaw("store.budget_ms", "30000");  // machines may be slow
  }
  nlohmann::json Status() { return StatusOf(sock_); }
  // The exit code; what it says is in scrubbed_.
  int Scrub(std::vector<std::string> images) {
    std::vector<std::string> words = {"scrub", "--address", sock_, "--json"};
    words.insert(words.end(), images.begin(), images.end());
    const std::string output = dir_ / "scrub.json";
    const int status = RunTool(words, "X=1", output);
    std::ifstream file(output);
    scrubbed_ = nlohmann::json::parse(file, nullptr, false);
    return status;
  }
  uint64_t Sum(const char* key) const {
    uint64_t sum = 0;
    for (const auto& layer : scrubbed_) sum += layer[key].get<uint64_t>();
    return sum;
  }

  // All files of the image that was prepared last.
  static void ReadTree(Daemon& daemon) {
    for (const std::string& option : daemon.mounts().front().options()) {
      if (!option.starts_with("lowerdir=")) continue;
      for (const auto& file : std::filesystem::recursive_directory_iterator(option.substr(9))) {
        if (file.is_regular_file()) (void)ReadWholeFile(file.path());
      }
    }
  }
  nlohmann::json scrubbed_;
  // Of a chain that is not published.
  std::string UnknownRef(int number) const {
    return Sha256::Of("chain " + std::to_string(number)).ToString();
  }
};

TEST_F(StatusTest, ARunningNodeSaysWhatItIsAndHas) {
  const auto daemon = Start();
  const std::string top = Pull(*daemon, "pull");
  ASSERT_FALSE(top.empty());
  nlohmann::json status = Status();
  EXPECT_EQ(status["root"], root_);
  EXPECT_EQ(status["store"]["places"][0]["url"], "loopback:" + (dir_ / "store"));
  EXPECT_EQ(status["store"]["breaker"]["state"], "closed");
  EXPECT_EQ(status["fuse"]["alive"], true);
  EXPECT_EQ(status["keeper"]["alive"], true);
  EXPECT_THAT(status["keeper"]["kept"], ::testing::Contains("lock"));
  EXPECT_GT(status["counters"]["pull_store_requests"], 0);
  ASSERT_FALSE(status["images"].empty());
  for (const auto& image : status["images"]) EXPECT_EQ(image["attached"], false);
  // Lazy images work here, so these must have been found.
  for (const char* feature :
       {"overlay", "erofs", "erofs_chunked_file", "erofs_device_table", "fuse"}) {
    EXPECT_EQ(status["kernel"][feature]["found"], true) << feature;
  }
  for (const char* feature : {"loop_direct_io", "loop_change_fd", "fuse_resend"}) {
    EXPECT_TRUE(status["kernel"].contains(feature)) << feature;
  }
  for (const auto& file : std::filesystem::directory_iterator(root_ + "/blobs")) {
    EXPECT_THAT(file.path().filename().string(), ::testing::Not(::testing::StartsWith("probe")));
  }

  ASSERT_TRUE(daemon->Prepare("container", top).ok());
  status = Status();
  EXPECT_EQ(std::count_if(status["images"].begin(), status["images"].end(),
                          [](const auto& image) { return image["attached"] == true; }),
            1);
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

TEST_F(StatusTest, AStoreThatIsAwayIsSaidWhileItIs) {
  const auto daemon = Start();
  std::filesystem::rename(dir_ / "store", dir_ / "elsewhere");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(daemon->Prepare("ordinary " + std::to_string(i), "", UnknownRef(i)).ok());
  }
  EXPECT_TRUE(daemon->Prepare("spared", "", UnknownRef(9)).ok());
  const nlohmann::json breaker = Status()["store"]["breaker"];
  EXPECT_EQ(breaker["state"], "open");
  EXPECT_GT(breaker["next_probe_unix_seconds"], breaker["since_unix_seconds"]);
  EXPECT_EQ(breaker["refused"], 1);
  EXPECT_THAT(breaker["error"].get<std::string>(), ::testing::Not(::testing::IsEmpty()));
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

// What the disk has done to a cache is found and repaired, while a container has it.
TEST_F(StatusTest, ScrubFindsADamagedChunkAndRepairsItFromTheStore) {
  const auto daemon = Start();
  const std::string top = Pull(*daemon, "pull");
  ASSERT_TRUE(daemon->Prepare("container", top).ok());
  // Completion brings all of it, and seals the cache.
  ASSERT_TRUE(Eventually([&] {
    const auto images = Status()["images"];
    return std::all_of(images.begin(), images.end(), [](const auto& image) {
      return std::all_of(image["layers"].begin(), image["layers"].end(),
                         [](const auto& layer) { return layer["complete"] == true; });
    });
  }));
  EXPECT_EQ(Scrub({}), 0);
  EXPECT_EQ(Sum("damaged"), 0U);
  EXPECT_GT(Sum("chunks"), 0U);

  std::string cache;
  for (const auto& entry : std::filesystem::directory_iterator(root_ + "/blobs")) {
    if (entry.path().extension() == ".data" && entry.file_size() > 0) cache = entry.path();
  }
  const std::string right = ReadWholeFile(cache);
  ASSERT_FALSE(right.empty()) << cache;
  {
    std::fstream file(cache, std::ios::in | std::ios::out | std::ios::binary);
    file.put(static_cast<char>(right[0] ^ 1));
    ASSERT_TRUE(file.good());
  }
  EXPECT_EQ(Scrub({image_.chain().ToString()}), 0);
  EXPECT_EQ(Sum("damaged"), 1U);
  EXPECT_EQ(Sum("repaired"), 1U);
  EXPECT_TRUE(Eventually([&] { return ReadWholeFile(cache) == right; })) << "it is written behind";
  EXPECT_EQ(Scrub({}), 0);
  EXPECT_EQ(Sum("damaged"), 0U);

  EXPECT_NE(Scrub({Sha256::Of("another").ToString()}), 0);
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

// The disk has damaged a chunk that the store has lost: status says so of both, log and counters too.
TEST_F(StatusTest, ChunksThatAreNotRightAreSaidWithTheirImage) {
  ConfigureRaw("cache.complete", "\"off\"");
  const auto daemon = Start();
  const std::string top = Pull(*daemon, "pull");
  ASSERT_TRUE(daemon->Prepare("container", top).ok());
  ReadTree(*daemon);
  EXPECT_TRUE(Status()["faulty_layers"].empty());
  EXPECT_TRUE(Status()["caches"]["over"].is_null());
  EXPECT_GT(Status()["caches"]["free_bytes"], 0);
  const auto caches = [this] {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/blobs")) {
      if (entry.path().extension() == ".data" && AllocatedBytes(entry.path()) > 0) {
        found.push_back(entry.path());
      }
    }
    return found;
  };
  ASSERT_TRUE(Eventually([&] { return Scrub({}) == 0 && Sum("chunks") > 0; })) << "what was read";
  for (const std::string& cache : caches()) {
    std::fstream file(cache, std::ios::in | std::ios::out | std::ios::binary);
    for (uint64_t at = 0; at < std::filesystem::file_size(cache); at += 4096) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put('!');
    }
    ASSERT_TRUE(file.good());
  }
  for (const auto& pack : std::filesystem::recursive_directory_iterator(dir_ / "store/packs")) {
    if (pack.is_regular_file()) std::filesystem::resize_file(pack, 1);
  }
  (void)Scrub({});  // its exit code is another test's
  EXPECT_GT(Sum("damaged"), 0U);
  EXPECT_EQ(Sum("repaired"), 0U);
  const nlohmann::json status = Status();
  std::map<std::string, nlohmann::json> found;
  for (const auto& layer : status["faulty_layers"]) found[layer["where"]] = layer;
  ASSERT_TRUE(found.contains("disk")) << status;
  ASSERT_TRUE(found.contains("store")) << status;
  for (const auto& [where, layer] : found) {
    EXPECT_GT(layer["chunks"], 0) << where;
    EXPECT_THAT(layer["images"].get<std::string>(), ::testing::Not(::testing::IsEmpty())) << where;
  }
  EXPECT_EQ(status["counters"]["chunks_damaged"], Sum("damaged"));
  EXPECT_EQ(status["counters"]["chunks_spoilt"], Sum("damaged"));
  EXPECT_THAT(Log(), ::testing::HasSubstr("are missing or damaged in the store"));
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

// Memory that its own FUSE waits for must not have to be read back from a disk.
TEST_F(StatusTest, BuffersThatFaceFuseAreLocked) {
  const auto daemon = Start();
  const std::string top = Pull(*daemon, "pull");
  ASSERT_TRUE(daemon->Prepare("container", top).ok());
  ReadTree(*daemon);
  std::ifstream status("/proc/" + std::to_string(daemon->pid()) + "/status");
  long locked_kib = -1;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmLck:")) locked_kib = std::stol(line.substr(6));
  }
  EXPECT_GE(locked_kib, 128) << "at least one answer to a read, which may be as large";
  EXPECT_TRUE(RemoveAll(*daemon).ok());
}

TEST_F(StatusTest, WithoutASlackerdItFails) {
  EXPECT_NE(RunTool({"status", "--address", sock_}), 0);
}

}  // namespace
}  // namespace slacker::testing
