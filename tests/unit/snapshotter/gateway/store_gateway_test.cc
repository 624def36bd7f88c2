#include "snapshotter/gateway/store_gateway.h"

#include <functional>
#include <future>

#include "tests/support/count.h"
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
  absl::StatusOr<StoreGateway::ManifestAndNamed> AskWithName(const std::string& name) {
    return AskWithName(name, OciManifest());
  }
  absl::StatusOr<StoreGateway::ManifestAndNamed> AskWithName(const std::string& name,
                                                             const Digest& oci_manifest) {
    return gateway_.ReadManifestAndNamed(image_.chain(), "", name, oci_manifest,
                                         {"linux", "amd64", ""}, gateway_.Deadline());
  }
  // As testing::Publish names it.
  Digest OciManifest() const { return Sha256::Of(image_.chain().ToString()); }
  absl::Status AskForRecords() {
    return AskForRecords({image_.manifest[0].record}, gateway_.Deadline());
  }
  absl::Status AskForRecords(const std::vector<Digest>& wanted, const StoreGateway::Limit& limit) {
    records_.clear();
    return gateway_.ReadRecords(wanted, limit, [this](const Digest& record, RecordObject object) {
      EXPECT_TRUE(records_.emplace(record, std::move(object)).second);
      return absl::OkStatus();
    });
  }
  // Whether none is at what was asked before any more.
  bool EveryThreadGetsFree() {
    std::vector<Digest> unknown;
    for (int i = 0; i < StoreGateway::Options().threads; ++i) {
      unknown.push_back(Sha256::Of(std::to_string(i)));
    }
    return testing::Eventually(
        [&] { return absl::IsNotFound(AskForRecords(unknown, gateway_.Deadline())); });
  }
  // A question that the store keeps until its budget is over.
  absl::Status AskInVain() {
    return InVain([this] { return Ask(); });
  }
  absl::Status InVain(const std::function<absl::Status()>& ask) {
    auto answer = std::async(std::launch::async, ask);
    // Slowly enough for what the store does not keep.
    while (answer.wait_for(milliseconds(10)) != std::future_status::ready) {
      clock_.Advance(milliseconds(50));
    }
    return answer.get();
  }
  // As testing::Publish calls it.
  static constexpr char kName[] = "docker://example.org/app:v1";

  testing::FakeClock clock_;
  std::shared_ptr<testing::FakeBackend> store_ = std::make_shared<testing::FakeBackend>();
  std::shared_ptr<testing::FaultyBackend> faulty_ =
      std::make_shared<testing::FaultyBackend>(store_);
  testing::PublishedImage image_;
  StoreGateway gateway_{faulty_, &clock_, {}};
  std::map<Digest, RecordObject> records_;  // of the last AskForRecords
};

TEST_F(StoreGatewayTest, AnswersOfTheStoreComeThrough) {
  ASSERT_OK_AND_ASSIGN(const auto granted,
                       gateway_.ReadGrantedManifest(image_.chain(), "", gateway_.Deadline()));
  EXPECT_TRUE(granted.to_anybody);
  const Manifest& manifest = granted.manifest;
  ASSERT_EQ(manifest.layers.size(), 2U);
  ASSERT_OK(
      AskForRecords({manifest.layers[0].record, manifest.layers[1].record}, gateway_.Deadline()));
  for (const ManifestLayer& layer : manifest.layers) {
    EXPECT_EQ(records_.at(layer.record).layer.diff_id, layer.diff_id);
  }
}

TEST_F(StoreGatewayTest, TheManifestComesWithTheImageOfAName) {
  ASSERT_OK_AND_ASSIGN(auto both, AskWithName(kName));
  EXPECT_EQ(both.granted.manifest.chain_id, image_.chain());
  ASSERT_TRUE(both.named.has_value());
  EXPECT_EQ(both.named->entry.chain_id, image_.chain());
  ASSERT_OK_AND_ASSIGN(const auto whole, both.named->manifest.Take(gateway_.Deadline()));
  EXPECT_EQ(whole.manifest.chain_id, image_.chain());
  EXPECT_TRUE(whole.to_anybody);
  ASSERT_OK_AND_ASSIGN(const auto alone, AskWithName("docker://example.org/none:v1"));
  EXPECT_EQ(alone.granted.manifest.chain_id, image_.chain());
  EXPECT_FALSE(alone.named.has_value());
}

TEST_F(StoreGatewayTest, ANameThatLeadsToAnotherImageLeadsNowhere) {
  ASSERT_OK_AND_ASSIGN(const auto both, AskWithName(kName, Sha256::Of("another OCI manifest")));
  EXPECT_FALSE(both.named.has_value());
}

