// slackerd as a process: start, refusals, stop, a full disk.
#include "tests/fault/daemon.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/os/mount.h"
#include "tests/support/eventually.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using DaemonTest = DaemonFixture;

TEST_F(DaemonTest, TerminationIsClean) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const auto daemon = Start();
    ASSERT_TRUE(daemon->running()) << Log();
    EXPECT_EQ(daemon->End(signal), 0);
  }
  EXPECT_THAT(Log(), ::testing::HasSubstr(R"("msg":"stopping")"));
}

// What works without being waited for stands back for everybody else's disk and processors.
TEST_F(DaemonTest, CareOfCachesIsAtTheLastPlace) {
  ConfigureRaw("store.url", "\"loopback:" + (dir_ / "store") + "\"");
  const auto daemon = Start();
  ASSERT_TRUE(daemon->running());
  const std::string tasks = "/proc/" + std::to_string(daemon->pid()) + "/task";
  // A thread is named by itself, and takes its place after that.
  const auto idle = [&tasks] {
    std::set<std::string> found;
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
      const int priority = static_cast<int>(
          syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, std::stoi(task.path().filename())));
      if (priority >> 13 == 3 /* IOPRIO_CLASS_IDLE */) {
        std::string name;
        std::ifstream(task.path() / "comm") >> name;
        found.insert(name);
      }
    }
    return found;
  };
  EXPECT_TRUE(Eventually([&] {
    return std::ranges::includes(
        idle(), std::set<std::string>{"slk-complete", "slk-evict", "slk-prove", "slk-scrub"});
  })) << ::testing::PrintToString(idle());
  for (const char* name : {"slk-disk", "slk-fetch", "slk-fuse", "slackerd"}) {
    EXPECT_FALSE(idle().contains(name)) << name;
  }
}

