// slackerctl mount: a whole image read through it, its end by signal, by umount and by SIGKILL, and
// a store that goes away.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "backend/publish/publisher.h"
#include "backend/source/layout_source.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/oci_image.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

namespace fs = std::filesystem;

class ImageMountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 20; ++i) {
      const std::string name = "d" + std::to_string(i % 4) + "/f" + std::to_string(i);
      files_[name] = RandomBytes(1000 + static_cast<size_t>(i) * 20'000, static_cast<uint64_t>(i));
    }
    TarBuilder lower, upper;
    for (const auto& [name, content] : files_) {
      lower.File(name, name == "d0/f0" ? "replaced" : content);
    }
    upper.File("d0/f0", files_["d0/f0"], 04711).Symlink("link", "d0/f0");
    layout_.AddImage({GzipLayer(lower.End()), GzipLayer(upper.End())});
    auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
    ASSERT_OK(store);
    auto source = OpenLayoutSource(layout_.directory(), "");
    ASSERT_OK(source);
    PublishOptions options;
    options.platform = {"linux", "amd64", ""};
    ASSERT_OK(Publish(**source, *std::move(store), options, nullptr));
    fs::create_directories(target_);
  }

  // Started; returns when the image is mounted.
  std::unique_ptr<LineProcess> Mount() {
    auto process = std::make_unique<LineProcess>(std::vector<std::string>{
        SLACKERCTL, "mount", "oci:" + layout_.directory(), target_, "--platform", "linux/amd64",
        "--store", "loopback:" + (dir_ / "store"), "--state-dir", dir_ / "state", "--run-dir",
        dir_ / "run", "--timeout", "1"});
    EXPECT_TRUE(process->Line().starts_with("mounted sha256:"));
    return process;
  }

  void ExpectWholeTree() {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(target_)) {
      if (entry.is_symlink() || !entry.is_regular_file()) continue;
      found[fs::relative(entry.path(), target_)] = ReadWholeFile(entry.path());
    }
    EXPECT_TRUE(found == files_);
    EXPECT_EQ(fs::read_symlink(target_ + "/link"), "d0/f0");
    struct stat status {};
    ASSERT_EQ(stat((target_ + "/link").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 04711u);
  }

  void ExpectNothingLeft() {
    EXPECT_TRUE(fs::is_empty(dir_ / "state"));
    EXPECT_TRUE(fs::is_empty(dir_ / "run"));
    EXPECT_TRUE(fs::is_empty(target_));
  }

  size_t Leases() const {
    size_t found = 0;
    for (const auto& entry : fs::recursive_directory_iterator(dir_ / "store/leases")) {
      found += entry.is_regular_file() ? 1 : 0;
    }
    return found;
  }

  static void ExpectCleanEnd(LineProcess& process) { EXPECT_EQ(process.Wait(), 0); }

  // The error of reading a whole file, or 0 with its content.
  static int Read(const std::string& path, std::string* content) {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return errno;
    char buffer[4096];
    for (ssize_t size = 0; (size = read(file.get(), buffer, sizeof buffer)) != 0;) {
      if (size < 0) return errno;
      content->append(buffer, static_cast<size_t>(size));
    }
    return 0;
  }

  const TempDir dir_;
  const KernelLeakCheck leaks_{dir_.path()};
  OciLayout layout_{dir_ / "layout"};
  const std::string target_ = dir_ / "target";
  std::map<std::string, std::string> files_;
};

TEST_F(ImageMountTest, TheWholeTreeReadsAndCtrlCLeavesNothing) {
  const auto process = Mount();
  ExpectWholeTree();
  EXPECT_NE(mkdir((target_ + "/new").c_str(), 0755), 0);
  EXPECT_EQ(errno, EROFS);
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  ExpectNothingLeft();
}

TEST_F(ImageMountTest, WhatIsMountedIsNotCollected) {
  const auto process = Mount();
  EXPECT_EQ(Leases(), 1U);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"rm", "oci:" + layout_.directory()}, {"gc", "--grace", "0"}}) {
    std::vector<std::string> command = {SLACKERCTL};
    command.insert(command.end(), words.begin(), words.end());
    command.insert(command.end(), {"--store", "loopback:" + (dir_ / "store")});
    ASSERT_EQ(LineProcess(command).Wait(), 0) << words[0];
  }
  ExpectWholeTree();
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  EXPECT_EQ(Leases(), 0U) << "it is given back";
  ExpectNothingLeft();
}

