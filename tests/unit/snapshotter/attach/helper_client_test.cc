#include "snapshotter/attach/helper_client.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "snapshotter/attach/attach_protocol.h"
#include "tests/support/eventually.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/thread_limit.h"

namespace slacker::attach {
namespace {

using testing::StatusIs;

class HelperClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(directory_ / "root");
    ASSERT_OK_AND_ASSIGN(
        keeper_, KeeperClient::Open({directory_ / "root", directory_ / "run", KEEPER_PATH, 5}));
    ASSERT_OK_AND_ASSIGN(client_, HelperClient::Open(HELPER_PATH, lock_, keeper_.get()));
  }
  // Of a directory where nothing is mounted: answered at once.
  absl::Status Call() {
    Request request;
    request.verb = Verb::kDetach;
    request.tree.mount_path = directory_ / "root";
    return client_->Call(request);
  }
  void KillHelper() {
    const std::vector<pid_t> helpers = testing::ProcessesWith(lock_);
    ASSERT_FALSE(helpers.empty());
    for (const pid_t helper : helpers) (void)kill(helper, SIGKILL);
  }

  testing::TempDir directory_;
  const std::string lock_ = directory_ / "helper.lock";
  std::unique_ptr<KeeperClient> keeper_;
  std::unique_ptr<HelperClient> client_;
};

TEST_F(HelperClientTest, AHelperThatDiedWhenThereAreNoThreadsIsUnavailableUntilThereAre) {
  const absl::Status before = Call();
  KillHelper();
  {
    const testing::ThreadLimit none(0);
    EXPECT_THAT(Call(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(Call(), StatusIs(absl::StatusCode::kUnavailable)) << "and waits for nothing";
    EXPECT_TRUE(testing::ProcessesWith(lock_).empty()) << "none that nobody listens to";
  }
  EXPECT_EQ(Call(), before);
}

}  // namespace
}  // namespace slacker::attach