// It is not what is asked for: another's answer must not wait for it, nor be mistrusted for it.
TEST_F(StoreGatewayTest, AManifestBehindANameThatDoesNotComeIsWaitedForByWhoTakesIt) {
  const auto whole = testing::Publish(store_, std::vector<uint32_t>{1, 2, 3});  // takes the name
  store_->HoldReads("manifests/" + whole.chain().ToHex());
  for (int i = 0; i < StoreGateway::Options().threads + 1; ++i) {
    auto both = AskWithName(kName, Sha256::Of(whole.chain().ToString()));
    ASSERT_OK(both);
    // Threads that hang on hints are at most half of them; those after are none.
    if (i == 0) {
      ASSERT_TRUE(both->named.has_value());
      EXPECT_THAT(InVain([&] { return both->named->manifest.Take(gateway_.Deadline()).status(); }),
                  StatusIs(absl::StatusCode::kDeadlineExceeded));
    }
  }
  EXPECT_OK(Ask());
  EXPECT_EQ(gateway_.Describe().breaker.state, CircuitBreaker::State::kClosed);
  store_->ReleaseReads();
  EXPECT_TRUE(testing::Eventually([&] {
    const auto both = AskWithName(kName, Sha256::Of(whole.chain().ToString()));
    return both.ok() && both->named.has_value();
  }));
}

TEST_F(StoreGatewayTest, AnEntryThatDoesNotComeCostsHalfOfTheBudgetAndNoTrust) {
  store_->HoldReads("images/");
  for (int i = 0; i < 5; ++i) {  // more than would open the breaker
    const auto begun = clock_.Monotonic();
    EXPECT_OK(InVain([this] {
      const auto both = AskWithName(kName);
      EXPECT_TRUE(!both.ok() || !both->named.has_value());
      return both.status();
    }));
    EXPECT_LT(clock_.Monotonic() - begun, StoreGateway::Options().budget);
  }
  EXPECT_EQ(gateway_.Describe().breaker.state, CircuitBreaker::State::kClosed);
}

TEST_F(StoreGatewayTest, EntriesThatHangLeaveThreadsForQuestions) {
  store_->HoldReads("images/");
  for (int i = 0; i < StoreGateway::Options().threads + 1; ++i) {
    EXPECT_OK(InVain([this] { return AskWithName(kName).status(); })) << i;
  }
  EXPECT_OK(Ask());
  store_->ReleaseReads();
  EXPECT_TRUE(testing::Eventually([this] {
    const auto both = AskWithName(kName);
    return both.ok() && both->named.has_value();
  }));
}

TEST_F(StoreGatewayTest, ANameWhoseEntryComesTooLateIsNotFollowed) {
  const auto whole = testing::Publish(store_, std::vector<uint32_t>{1, 2, 3});  // takes the name
  store_->ResetCounts();
  store_->HoldReads("images/");
  EXPECT_OK(
      InVain([&] { return AskWithName(kName, Sha256::Of(whole.chain().ToString())).status(); }));
  store_->ReleaseReads();
  EXPECT_TRUE(EveryThreadGetsFree());
  EXPECT_EQ(store_->ReadsOf("manifests/" + whole.chain().ToHex() + "/unsigned"), 0U);
}

