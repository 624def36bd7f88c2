#include "backend/publish/request_server.h"

#include <gmock/gmock.h>

#include <thread>

#include "backend/base/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr char kReference[] = "registry.example.com/app:v1";

class RequestServerTest : public ::testing::Test {
 protected:
  RequestServer::Options Options() {
    return {
        .store = store_,
        .publish = {},
        .open =
            [this](const std::string& reference) -> absl::StatusOr<std::unique_ptr<ImageSource>> {
          ++opened_;
          EXPECT_EQ(reference, kReference);
          RETURN_IF_ERROR(source_status_);
          return OpenLayoutSource(layout_.directory(), "v1");
        },
        .clock = &clock_,
        .on_result = [this](const StoredRequest&,
                            const absl::Status& status) { results_.push_back(status); },
        .stopping = {}};
  }
  PublishRequest Request(const Digest& chain) {
    return {.reference = kReference, .chain_id = chain, .platform = {"linux", "amd64", ""}};
  }
  StoredRequest OnlyRequest() {
    const auto requests = ListRequests(*store_);
    EXPECT_THAT(*requests, SizeIs(1));
    return requests->at(0);
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::shared_ptr<Backend> store_ = std::make_shared<MemoryBackend>();
  testing::FakeClock clock_;
  absl::Status source_status_;
  int opened_ = 0;
  std::vector<absl::Status> results_;
};

TEST_F(RequestServerTest, ARequestIsPublishedSignedAndRemoved) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  auto options = Options();
  const SigningKey key = SigningKey::Generate();
  options.publish.store.key = key;
  ASSERT_OK(RequestServer(options).ServeOnce());
  EXPECT_THAT(results_, ::testing::ElementsAre(testing::IsOk()));
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
  EXPECT_OK(StoreReader(store_, {.keys = {key.public_key()}}).ReadGrantedManifest(chain, ""));
}

TEST_F(RequestServerTest, WhatIsPublishedAlreadyIsNotPulled) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(testing::PublishLayout(layout_, store_, "v1"));
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
  EXPECT_EQ(opened_, 0);
}

TEST_F(RequestServerTest, AnotherImageThanTheOneAskedForIsGivenUpAtOnce) {
  layout_.AddImage(testing::SampleLayers(), "v1");
  ASSERT_OK(WriteRequest(*store_, Request(Sha256::Of("another"))));
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  const StoredRequest stored = OnlyRequest();
  ASSERT_TRUE(stored.failure.has_value());
  EXPECT_TRUE(stored.failure->given_up);
  EXPECT_THAT(stored.failure->reason, HasSubstr("another image"));
  EXPECT_THAT(*store_->List("manifests/"), IsEmpty());
  clock_.Advance(std::chrono::hours(24 * 6));
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  EXPECT_EQ(opened_, 1);
  clock_.Advance(std::chrono::hours(25));
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
}

TEST_F(RequestServerTest, AFailureIsTriedAgainLaterAndLater) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  source_status_ = Unavailable("the registry is away");
  RequestServer server(Options());
  int64_t pause = 30;
  for (uint32_t attempt = 1; attempt <= RequestServer::kMaxAttempts; ++attempt, pause *= 2) {
    ASSERT_OK(server.ServeOnce());
    ASSERT_OK(server.ServeOnce());  // not yet
    EXPECT_EQ(opened_, static_cast<int>(attempt));
    const StoredRequest stored = OnlyRequest();
    ASSERT_TRUE(stored.failure.has_value());
    EXPECT_EQ(stored.failure->attempts, attempt);
    EXPECT_EQ(stored.failure->given_up, attempt == RequestServer::kMaxAttempts);
    EXPECT_THAT(stored.failure->reason, HasSubstr("is away"));
    clock_.Advance(std::chrono::seconds(pause));
  }
  ASSERT_OK(server.ServeOnce());
  EXPECT_EQ(opened_, static_cast<int>(RequestServer::kMaxAttempts));
}

TEST_F(RequestServerTest, AFailureThatPassesIsForgotten) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  source_status_ = Unavailable("the registry is away");
  RequestServer server(Options());
  ASSERT_OK(server.ServeOnce());
  source_status_ = absl::OkStatus();
  clock_.Advance(std::chrono::seconds(30));
  ASSERT_OK(server.ServeOnce());
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
  EXPECT_OK(StoreReader(store_).ReadManifest(chain));
}

TEST_F(RequestServerTest, WhatIsNoRequestIsRemoved) {
  ASSERT_OK(store_->Put("requests/junk", "junk"));
  ASSERT_OK(store_->Put("requests/junk.failed", "junk"));
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  EXPECT_THAT(results_, ::testing::ElementsAre(StatusIs(absl::StatusCode::kDataLoss)));
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
}

TEST_F(RequestServerTest, TwoServersAtOnceBothSucceed) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  const auto quiet = [this] {
    auto options = Options();
    options.open = [this](const std::string&) {
      return OpenLayoutSource(layout_.directory(), "v1");
    };
    options.on_result = [](const StoredRequest&, const absl::Status& status) { EXPECT_OK(status); };
    return options;
  };
  RequestServer one(quiet());
  RequestServer two(quiet());
  std::thread other([&two] { EXPECT_OK(two.ServeOnce()); });
  EXPECT_OK(one.ServeOnce());
  other.join();
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
  EXPECT_OK(StoreReader(store_).ReadManifest(chain));
}

}  // namespace
}  // namespace slacker
