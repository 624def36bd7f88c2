#include "backend/os/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "backend/base/unique_fd.h"
#include "tests/support/erofs_sample.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/loop_mount.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::Eventually;
using testing::StatusIs;
using DirectIo = LoopDevice::DirectIo;

class LoopDeviceTest : public ::testing::Test {
 protected:
  std::string File(const std::string& name, size_t size, char fill) {
    testing::WriteWholeFile(directory_ / name, std::string(size, fill));
    return directory_ / name;
  }
  char FirstByte(const LoopDevice& device) {
    const UniqueFd fd(open(device.path().c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
    alignas(4096) char block[4096] = {};
    EXPECT_EQ(pread(fd.get(), block, sizeof block, 0), 4096);
    return block[0];
  }
  static std::string Attribute(const LoopDevice& device, const std::string& name) {
    return testing::ReadWholeFile("/sys/block/loop" + std::to_string(device.number()) + "/" + name);
  }
  // A file of a file system without direct I/O.
  std::string FileWithoutDirectIo(const std::string& name, size_t size, char fill) {
    const std::string mounted = directory_ / "ramfs";
    if (ramfs_ == nullptr) {
      std::filesystem::create_directory(mounted);
      ramfs_ = std::make_unique<testing::TestMount>(
          "ramfs", "none", mounted, std::vector<std::string>{}, testing::Access::kWrite);
    }
    testing::WriteWholeFile(mounted + "/" + name, std::string(size, fill));
    return mounted + "/" + name;
  }

  testing::TempDir directory_;
  testing::KernelLeakCheck leaks_{directory_.path()};
  std::unique_ptr<testing::TestMount> ramfs_;
};

// What others do on a busy machine: take whatever device is free, and give it back at once.
class Racers {
 public:
  Racers(int count, const std::string& file) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, file] {
        while (!stop_) taken_ += TakeAny(file);
      });
    }
  }
  ~Racers() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Racers(const Racers&) = delete;
  Racers& operator=(const Racers&) = delete;
  long taken() const { return taken_; }

 private:
  static bool TakeAny(const std::string& file) {
    const UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return false;
    const UniqueFd device(
        open(("/dev/loop" + std::to_string(number)).c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd backing(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    loop_config config{};
    config.fd = static_cast<uint32_t>(backing.get());
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    return ioctl(device.get(), LOOP_CONFIGURE, &config) == 0;
  }

  std::atomic<bool> stop_ = false;
  std::atomic<long> taken_ = 0;
  std::vector<std::thread> threads_;
};

TEST_F(LoopDeviceTest, ShowsItsFileAndGoesWhenClosed) {
  const std::string file = File("a", 8192, 'a');
  {
    ASSERT_OK_AND_ASSIGN(const LoopDevice device, LoopDevice::Attach(file, DirectIo::kPreferred));
    EXPECT_EQ(FirstByte(device), 'a');
    EXPECT_OK(SetReadAhead(device.number(), 16));
    EXPECT_EQ(testing::ReadWholeFile("/sys/block/loop" + std::to_string(device.number()) +
                                     "/queue/read_ahead_kb"),
              "16\n");
    EXPECT_EQ(testing::Leftovers(directory_.path()).size(), 1U);
  }
  EXPECT_TRUE(Eventually([this] { return testing::Leftovers(directory_.path()).empty(); }));
}

TEST_F(LoopDeviceTest, ManyAtOnceEachGetTheirOwn) {
  const std::string file = File("a", 8192, 'a');
  std::vector<std::thread> threads;
  std::vector<absl::StatusOr<LoopDevice>> devices;
  for (int i = 0; i < 16; ++i) devices.emplace_back(absl::UnknownError("unset"));
  for (auto& device : devices) {
    threads.emplace_back([&] { device = LoopDevice::Attach(file, DirectIo::kPreferred); });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<uint32_t> numbers;
  for (const auto& device : devices) {
    ASSERT_OK(device);
    numbers.push_back(device->number());
  }
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(std::unique(numbers.begin(), numbers.end()), numbers.end());
}

TEST_F(LoopDeviceTest, HundredsAreToBeHadWhileOthersTakeDevicesToo) {
  constexpr size_t kThreads = 64, kEach = 5;
  const std::string ours = File("ours", 8192, 'a'), theirs = File("theirs", 8192, 'b');
  std::vector<std::vector<LoopDevice>> devices(kThreads);
  std::vector<absl::Status> ends(kThreads);
  {
    const Racers others(8, theirs);
    ASSERT_TRUE(Eventually([&] { return others.taken() > 0; }));
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        while (devices[i].size() < kEach && ends[i].ok()) {
          auto device = LoopDevice::Attach(ours, DirectIo::kPreferred);
          ends[i] = device.status();
          if (device.ok()) devices[i].push_back(*std::move(device));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::set<uint32_t> numbers;
  for (size_t i = 0; i < kThreads; ++i) {
    EXPECT_OK(ends[i]);
    for (const LoopDevice& device : devices[i]) {
      numbers.insert(device.number());
      EXPECT_EQ(FirstByte(device), 'a');
    }
  }
  EXPECT_EQ(numbers.size(), kThreads * kEach);
}

TEST_F(LoopDeviceTest, AnotherFileOfTheSameSizeTakesOver) {
  const std::string a = File("a", 8192, 'a');
  ASSERT_OK_AND_ASSIGN(const LoopDevice device, LoopDevice::Attach(a, DirectIo::kPreferred));
  EXPECT_OK(ChangeBackingFile({device.number(), a}, File("b", 8192, 'b'), DirectIo::kPreferred));
  EXPECT_EQ(FirstByte(device), 'b');
}

TEST_F(LoopDeviceTest, ADeviceThatIsOnAnotherFileByNowIsLeftAlone) {
  ASSERT_OK_AND_ASSIGN(const LoopDevice device,
                       LoopDevice::Attach(File("a", 8192, 'a'), DirectIo::kPreferred));
  EXPECT_THAT(ChangeBackingFile({device.number(), directory_ / "before"}, File("b", 8192, 'b'),
                                DirectIo::kPreferred),
              StatusIs(absl::StatusCode::kAborted, "no longer on"));
  EXPECT_EQ(FirstByte(device), 'a');
}

TEST_F(LoopDeviceTest, AnotherSizeIsRefused) {
  const std::string a = File("a", 8192, 'a');
  ASSERT_OK_AND_ASSIGN(const LoopDevice device, LoopDevice::Attach(a, DirectIo::kPreferred));
  EXPECT_THAT(ChangeBackingFile({device.number(), a}, File("b", 4096, 'b'), DirectIo::kPreferred),
              StatusIs(absl::StatusCode::kInternal, "LOOP_CHANGE_FD"));
  EXPECT_EQ(FirstByte(device), 'a');
}

TEST_F(LoopDeviceTest, RequiredDirectIoIsDoneInBlocksOfFourKiB) {
  const std::string a = File("a", 8192, 'a');
  ASSERT_OK_AND_ASSIGN(const LoopDevice device, LoopDevice::Attach(a, DirectIo::kRequired));
  EXPECT_EQ(Attribute(device, "loop/dio"), "1\n");
  EXPECT_EQ(Attribute(device, "queue/logical_block_size"), "4096\n");
  EXPECT_EQ(Attribute(device, "ro"), "1\n");
  EXPECT_OK(ChangeBackingFile({device.number(), a}, File("b", 8192, 'b'), DirectIo::kRequired));
  EXPECT_EQ(Attribute(device, "loop/dio"), "1\n");
  EXPECT_EQ(Attribute(device, "queue/logical_block_size"), "4096\n");
}

TEST_F(LoopDeviceTest, AFileWithoutDirectIoIsRefusedWhereItIsRequiredAndLeavesNoDevice) {
  const std::string file = FileWithoutDirectIo("a", 8192, 'a');
  {
    ASSERT_OK_AND_ASSIGN(const LoopDevice device, LoopDevice::Attach(file, DirectIo::kPreferred));
    ASSERT_EQ(Attribute(device, "loop/dio"), "0\n");
    EXPECT_EQ(FirstByte(device), 'a');
  }
  EXPECT_THAT(LoopDevice::Attach(file, DirectIo::kRequired),
              StatusIs(absl::StatusCode::kFailedPrecondition, "does not do direct I/O"));
}

TEST_F(LoopDeviceTest, AChangeToAFileWithoutDirectIoIsToldWhereItIsRequired) {
  const std::string a = File("a", 8192, 'a');
  ASSERT_OK_AND_ASSIGN(const LoopDevice device, LoopDevice::Attach(a, DirectIo::kRequired));
  EXPECT_THAT(ChangeBackingFile({device.number(), a}, FileWithoutDirectIo("b", 8192, 'b'),
                                DirectIo::kRequired),
              StatusIs(absl::StatusCode::kFailedPrecondition, "does not do direct I/O"));
  EXPECT_EQ(Attribute(device, "loop/dio"), "0\n");
}

TEST_F(LoopDeviceTest, MissingFileIsInternal) {
  EXPECT_THAT(LoopDevice::Attach(directory_ / "none", DirectIo::kPreferred),
              StatusIs(absl::StatusCode::kInternal, "none"));
}

}  // namespace
}  // namespace slacker
