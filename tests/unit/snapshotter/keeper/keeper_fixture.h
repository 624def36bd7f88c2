// A root, a run directory, and the keepers there.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "snapshotter/keeper/keeper_client.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/processes.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

class KeeperTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(root_); }
  KeeperOptions Options(int deadline_seconds = 5) {
    return {root_, run_dir_, KEEPER_PATH, deadline_seconds};
  }
  std::vector<pid_t> Keepers() { return ProcessesWith(run_dir_ + "/keeper.sock"); }
  void ExpectKeeperEnds() {
    EXPECT_TRUE(Eventually([this] { return Keepers().empty(); }));
  }
  // A pipe whose reading end tells when its last writing end is closed.
  UniqueFd MakePipe(UniqueFd* write_end) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    write_end->Reset(ends[1]);
    return UniqueFd(ends[0]);
  }
  static bool AtEnd(const UniqueFd& pipe) {
    char byte = 0;
    return read(pipe.get(), &byte, 1) == 0;
  }

  TempDir directory_;
  const std::string root_ = directory_ / "root";
  const std::string run_dir_ = directory_ / "deep/run";
};

}  // namespace slacker::testing