TEST_F(DaemonTest, ASecondDaemonOnTheRootIsRefused) {
  const auto first = Start();
  ASSERT_TRUE(first->running());
  const auto second = StartOn(root_, dir_ / "other");
  EXPECT_EQ(WEXITSTATUS(second->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("is in use by PID"));
  EXPECT_TRUE(first->Prepare("k", "").ok());
}

TEST_F(DaemonTest, ASecondDaemonOnTheSocketIsRefused) {
  const auto first = Start();
  ASSERT_TRUE(first->running());
  const auto second = StartOn(dir_ / "other", sock_);
  EXPECT_EQ(WEXITSTATUS(second->Wait()), 1);
  EXPECT_THAT(Log(),
              ::testing::HasSubstr(sock_ + " is in use by PID " + std::to_string(first->pid())));
  EXPECT_TRUE(first->Prepare("k", "").ok());
}

TEST_F(DaemonTest, ARestartAfterSigkillServesTheSameState) {
  const auto first = Start();
  ASSERT_TRUE(first->Prepare("k", "").ok());
  first->End(SIGKILL);
  const auto second = Start();
  ASSERT_TRUE(second->running()) << Log();
  EXPECT_EQ(second->List().size(), 1U);
  EXPECT_EQ(second->Prepare("k", "").error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

// It has the listening socket and both locks until it is gone.
TEST_F(DaemonTest, ASuccessorServesWhileItsPredecessorIsStillDying) {
  const auto first = Start();
  ASSERT_TRUE(first->Prepare("k", "").ok());
  ASSERT_NO_FATAL_FAILURE(KillAndHold(first->pid()));
  const auto second = Start();
  EXPECT_TRUE(second->running()) << Log();
  EXPECT_EQ(second->List().size(), 1U);
  ASSERT_NO_FATAL_FAILURE(LetGo(first->pid()));
  first->Wait();
  EXPECT_TRUE(second->Prepare("afterwards", "").ok());
}

TEST_F(DaemonTest, ItUsesMoreDescriptorsThanItsShellWouldGiveIt) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  constexpr rlim_t kFew = 128;
  ASSERT_GT(before.rlim_max, 4 * kFew);
  const rlimit few{.rlim_cur = kFew, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto daemon = Start();
  const rlimit many{.rlim_cur = 4 * kFew, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &many), 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  sock_.copy(address.sun_path, sizeof address.sun_path - 1);
  std::vector<UniqueFd> connections;
  for (rlim_t i = 0; i < 2 * kFew; ++i) {
    connections.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(connections.back().get(), reinterpret_cast<const sockaddr*>(&address),
                      sizeof address),
              0);
  }
  // What the server greets each connection with: it was taken, and not closed.
  for (const UniqueFd& connection : connections) {
    char byte = 0;
    EXPECT_EQ(read(connection.get(), &byte, 1), 1);
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

// So that one reader serves containerd's log and ours. Libraries would write text of their own between
// the lines.
TEST_F(DaemonTest, EveryLineOfTheLogIsInTheShapeOfLogrusAtEveryLevel) {
  Configure("log_level", "debug");
  {
    const auto daemon = Start();
    EXPECT_FALSE(daemon->Prepare("no UTF-8: \xff", "").ok());
    EXPECT_TRUE(daemon->Prepare("twice", "").ok());
    EXPECT_FALSE(daemon->Prepare("twice", "").ok());
    EXPECT_EQ(WEXITSTATUS(StartOn(root_, dir_ / "other")->Wait()), 1);
  }
  EXPECT_THAT(Log(), ::testing::HasSubstr("invalid UTF-8"));
  const std::regex nanoseconds_utc(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z)");
  std::set<std::string> levels;
  std::istringstream lines(Log());
  for (std::string line; std::getline(lines, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(parsed.is_object()) << line;
    for (const auto& [key, value] : parsed.items()) EXPECT_TRUE(value.is_string()) << line;
    levels.insert(parsed.value("level", ""));
    EXPECT_NE(parsed.value("msg", ""), "") << line;
    EXPECT_TRUE(std::regex_match(parsed.value("time", ""), nanoseconds_utc)) << line;
  }
  EXPECT_EQ(levels, (std::set<std::string>{"debug", "error", "info", "warning"}));
}

TEST_F(DaemonTest, AnUnusableRootIsAClearError) {
  std::ofstream(root_) << "a file";
  const auto daemon = Start();
  EXPECT_EQ(WEXITSTATUS(daemon->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("cannot serve"));
  EXPECT_THAT(Log(), ::testing::HasSubstr(root_));
}

// No root, no run directory, no keeper that waits for a successor (the fixture looks for processes).
TEST_F(DaemonTest, AKeyThatCannotBeReadIsNamedBeforeAnythingIsMade) {
  Configure("store.url", "loopback:" + (dir_ / "store"));
  ConfigureRaw("store.trusted_keys", "[\"/none/key.pub\"]");
  EXPECT_EQ(WEXITSTATUS(Start()->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("cannot serve"));
  EXPECT_THAT(Log(), ::testing::HasSubstr(config_ + ":3: store.trusted_keys: open /none/key.pub"));
  EXPECT_FALSE(std::filesystem::exists(root_));
  EXPECT_FALSE(std::filesystem::exists(run_dir_));
}

TEST_F(DaemonTest, AStoreThatIsNotThereIsSaidOnceAtTheStart) {
  const std::string missing = "loopback:" + (dir_ / "none");
  const std::string present = dir_ / "present";
  std::filesystem::create_directories(present);
  ConfigureRaw("store.urls", "[\"" + missing + "\", \"loopback:" + present + "\"]");
  const auto daemon = Start();
  ASSERT_TRUE(daemon->running()) << Log();
  ASSERT_TRUE(Eventually(
      [this] { return Log().find("the store cannot be read at the start") != std::string::npos; }));
  EXPECT_EQ(daemon->End(SIGTERM), 0);
  const std::string log = Log();
  EXPECT_THAT(log, ::testing::ContainsRegex("\"msg\":\"the store cannot be read at the start; [^}]*"
                                            "\"url\":\"" +
                                            missing + "\""));
  EXPECT_THAT(log, ::testing::HasSubstr(missing.substr(9) + " is missing"));
  const size_t first = log.find("the store cannot be read");
  EXPECT_EQ(log.find("the store cannot be read", first + 1), std::string::npos)
      << "the other place is there";
}

TEST_F(DaemonTest, AStartThatFailsLeavesNoKeeper) {
  std::filesystem::create_directories(root_);
  std::ofstream(root_ + "/slacker.db") << std::string(8192, 'x');
  EXPECT_EQ(WEXITSTATUS(Start()->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("cannot serve"));
  EXPECT_TRUE(Eventually([this] { return ProcessesBelow(run_dir_).empty(); }));
  std::filesystem::remove(root_ + "/slacker.db");
  Start()->End(SIGTERM);
  std::filesystem::remove(root_ + "/blobs");
  std::ofstream(root_ + "/blobs") << "a file";
  EXPECT_EQ(WEXITSTATUS(Start()->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr(root_ + "/blobs"));
  EXPECT_TRUE(Eventually([this] { return ProcessesBelow(run_dir_).empty(); }));
}

// What may be attached is still served by whoever comes next.
TEST_F(DaemonTest, AStartThatFailsLeavesTheKeeperWhatItHolds) {
  Start()->End(SIGKILL);
  ASSERT_TRUE(Eventually([this] { return ProcessesBelow(run_dir_).size() == 1; }));
  const std::vector<pid_t> keeper = ProcessesBelow(run_dir_);
  std::filesystem::rename(root_ + "/blobs", root_ + "/elsewhere");
  std::ofstream(root_ + "/blobs") << "a file";
  EXPECT_EQ(WEXITSTATUS(Start()->Wait()), 1);
  EXPECT_EQ(ProcessesBelow(run_dir_), keeper);
  std::filesystem::remove(root_ + "/blobs");
  std::filesystem::rename(root_ + "/elsewhere", root_ + "/blobs");
  const auto daemon = Start();
  ASSERT_TRUE(daemon->running()) << Log();
  EXPECT_THAT(ProcessesBelow(run_dir_), ::testing::IsSupersetOf(keeper));
  EXPECT_EQ(daemon->End(SIGTERM), 0);
  EXPECT_TRUE(Eventually([this] { return ProcessesBelow(run_dir_).empty(); }));
}

TEST_F(DaemonTest, AWrongAddressIsRefusedBeforeAnythingIsMade) {
  std::ofstream(sock_) << "precious";
  EXPECT_EQ(WEXITSTATUS(Start()->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("is not a socket"));
  EXPECT_FALSE(std::filesystem::exists(sock_ + ".lock"));
  std::filesystem::create_directories(dir_ / "directory");
  EXPECT_EQ(WEXITSTATUS(StartOn(root_, dir_ / "directory")->Wait()), 1);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "directory.lock"));
  EXPECT_EQ(WEXITSTATUS(StartOn(root_, dir_ / "directory/")->Wait()), 2);
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "directory"));
  EXPECT_FALSE(std::filesystem::exists(root_));
  EXPECT_FALSE(std::filesystem::exists(run_dir_));
  EXPECT_EQ(std::filesystem::file_size(sock_), 8U);
}

// slackerd removes what it does not know below its root: a wrong path must not cost anybody a file.
TEST_F(DaemonTest, ADirectoryOfOthersIsNotTakenForARoot) {
  const std::string record = root_ + "/records/" + std::string(64, 'a');
  const std::string photo = root_ + "/images/photo.jpg";
  for (const std::string& file : {record, photo}) {
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file) << "precious";
  }
  EXPECT_EQ(WEXITSTATUS(Start()->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("is no root of slackerd"));
  EXPECT_EQ(WEXITSTATUS(StartOn("/", sock_)->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("the root must not be /"));
  EXPECT_TRUE(std::filesystem::exists(record));
  EXPECT_TRUE(std::filesystem::exists(photo));
  EXPECT_FALSE(std::filesystem::exists(run_dir_)) << "a keeper was started";
  EXPECT_FALSE(std::filesystem::exists(root_ + "/lock"));
}

TEST_F(DaemonTest, ARootIsNoStoreNorThePlaceOfOne) {
  Configure("store.url", "loopback:" + root_ + "/images");
  EXPECT_EQ(WEXITSTATUS(Start()->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("one lies within the other"));
  EXPECT_FALSE(std::filesystem::exists(root_));
}

// Each on a network, or perhaps; none is asked for anything at the start.
class UntrustedStoreTest : public DaemonTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(UntrustedStoreTest, WithoutKeysItIsRefusedUnlessThatIsAskedFor) {
  Configure("store.url", GetParam());
  EXPECT_EQ(WEXITSTATUS(Start()->Wait()), 1);
  EXPECT_THAT(Log(), ::testing::HasSubstr("cannot serve"));
  EXPECT_THAT(Log(), ::testing::HasSubstr("set store.trusted_keys, or store.insecure to true"));
  EXPECT_THAT(Log(), ::testing::Not(::testing::HasSubstr(R"("msg":"serving")")));
  ConfigureRaw("store.insecure", "true");
  const auto daemon = Start();
  EXPECT_TRUE(daemon->running()) << Log();
  EXPECT_TRUE(daemon->Prepare("k", "").ok());
}

INSTANTIATE_TEST_SUITE_P(All, UntrustedStoreTest,
                         ::testing::Values("https://127.0.0.1:1/store",
                                           "nfs://127.0.0.1/export/store",
                                           "loopback:/proc/sys/store"),
                         [](const auto& test) {
                           const std::string url = test.param;
                           return url.substr(0, url.find(':'));
                         });

// What systemd's socket for notifications receives.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path) : fd_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~NotifySocket() { close(fd_); }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  // Waits for the next message.
  std::string Next() const {
    char text[256] = {};
    return recv(fd_, text, sizeof text - 1, 0) > 0 ? text : "";
  }

 private:
  const int fd_;
};

// A store whose every file hangs: a FUSE file system that nobody serves.
TEST_F(DaemonTest, AStoreThatHangsDoesNotKeepItFromEnding) {
  const std::string store = dir_ / "store";
  std::filesystem::create_directories(store);
  Configure("store.url", "loopback:" + store);
  const auto daemon = Start();
  ASSERT_TRUE(daemon->running()) << Log();
  const UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(device.valid());
  ASSERT_OK(MountFuse(device.get(), "hangs", store));
  const std::string chain = "sha256:" + std::string(64, 'a');
  EXPECT_TRUE(daemon->Prepare("k", "", chain).ok()) << "not the ordinary path: " << Log();
  EXPECT_EQ(daemon->End(SIGTERM), 0);
  EXPECT_THAT(Log(), ::testing::HasSubstr("ending without the answers"));
  EXPECT_EQ(umount2(store.c_str(), MNT_DETACH), 0);
}

TEST_F(DaemonTest, SystemdIsToldOfReadinessAndOfTheStop) {
  const NotifySocket notify(dir_ / "notify");
  const auto daemon = Start({"NOTIFY_SOCKET=" + (dir_ / "notify")});
  ASSERT_TRUE(daemon->running()) << Log();
  EXPECT_EQ(notify.Next(), "READY=1");
  EXPECT_TRUE(daemon->Prepare("k", "").ok()) << "it serves when it says so";
  EXPECT_EQ(daemon->End(SIGTERM), 0);
  EXPECT_EQ(notify.Next(), "STOPPING=1");
}

TEST_F(DaemonTest, TheSocketIsPrivateAndAStaleOneIsReplaced) {
  const auto first = Start();
  first->End(SIGKILL);
  ASSERT_TRUE(std::filesystem::is_socket(sock_)) << "the dead daemon's";
  const auto second = Start();
  ASSERT_TRUE(second->running()) << Log();
  EXPECT_TRUE(second->Prepare("k", "").ok());
  EXPECT_EQ(std::filesystem::status(sock_).permissions(), std::filesystem::perms(0600));
}

// A small ext4 of its own: there a new directory takes a block, as on a node.
class FullDiskTest : public DaemonTest {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(root_);
    const std::string image = dir_ / "image";
    std::ofstream(image).close();
    std::filesystem::resize_file(image, 48 << 20);
    ASSERT_EQ(std::system(("mkfs.ext4 -q -m 0 -F " + image).c_str()), 0);
    ASSERT_EQ(std::system(("mount -o loop " + image + " " + root_).c_str()), 0);
  }
  void TearDown() override {
    EXPECT_EQ(umount2(root_.c_str(), 0), 0);
    DaemonTest::TearDown();
  }
  void FillDisk() {
    std::ofstream filler(root_ + "/filler", std::ios::app);
    const std::string block(4096, 'x');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
};

TEST_F(FullDiskTest, PrepareIsRefusedRemoveWorksAndNothingIsLost) {
  const auto daemon = Start();
  ASSERT_TRUE(daemon->running()) << Log();
  constexpr int kSnapshots = 50;
  for (int i = 0; i < kSnapshots; ++i) {
    ASSERT_TRUE(daemon->Prepare("before " + std::to_string(i), "").ok());
  }
  FillDisk();
  grpc::Status refused;
  int prepared = 0;
  while ((refused = daemon->Prepare("full " + std::to_string(prepared), "")).ok()) ++prepared;
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << refused.error_message();
  EXPECT_EQ(daemon->List().size(), static_cast<size_t>(kSnapshots + prepared));

  // The collector must be able to make room: removing works on a full disk.
  for (int i = 0; i < kSnapshots; ++i) {
    const grpc::Status removed = daemon->Remove("before " + std::to_string(i));
    EXPECT_TRUE(removed.ok()) << removed.error_message();
  }
  EXPECT_TRUE(daemon->Cleanup().ok());
  EXPECT_EQ(daemon->List().size(), static_cast<size_t>(prepared));
  std::filesystem::remove(root_ + "/filler");
  EXPECT_TRUE(daemon->Prepare("after", "").ok());
  EXPECT_EQ(daemon->End(SIGTERM), 0);
}

}  // namespace
}  // namespace slacker::testing
