#include "tests/fault/container_fixture.h"

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "backend/loopback/loopback_backend.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {

void ContainerFixture::PublishLayers(std::vector<SampleLayer> layers, size_t chunks,
                                     size_t others) {
  auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
  ASSERT_OK(store);
  image_ = Publish(std::shared_ptr<Backend>(*std::move(store)), std::move(layers));
  const std::vector<std::string>& all = image_.layers.back().chunks;
  for (size_t i = all.size() - others - chunks; i < all.size() - others; ++i) big_ += all[i];
  std::ofstream(reference_, std::ios::binary) << big_;
  Configure("store.url", "loopback:" + (dir_ / "store"));
  ConfigureRaw("store.budget_ms", "30000");  // machines may be slow
}

void ContainerFixture::TearDown() {
  (void)umount2(merged_.c_str(), MNT_DETACH);
  DaemonFixture::TearDown();
}

bool ContainerFixture::MountContainer(Daemon& daemon, const std::string& key) {
  return MountContainer(daemon, key, merged_);
}

bool ContainerFixture::MountContainer(Daemon& daemon, const std::string& key,
                                      const std::string& target) {
  if (top_.empty()) top_ = Pull(daemon, "pull " + key);
  if (top_.empty() || !daemon.Prepare(key, top_).ok()) return false;
  std::string data;
  for (const std::string& option : daemon.mounts().front().options()) {
    data += (data.empty() ? "" : ",") + option;
  }
  std::filesystem::create_directories(target);
  return ::mount("overlay", target.c_str(), "overlay", 0, data.c_str()) == 0;
}

void ContainerFixture::Unmount() { EXPECT_EQ(umount2(merged_.c_str(), 0), 0); }

void ContainerFixture::End(Daemon& daemon) {
  Unmount();
  const grpc::Status removed = RemoveAll(daemon);
  EXPECT_TRUE(removed.ok()) << removed.error_message();
  // Loop devices clear themselves in the kernel's own time.
  EXPECT_TRUE(Eventually(
      [&] { return daemon.Cleanup().ok() && std::filesystem::is_empty(root_ + "/blobs"); }));
}

bool ContainerFixture::AllSwitched() {
  return LoopsBelow(root_ + "/blobs") > 0 && LoopsBelow(run_dir_) == 0;
}

bool ContainerFixture::HasPassed(const std::string& step) {
  std::ifstream lines(dir_ / "trace");
  for (std::string line; std::getline(lines, line);) {
    if (line == step) return true;
  }
  return false;
}

std::vector<std::string> ContainerFixture::DyingAt(const std::string& step) {
  return {"SLACKER_FAILPOINT=" + step, "SLACKER_FAILPOINT_TRACE=" + (dir_ / "trace")};
}

void ContainerFixture::DropKernelCaches() {
  sync();
  std::ofstream("/proc/sys/vm/drop_caches") << "3";
}

std::unique_ptr<LineProcess> ContainerFixture::StartReader(int from, int seed,
                                                           const std::string& until) {
  return std::make_unique<LineProcess>(std::vector<std::string>{RANDOM_READER, merged_ + "/big",
                                                                reference_, std::to_string(from),
                                                                std::to_string(seed), until});
}

}  // namespace slacker::testing
