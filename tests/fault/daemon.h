// A slackerd of its own for one test, and the directory for it: its root, socket, log and run
// directory. One thread.
#pragma once

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "snapshots.pb.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

namespace api = ::containerd::services::snapshots::v1;

class Daemon {
 public:
  // Waits until it serves, or has ended (see running()). `program` is today's slackerd when empty.
  Daemon(const std::string& root, const std::string& socket, const std::string& config,
         const std::string& log, const std::vector<std::string>& environment,
         const std::string& program = "");
  // Stops it cleanly, which ends its keeper.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  bool running();
  pid_t pid() const { return pid_; }
  // Sends the signal and waits for the end; the wait status.
  int End(int signal);
  // Waits for an end that is under way.
  int Wait();

  grpc::Status Prepare(const std::string& key, const std::string& parent,
                       const std::string& ref = "");
  grpc::Status View(const std::string& key, const std::string& parent);
  grpc::Status Mounts(const std::string& key);
  grpc::Status Commit(const std::string& name, const std::string& key);
  grpc::Status Remove(const std::string& key);
  grpc::Status Cleanup();
  std::vector<api::Info> List(const std::string& filter = "");
  size_t ResidentBytes() const;
  // Of the last Prepare, View or Mounts.
  const std::vector<api::Mount>& mounts() const { return mounts_; }

 private:
  struct Connection;

  pid_t pid_ = -1;
  int wait_status_ = 0;
  std::unique_ptr<Connection> connection_;
  std::vector<api::Mount> mounts_;
};

// A test that leaves a process, a mount, a loop device or a descriptor behind fails.
class DaemonFixture : public ::testing::Test {
 protected:
  DaemonFixture();
  void TearDown() override;

  // Of the daemons that are started from now on.
  void Configure(const std::string& key, const std::string& value);
  // What is no string.
  void ConfigureRaw(const std::string& key, const std::string& value);
  std::unique_ptr<Daemon> Start(const std::vector<std::string>& environment = {});
  std::unique_ptr<Daemon> StartOn(const std::string& root, const std::string& socket,
                                  const std::vector<std::string>& environment = {});
  // Of another build.
  std::unique_ptr<Daemon> StartProgram(const std::string& program,
                                       const std::vector<std::string>& environment = {});
  std::string Log();

  TempDir dir_;
  // gRPC has descriptors of its own while there is a channel.
  const std::shared_ptr<void> channel_;
  KernelLeakCheck leaks_{dir_.path()};
  const std::string root_ = dir_ / "root", sock_ = dir_ / "sock", run_dir_ = dir_ / "run";
  const std::string config_ = dir_ / "config.toml";
};

}  // namespace slacker::testing
