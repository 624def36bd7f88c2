// Keys on file systems that have less than others: calls that they do not have are refused (seccomp).
#include "cmd/common/key_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "backend/base/check.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::StatusIs;

// A system call that fails with `error`, if its argument `index` has the bits `flags`.
struct Refused {
  unsigned call;
  int error;
  unsigned index = 0;
  unsigned flags = 0;  // 0: always
};
constexpr Refused kNoUnnamedFiles = {SYS_openat, EOPNOTSUPP, 2, O_TMPFILE & ~O_DIRECTORY};
constexpr Refused kUnknownFlag = {SYS_openat, EISDIR, 2, O_TMPFILE & ~O_DIRECTORY};
constexpr Refused kNoLinks = {SYS_link, EPERM};
constexpr Refused kNoSpaceForLinks = {SYS_link, ENOSPC};
constexpr Refused kNoSuchRenames = {SYS_renameat2, EINVAL};
constexpr Refused kNoSync = {SYS_fsync, EIO};

void Refuse(const std::vector<Refused>& calls) {
  std::vector<sock_filter> program;
  for (const Refused& refused : calls) {
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused.call, 0, 3));
    const auto argument =
        static_cast<unsigned>(offsetof(seccomp_data, args[0]) + 8 * refused.index);
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument));
    if (refused.flags != 0) {
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, refused.flags, 0, 1));
    } else {
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0));
    }
    program.push_back(
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(refused.error)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  SLACKER_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "the kernel knows it");
  SLACKER_CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0, "it has seccomp");
}

class KeyFilesTest : public ::testing::Test {
 protected:
  // On a thread of its own, with which the filter goes.
  absl::Status Write(const std::vector<Refused>& refused) {
    absl::Status written;
    std::thread([&] {
      Refuse(refused);
      written = WriteKeyPair(key_, path_);
    }).join();
    return written;
  }
  size_t Files() const {
    const auto files = std::filesystem::directory_iterator(dir_.path());
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }

  const testing::TempDir dir_;
  const std::string path_ = dir_ / "key.pem";
  const SigningKey key_ = SigningKey::Generate();
};

TEST_F(KeyFilesTest, WhateverTheFileSystemHasTheKeysAreWhole) {
  const mode_t mask = umask(022);
  for (const auto& refused : std::vector<std::vector<Refused>>{{},
                                                               {kNoUnnamedFiles},
                                                               {kUnknownFlag},
                                                               {kNoUnnamedFiles, kNoLinks},
                                                               {kNoUnnamedFiles, kNoSuchRenames}}) {
    ASSERT_OK(Write(refused));
    EXPECT_EQ(ReadSigningKey(path_)->ToPem(), key_.ToPem());
    EXPECT_EQ(ReadPublicKeys({path_ + ".pub"})->at(0).id(), key_.public_key().id());
    EXPECT_EQ(ModeOf(path_), 0600U);
    EXPECT_EQ(ModeOf(path_ + ".pub"), 0644U);
    EXPECT_EQ(Files(), 2u) << "and nothing else is left";
    ASSERT_EQ(std::filesystem::remove(path_) + std::filesystem::remove(path_ + ".pub"), 2);
  }
  (void)umask(mask);
}

TEST_F(KeyFilesTest, WithoutUnnamedFilesNoKeyIsOverwrittenEither) {
  testing::WriteFileOrDie(path_, "mine");
  for (const auto& refused :
       std::vector<std::vector<Refused>>{{}, {kNoUnnamedFiles}, {kNoUnnamedFiles, kNoLinks}}) {
    EXPECT_THAT(Write(refused), StatusIs(absl::StatusCode::kAlreadyExists));
    EXPECT_EQ(testing::ReadFileOrDie(path_), "mine");
    EXPECT_EQ(Files(), 1u);
  }
}

TEST_F(KeyFilesTest, WhatCannotBeWrittenLeavesNothing) {
  for (const auto& refused :
       std::vector<std::vector<Refused>>{{kNoUnnamedFiles, kNoSpaceForLinks},
                                         {kNoUnnamedFiles, kNoLinks, kNoSuchRenames},
                                         {kNoUnnamedFiles, kNoSync}}) {
    EXPECT_FALSE(Write(refused).ok());
    EXPECT_EQ(Files(), 0u);
  }
}

}  // namespace
}  // namespace slacker