// As the breaker's own budget is not theirs.
TEST_F(StoreGatewayTest, SilenceToAQuestionInAdvanceSaysNothingOfTheStore) {
  const auto ask_in_advance = [this] {
    const auto limit = StoreGateway::Limit::InAdvance(clock_.Monotonic() + milliseconds(100));
    const auto manifest = gateway_.ReadGrantedManifest(image_.chain(), "", limit);
    if (!manifest.ok()) return manifest.status();
    return AskForRecords({image_.manifest[0].record}, limit);
  };
  for (const char* held : {"manifests/", "records/"}) {
    store_->HoldReads(held);
    for (int i = 0; i < CircuitBreaker::Options().failures_to_open + 1; ++i) {
      EXPECT_THAT(InVain(ask_in_advance), StatusIs(absl::StatusCode::kDeadlineExceeded));
    }
    EXPECT_EQ(gateway_.Describe().breaker.state, CircuitBreaker::State::kClosed);
    store_->ReleaseReads();
  }
  // An answer counts, an error too.
  faulty_->FailFrom(1, Unavailable("down"));
  for (int i = 0; i < CircuitBreaker::Options().failures_to_open; ++i) {
    EXPECT_THAT(ask_in_advance(), StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_EQ(gateway_.Describe().breaker.state, CircuitBreaker::State::kOpen);
  faulty_->Heal();
  // Nor does it take the one question that an open breaker lets through.
  clock_.Advance(seconds(30));
  EXPECT_THAT(ask_in_advance(), StatusIs(absl::StatusCode::kUnavailable, "not asking"));
  EXPECT_OK(Ask());
  EXPECT_EQ(gateway_.Describe().breaker.state, CircuitBreaker::State::kClosed);
  EXPECT_OK(ask_in_advance());
}

TEST_F(StoreGatewayTest, AManifestThatIsMissingIsNotHeldUpByTheEntry) {
  store_->HoldReads("images/");
  EXPECT_THAT(gateway_.ReadManifestAndNamed(Sha256::Of("unknown"), "", kName, OciManifest(),
                                            {"linux", "amd64", ""}, gateway_.Deadline()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(StoreGatewayTest, AnAnswerThatNobodyWaitsForIsNotReadToItsEnd) {
  const auto big = testing::Publish(store_, {testing::MakeBigLayer(40000, 3)});
  const Digest record = big.manifest[0].record;
  const std::string name = "records/" + record.ToHex();
  const auto ask = [&] { return AskForRecords({record}, gateway_.Deadline()); };
  store_->ResetCounts();
  ASSERT_OK(ask());
  ASSERT_GT(store_->ReadsOf(name), 1U);
  store_->ResetCounts();
  store_->HoldReads(name);
  EXPECT_THAT(InVain(ask), StatusIs(absl::StatusCode::kDeadlineExceeded));
  store_->ReleaseReads();
  EXPECT_TRUE(EveryThreadGetsFree());
  EXPECT_EQ(store_->ReadsOf(name), 1U);
}

TEST_F(StoreGatewayTest, RecordsComeWithTheirTreesAsLongAsTheseAreNotTooMuch) {
  const Digest usual = image_.manifest[0].record;
  ASSERT_OK(AskForRecords({usual}, gateway_.Deadline()));
  EXPECT_FALSE(records_.at(usual).layer.entries.empty());
  testing::SampleLayer much = testing::MakeSampleLayer(3);
  const std::string value(60'000, 'v');
  for (uint32_t i = 0; i < 600; ++i) {
    Node node;
    node.xattrs = {{"user.much", value}};
    const auto index = static_cast<uint32_t>(much.layer.nodes.size());
    much.layer.nodes.push_back(node);
    much.layer.entries.push_back({0, index, much.layer.Keep("much" + std::to_string(i))});
  }
  const Digest large = testing::Publish(store_, {much}).manifest[0].record;
  ASSERT_OK(AskForRecords({large}, gateway_.Deadline()));
  EXPECT_TRUE(records_.at(large).layer.entries.empty());
  EXPECT_FALSE(records_.at(large).layer.chunks.empty());
}

TEST_F(StoreGatewayTest, RecordsThatCameBeforeTheDeadlineAreThere) {
  store_->HoldReads("records/" + image_.manifest[1].record.ToHex());
  const std::vector<Digest> both = {image_.manifest[0].record, image_.manifest[1].record};
  EXPECT_THAT(InVain([&] { return AskForRecords(both, gateway_.Deadline()); }),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(records_.contains(both[0]));
  EXPECT_FALSE(records_.contains(both[1]));
}

TEST_F(StoreGatewayTest, ARecordIsHandedOverBeforeTheOthersCome) {
  store_->HoldReads("records/" + image_.manifest[0].record.ToHex());
  const std::vector<Digest> both = {image_.manifest[0].record, image_.manifest[1].record};
  std::vector<Digest> came;
  EXPECT_OK(gateway_.ReadRecords(both, gateway_.Deadline(), [&](const Digest& record, auto) {
    came.push_back(record);
    store_->ReleaseReads();  // else it would never end: no time passes
    return absl::OkStatus();
  }));
  EXPECT_EQ(came, (std::vector<Digest>{both[1], both[0]}));
}

TEST_F(StoreGatewayTest, WhoCannotKeepARecordIsHandedNoMoreAndDoesNotBlameTheStore) {
  const std::vector<Digest> both = {image_.manifest[0].record, image_.manifest[1].record};
  for (int i = 0; i < CircuitBreaker::Options().failures_to_open; ++i) {
    int calls = 0;
    EXPECT_THAT(gateway_.ReadRecords(both, gateway_.Deadline(),
                                     [&](const Digest&, const RecordObject&) {
                                       ++calls;
                                       return absl::UnavailableError("this disk");
                                     }),
                StatusIs(absl::StatusCode::kUnavailable, "this disk"));
    EXPECT_EQ(calls, 1);
  }
  EXPECT_EQ(gateway_.Describe().breaker.state, CircuitBreaker::State::kClosed);
  EXPECT_OK(Ask());
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

TEST_F(StoreGatewayTest, AnOpenBreakerIsOneLineAtItsBeginningAndOneAtItsEnd) {
  ::testing::internal::CaptureStderr();
  store_->HoldReads();
  for (int i = 0; i < 3; ++i) (void)AskInVain();
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable));
  }
  store_->ReleaseReads();
  clock_.Advance(seconds(31));
  EXPECT_OK(Ask());
  EXPECT_OK(Ask());
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(testing::Count(log, "the store does not answer pulls"), 1U) << log;
  EXPECT_EQ(testing::Count(log, "the store answers pulls again"), 1U) << log;
  EXPECT_EQ(testing::Count(log, R"("seconds":"31","questions_spared":"2")"), 1U) << log;
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
