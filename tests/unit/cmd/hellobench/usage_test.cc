#include "cmd/hellobench/site/usage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(ParseStatTest, CountsTheProcessAndItsChildrenThatHaveEnded) {
  ASSERT_OK_AND_ASSIGN(const ProcessStat stat,
                       ParseStat("42 (a) b ( c) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 0 20 0 1 0 "
                                 "555 1000 200\n"));
  EXPECT_EQ(stat.pid, 42);
  EXPECT_EQ(stat.name, "a) b ( c");
  EXPECT_EQ(stat.parent, 7);
  EXPECT_EQ(stat.cpu_ticks, 123U);
  EXPECT_EQ(stat.start, 555U);
}

TEST(ParseStatTest, RefusesWhatIsNoProcess) {
  for (const std::string text : {"", "42", "42 (a", "x (a) S 1 2", "42 (a) S 7 42 42 0 -1", ") (",
                                 "42 (a) S x 42 42 0 -1 4 1 2 3 4 1 2 3 0 2 0 1 0 5 1"}) {
    EXPECT_THAT(ParseStat(text), StatusIs(absl::StatusCode::kInternal)) << text;
  }
}

ProcessStat Process(pid_t pid, pid_t parent, const std::string& name) {
  return {.pid = pid, .parent = parent, .name = name, .start = 0, .cpu_ticks = 0};
}

TEST(OwnersTest, ShimsAndWhatTheyRunAreNobodys) {
  const std::vector<ProcessStat> processes = {
      Process(10, 1, "hellobench"),        // the first process of the node
      Process(11, 1, "containerd"),        // ours, so its parent is outside
      Process(12, 1, "lazyd"),             // the snapshotter's daemon
      Process(13, 12, "mount.fuse"),       // what it has started
      Process(14, 10, "lazyd-helper"),     // an orphan of it
      Process(15, 11, "unpigz"),           // containerd's
      Process(16, 10, "containerd-shim"),  // an orphan of containerd's
      Process(17, 16, "runc"),
      Process(18, 11, "containerd-shim"),  // not an orphan yet
  };
  EXPECT_THAT(Owners(processes, 10, 11, "lazy"),
              UnorderedElementsAre(Pair(11, "containerd"), Pair(12, "lazy"), Pair(13, "lazy"),
                                   Pair(14, "lazy"), Pair(15, "containerd")));
}

TEST(OwnersTest, EndsWithProcessesThatAreEachOthersParents) {
  const std::vector<ProcessStat> processes = {Process(12, 13, "a"), Process(13, 12, "b")};
  EXPECT_THAT(Owners(processes, 10, 11, "lazy"),
              UnorderedElementsAre(Pair(12, "lazy"), Pair(13, "lazy")));
}

TEST(ProcessesOfTest, FindsThisOne) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ProcessStat> processes, ProcessesOf(getpid()));
  bool found = false;
  for (const ProcessStat& process : processes) found = found || process.pid == getpid();
  EXPECT_TRUE(found);
}

TEST(AllocatedBytesTest, CountsAFileOnceAndNoHoles) {
  TempDir directory;
  const std::string name = directory / "deep/er";
  std::filesystem::create_directories(name);
  std::ofstream(name + "/file") << std::string(100000, 'x');
  ASSERT_OK_AND_ASSIGN(const int64_t before, AllocatedBytes(directory.path()));
  EXPECT_GE(before, 100000);
  std::filesystem::create_hard_link(name + "/file", name + "/link");
  std::ofstream(name + "/hole").flush();
  std::filesystem::resize_file(name + "/hole", 1 << 30);
  ASSERT_OK_AND_ASSIGN(const int64_t after, AllocatedBytes(directory.path()));
  EXPECT_LT(after, before + 100000);
}

TEST(AllocatedBytesTest, ADirectoryThatIsNotThereIsAnError) {
  EXPECT_FALSE(AllocatedBytes("/none").ok());
}

constexpr char kInterfaces[] =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n"
    "    lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n"
    "  wire: 1000 20 0 0 0 0 0 0 300 4 0 0 0 0 0 0\n";

TEST(ParseInterfaceTest, TakesBytesOfBothDirections) {
  ASSERT_OK_AND_ASSIGN(const InterfaceBytes bytes, ParseInterface(kInterfaces, "wire"));
  EXPECT_EQ(bytes.received, 1000);
  EXPECT_EQ(bytes.sent, 300);
  EXPECT_THAT(ParseInterface(kInterfaces, "wir"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(ParseAccessLogTest, CountsOneClientsFinishedLines) {
  const Served served = ParseAccessLog(
      "time=\"x\" level=warning msg=\"10.77.1.1 \\\"GET\\\"\"\n"
      "10.77.1.1 - - [26/Nov/2026:19:00:00 +0000] \"GET /v2/a HTTP/1.1\" 200 1000 \"\" \"Go\"\n"
      "10.77.1.10 - - [x] \"GET /v2/a HTTP/1.1\" 200 7 \"\" \"Go\"\n"
      "10.77.1.1 - - \"HEAD /v2/a HTTP/2.0\" 404 25\n"
      "10.77.1.1 - - \"GET\" 200\n"
      "10.77.1.1 - - \"GET /v2/a HTTP/1.1\" 200 5000",
      "10.77.1.1");
  EXPECT_EQ(served.requests, 2);
  EXPECT_EQ(served.bytes, 1025);
}

}  // namespace
}  // namespace slacker::hellobench