TEST_F(ImageMountTest, AStoreThatTakesNoLeaseIsMountedAllTheSame) {
  WriteFileOrDie(dir_ / "store/leases", "no directory");
  const auto process = Mount();
  ExpectWholeTree();
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  ExpectNothingLeft();
}

TEST_F(ImageMountTest, UnmountedByAnybodyItEnds) {
  const auto process = Mount();
  ASSERT_EQ(umount2(target_.c_str(), 0), 0);
  ExpectCleanEnd(*process);
  ExpectNothingLeft();
}

TEST_F(ImageMountTest, OpenFilesAreServedUntilTheyAreClosed) {
  const auto process = Mount();
  UniqueFd file(open((target_ + "/d3/f19").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  ASSERT_EQ(kill(process->pid(), SIGTERM), 0);
  ASSERT_TRUE(Eventually([this] { return fs::is_empty(target_); }));
  std::string content(files_["d3/f19"].size(), '\0');
  EXPECT_EQ(pread(file.get(), content.data(), content.size(), 0),
            static_cast<ssize_t>(content.size()));
  EXPECT_TRUE(content == files_["d3/f19"]);
  file.Reset();
  ExpectCleanEnd(*process);
  ExpectNothingLeft();
}

TEST_F(ImageMountTest, ASecondSignalEndsItAlthoughFilesAreOpen) {
  const auto process = Mount();
  const UniqueFd file(open((target_ + "/d3/f19").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  ASSERT_EQ(kill(process->pid(), SIGTERM), 0);
  ASSERT_TRUE(Eventually([this] { return fs::is_empty(target_); }));
  ASSERT_EQ(kill(process->pid(), SIGTERM), 0);
  ExpectCleanEnd(*process);
  char byte = 0;
  EXPECT_EQ(pread(file.get(), &byte, 1, 100'000), -1);
  EXPECT_EQ(errno, EIO);
}

TEST_F(ImageMountTest, KilledItReadsAsErrorsAndTheNextOneCleansUp) {
  auto process = Mount();
  std::string content;
  ASSERT_EQ(Read(target_ + "/d0/f4", &content), 0);
  ASSERT_TRUE(content == files_["d0/f4"]);
  (void)process->Kill();
  for (const auto& [name, expected] : files_) {
    std::string got;
    const int error = Read(target_ + "/" + name, &got);
    if (error == 0) {
      EXPECT_TRUE(got == expected) << name;
    } else {
      EXPECT_EQ(error, EIO) << name;
      EXPECT_TRUE(expected.starts_with(got)) << name;
    }
  }
  EXPECT_FALSE(fs::is_empty(dir_ / "state"));
  process = Mount();  // on the same directory: what was left went before
  ExpectWholeTree();
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  ExpectNothingLeft();
}

TEST_F(ImageMountTest, WhatElseIsInTheStateDirectoryIsLeftAlone) {
  const auto put = [this](const std::string& name) {
    fs::create_directories(fs::path(dir_ / name).parent_path());
    WriteWholeFile(dir_ / name, name);
  };
  const std::vector<std::string> others = {
      "state/photos/2024/one.jpg",
      "state/AbCdEf/blobs/1.data",
      "state/backup/slackerctl-mount",
      "state/mount-abcdef/notes",
      "state/mount-abcdefg/slackerctl-mount",
      "state/mount-a",
      "state/mount-twoooo/slackerctl-mount/file",
      "elsewhere/slackerctl-mount",
      "elsewhere/thesis",
  };
  for (const std::string& name : others) put(name);
  fs::create_directory_symlink(dir_ / "elsewhere", dir_ / "state/mount-linked");
  auto process = Mount();
  (void)process->Kill();
  process = Mount();  // takes away what the first one left
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  std::set<std::string> found;
  for (const std::string& top : {std::string("state"), std::string("elsewhere")}) {
    for (const auto& entry : fs::recursive_directory_iterator(dir_ / top)) {
      if (!entry.is_directory()) found.insert(fs::relative(entry.path(), dir_.path()));
    }
  }
  EXPECT_THAT(found, ::testing::UnorderedElementsAreArray(others));
  EXPECT_TRUE(fs::is_symlink(dir_ / "state/mount-linked"));
  EXPECT_TRUE(fs::is_empty(dir_ / "run"));
}

TEST_F(ImageMountTest, WhatIsMountedBelowALeftoverIsNotEmptied) {
  auto process = Mount();
  (void)process->Kill();
  fs::create_directories(dir_ / "elsewhere");
  WriteWholeFile(dir_ / "elsewhere/thesis", "a year");
  const std::string blobs = fs::directory_iterator(dir_ / "state")->path() / "blobs";
  ASSERT_EQ(mount((dir_ / "elsewhere").c_str(), blobs.c_str(), nullptr, MS_BIND, nullptr), 0);
  process = Mount();
  EXPECT_EQ(ReadWholeFile(dir_ / "elsewhere/thesis"), "a year");
  ASSERT_EQ(umount2(blobs.c_str(), 0), 0);
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  process = Mount();  // the leftover is still known as one
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  ExpectNothingLeft();
}

TEST_F(ImageMountTest, AStoreThatGoesAwayIsEioAndNeverWrong) {
  const auto process = Mount();
  std::string content;
  ASSERT_EQ(Read(target_ + "/d0/f4", &content), 0);
  fs::rename(dir_ / "store", dir_ / "elsewhere");
  content.clear();
  EXPECT_EQ(Read(target_ + "/d3/f19", &content), EIO);
  content.clear();
  EXPECT_EQ(Read(target_ + "/d0/f4", &content), 0);  // what was read is here
  EXPECT_TRUE(content == files_["d0/f4"]);
  fs::rename(dir_ / "elsewhere", dir_ / "store");
  ExpectWholeTree();
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  ExpectNothingLeft();
}

// The keeper's working directory is another one.
TEST_F(ImageMountTest, RelativeDirectoriesAreTheCallersAndNothingStaysBelowThem) {
  fs::create_directory_symlink(dir_.path(), dir_ / "here");
  LineProcess process(
      {"/bin/sh", "-c",
       "cd '" + (dir_ / "here") + "' && exec " SLACKERCTL " mount 'oci:" + layout_.directory() +
           "' ./target --platform linux/amd64 --store 'loopback:" + (dir_ / "store") +
           "' --state-dir state --run-dir run"});
  ASSERT_TRUE(process.Line().starts_with("mounted sha256:"));
  ExpectWholeTree();
  EXPECT_FALSE(fs::is_empty(dir_ / "run"));
  ASSERT_EQ(kill(process.pid(), SIGINT), 0);
  ExpectCleanEnd(process);
  ExpectNothingLeft();
}

TEST_F(ImageMountTest, AFileIsNotMountedOnAndTheMessageSaysWhy) {
  WriteFileOrDie(dir_ / "file", "x");
  LineProcess process(
      {"/bin/sh", "-c",
       "exec " SLACKERCTL " mount 'oci:" + layout_.directory() + "' '" + (dir_ / "file") +
           "' --platform linux/amd64 --store 'loopback:" + (dir_ / "store") + "' --state-dir '" +
           (dir_ / "state") + "' --run-dir '" + (dir_ / "run") + "' 2>&1"});
  EXPECT_EQ(process.Line(), "slackerctl: " + (dir_ / "file") + " is not a directory");
  EXPECT_EQ(WEXITSTATUS(process.Wait()), 1);
  EXPECT_FALSE(fs::exists(dir_ / "state"));
}

TEST_F(ImageMountTest, AMountPointIsNotMountedOver) {
  const auto process = Mount();
  LineProcess second({SLACKERCTL, "mount", "oci:" + layout_.directory(), target_, "--platform",
                      "linux/amd64", "--store", "loopback:" + (dir_ / "store"), "--state-dir",
                      dir_ / "state", "--run-dir", dir_ / "run"});
  EXPECT_EQ(WEXITSTATUS(second.Wait()), 1);
  ExpectWholeTree();
  ASSERT_EQ(kill(process->pid(), SIGINT), 0);
  ExpectCleanEnd(*process);
  ExpectNothingLeft();
}

}  // namespace
}  // namespace slacker::testing
