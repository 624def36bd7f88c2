#include "snapshotter/gateway/store_gateway.h"

#include <functional>
#include <future>

#include "tests/support/eventually.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::StatusIs;

class StoreGatewayTest : public ::testing::Test {
 protected:
  StoreGatewayTest() : image_(testing::Publish(store_, std::vector<uint32_t>{1, 2})) {}
  ~StoreGatewayTest() override { store_->ReleaseReads(); }

  absl::Status Ask() {
    return gateway_.ReadGrantedManifest(image_.chain(), "", gateway_.Deadline()).status();
  }
  absl::Status AskForRecords() {
    return gateway_.ReadRecords({image_.manifest[0].record}, gateway_.Deadline()).status();
  }
  // A question that the store keeps until its budget is over.
  absl::Status AskInVain() {
    return InVain([this] { return Ask(); });
  }
  absl::Status InVain(const std::function<absl::Status()>& ask) {
    auto answer = std::async(std::launch::async, ask);
    while (answer.wait_for(milliseconds(1)) != std::future_status::ready) {
      clock_.Advance(milliseconds(100));
    }
    return answer.get();
  }

  testing::FakeClock clock_;
  std::shared_ptr<testing::FakeBackend> store_ = std::make_shared<testing::FakeBackend>();
  std::shared_ptr<testing::FaultyBackend> faulty_ =
      std::make_shared<testing::FaultyBackend>(store_);
  testing::PublishedImage image_;
  StoreGateway gateway_{faulty_, &clock_, {}};
};

TEST_F(StoreGatewayTest, AnswersOfTheStoreComeThrough) {
  ASSERT_OK_AND_ASSIGN(const auto granted,
                       gateway_.ReadGrantedManifest(image_.chain(), "", gateway_.Deadline()));
  EXPECT_TRUE(granted.to_anybody);
  const Manifest& manifest = granted.manifest;
  ASSERT_EQ(manifest.layers.size(), 2U);
  ASSERT_OK_AND_ASSIGN(const auto records,
                       gateway_.ReadRecords({manifest.layers[0].record, manifest.layers[1].record},
                                            gateway_.Deadline()));
  EXPECT_EQ(records[0].layer.diff_id, manifest.layers[0].diff_id);
  EXPECT_EQ(records[1].layer.diff_id, manifest.layers[1].diff_id);
}

TEST_F(StoreGatewayTest, ASilentStoreIsGivenUpAfterTheBudget) {
  store_->HoldReads();
  EXPECT_THAT(AskInVain(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(StoreGatewayTest, ThreeFailuresInARowOpenTheBreakerForHalfAMinute) {
  store_->HoldReads();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(AskInVain(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  const uint64_t asked = faulty_->calls();
  EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(faulty_->calls(), asked) << "the store must be spared";
  store_->ReleaseReads();
  clock_.Advance(seconds(31));
  EXPECT_OK(Ask());
  EXPECT_OK(Ask());
}

// Else each of the 60 layers of a pull would cost a budget.
TEST_F(StoreGatewayTest, AStoreThatIsTooSlowForRecordsAloneIsSparedToo) {
  store_->HoldReads("records/");
  for (int layer = 0; layer < 3; ++layer) {
    EXPECT_OK(Ask());
    EXPECT_THAT(InVain([this] { return AskForRecords(); }),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable, "not asking"));
  clock_.Advance(seconds(31));
  EXPECT_OK(Ask());
  EXPECT_THAT(InVain([this] { return AskForRecords(); }),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable, "not asking"));
  store_->ReleaseReads();
  clock_.Advance(seconds(31));
  for (int layer = 0; layer < 3; ++layer) {
    EXPECT_OK(Ask());
    EXPECT_OK(AskForRecords());
  }
}

TEST_F(StoreGatewayTest, AFailureAfterThePauseClosesTheStoreAgainAtOnce) {
  faulty_->FailFrom(1, Unavailable("down"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable, "down"));
  clock_.Advance(seconds(31));
  EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable, "down"));
  EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable, "not asking"));
}

TEST_F(StoreGatewayTest, NotFoundIsAnAnswerAndResetsTheCount) {
  const auto ask_unknown = [this] {
    return gateway_.ReadGrantedManifest(Sha256::Of("unknown"), "", gateway_.Deadline()).status();
  };
  for (int round = 0; round < 3; ++round) {
    faulty_->FailFrom(1, Unavailable("down"));
    EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable, "down"));
    EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable, "down"));
    faulty_->Heal();
    EXPECT_THAT(ask_unknown(), StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST_F(StoreGatewayTest, WithoutAStoreNothingIsPublished) {
  StoreGateway gateway(nullptr, &clock_, {});
  EXPECT_THAT(gateway.ReadGrantedManifest(image_.chain(), "", gateway.Deadline()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(StoreGatewayTest, ThreadsThatHangAreNotJoinedByMore) {
  StoreGateway::Options options;
  options.threads = 2;
  options.breaker.failures_to_open = 100;
  StoreGateway gateway(faulty_, &clock_, options);
  store_->HoldReads();
  const auto ask = [&] {
    auto answer = std::async(std::launch::async, [&] {
      return gateway.ReadGrantedManifest(image_.chain(), "", gateway.Deadline()).status();
    });
    while (answer.wait_for(milliseconds(1)) != std::future_status::ready) {
      clock_.Advance(milliseconds(100));
    }
    return answer.get();
  };
  EXPECT_THAT(ask(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(ask(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(gateway.ReadGrantedManifest(image_.chain(), "", gateway.Deadline()),
              StatusIs(absl::StatusCode::kUnavailable, "every thread"));
  store_->ReleaseReads();
  EXPECT_TRUE(testing::Eventually(
      [&] { return gateway.ReadGrantedManifest(image_.chain(), "", gateway.Deadline()).ok(); }));
}

}  // namespace
}  // namespace slacker
