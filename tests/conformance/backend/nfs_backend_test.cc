#include "backend/nfs/nfs_backend.h"

#include <memory>
#include <string>

#include "tests/conformance/backend/backend_suite.h"
#include "tests/support/nfs_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

// One server for all tests, each of which has a directory of its own on it.
class SharedServer {
 public:
  static SharedServer& Get() {
    static SharedServer server;
    return server;
  }
  std::string NewUrl(int version) {
    return NfsServer::Url(version, "/test-" + std::to_string(++stores_) + "/store");
  }

 private:
  TempDir directory_;
  NfsServer server_{directory_.path()};
  int stores_ = 0;
};

class NfsStore final : public StoreUnderTest {
 public:
  explicit NfsStore(int version)
      : backend_(NfsBackend::Open(ParseNfsUrl(SharedServer::Get().NewUrl(version)).value(),
                                  MissingStore::kCreate)
                     .value()) {}
  Backend& backend() override { return *backend_; }

 private:
  std::unique_ptr<NfsBackend> backend_;
};

const auto kVersions =
    ::testing::Values(BackendCase{"Version3", [] { return std::make_unique<NfsStore>(3); }},
                      BackendCase{"Version4", [] { return std::make_unique<NfsStore>(4); }});
const auto kNameOf = [](const auto& test) { return test.param.name; };

INSTANTIATE_TEST_SUITE_P(Nfs, ReadBackendSuite, kVersions, kNameOf);
INSTANTIATE_TEST_SUITE_P(Nfs, BackendSuite, kVersions, kNameOf);

// Two clients, one of which knows the name already.
class TwoNfsClientsTest : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<NfsBackend> Open() const {
    return NfsBackend::Open(ParseNfsUrl(url_).value(), MissingStore::kCreate).value();
  }
  const std::string url_ = SharedServer::Get().NewUrl(GetParam());
  const std::unique_ptr<NfsBackend> mine_ = Open(), others_ = Open();
};

TEST_P(TwoNfsClientsTest, ALookSeesAtOnceWhatTheOtherOneHasDone) {
  ASSERT_OK(mine_->Put("trash/a", ""));
  EXPECT_OK(mine_->Stat("trash/a").status());
  ASSERT_OK(others_->Move("trash/a", "trash/b"));
  EXPECT_THAT(mine_->Stat("trash/a"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(mine_->Put("locations/a", "old"));
  EXPECT_OK(mine_->Read("locations/a", 0, 3).status());
  ASSERT_OK(others_->Replace("locations/a", "newer"));
  EXPECT_EQ(mine_->Stat("locations/a")->size_bytes, 5u);
  EXPECT_EQ(*mine_->Read("locations/a", 0, 5), "newer");
}

INSTANTIATE_TEST_SUITE_P(Nfs, TwoNfsClientsTest, ::testing::Values(3, 4),
                         [](const auto& test) { return "Version" + std::to_string(test.param); });

}  // namespace
}  // namespace slacker::testing
