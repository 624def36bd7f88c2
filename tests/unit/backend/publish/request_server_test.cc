#include "backend/publish/request_server.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "backend/base/status.h"
#include "backend/registry/registry_source.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_backend.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/http_server.h"
#include "tests/support/staged_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/support/thread_limit.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
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
        .requests = store_,
        .publish = {},
        .open =
            [this](const PublishRequest& request) -> absl::StatusOr<std::unique_ptr<ImageSource>> {
          ++opened_;
          EXPECT_EQ(request.reference, kReference);
          RETURN_IF_ERROR(source_status_);
          return OpenLayoutSource(layout_.directory(), "v1");
        },
        .clock = &clock_,
        .on_result =
            [this](const StoredRequest&, const absl::StatusOr<ServedRequest>& result) {
              results_.push_back(result);
            },
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
  std::vector<absl::StatusOr<ServedRequest>> results_;
};

TEST_F(RequestServerTest, ARequestIsPublishedSignedAndRemoved) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  auto options = Options();
  const SigningKey key = SigningKey::Generate();
  options.publish.store.key = key;
  ASSERT_OK(RequestServer(options).ServeOnce());
  ASSERT_THAT(results_, ElementsAre(testing::IsOk()));
  EXPECT_EQ(*results_[0], ServedRequest::kPublished);
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
  ASSERT_THAT(results_, ElementsAre(testing::IsOk()));
  EXPECT_EQ(*results_[0], ServedRequest::kWasThere);
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

TEST_F(RequestServerTest, WhatCannotBeReadIsLeftAndToldOnceAndTheOthersAreServed) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  ASSERT_OK(store_->Put("requests/theirs", "junk"));
  ASSERT_OK(store_->Put("requests/junk", "junk"));  // can be read, and not removed
  const auto faulty = std::make_shared<testing::FaultyBackend>(store_);
  faulty->Deny({"requests/theirs"});
  faulty->SetReadFilter([&](std::string_view name, uint64_t, std::string*) {
    if (name == "requests/junk") faulty->Deny({"requests/theirs", "requests/junk"});
  });
  auto options = Options();
  options.requests = faulty;
  RequestServer server(options);
  EXPECT_EQ(*server.ServeOnce(), 2u);
  EXPECT_EQ(results_.size(), 3u);
  EXPECT_EQ(
      std::count_if(results_.begin(), results_.end(),
                    [](const auto& result) { return absl::IsPermissionDenied(result.status()); }),
      2);
  EXPECT_THAT(*store_->List("requests/"), ElementsAre("requests/junk", "requests/theirs"));
  EXPECT_OK(StoreReader(store_).ReadManifest(chain));
  EXPECT_EQ(*server.ServeOnce(), 0u);
  EXPECT_EQ(results_.size(), 3u) << "it was told before";
  faulty->Deny({});
  faulty->SetReadFilter(nullptr);
  ASSERT_OK(server.ServeOnce());
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
}

TEST_F(RequestServerTest, AStoreThatIsAwayEndsTheRound) {
  ASSERT_OK(WriteRequest(*store_, Request(Sha256::Of("chain"))));
  const auto faulty = std::make_shared<testing::FaultyBackend>(store_);
  auto options = Options();
  options.requests = faulty;
  for (const absl::Status& away : {Unavailable("away"), DeadlineExceeded("silent")}) {
    for (uint64_t call = 1; call <= 3; ++call) {  // the list, the request, and its claim
      faulty->FailFrom(call == 3 ? 4 : call, away);
      EXPECT_THAT(RequestServer(options).ServeOnce(), StatusIs(away.code())) << call;
    }
  }
  EXPECT_EQ(opened_, 0);
}

// A registry that has the image, and sends one layer so slowly that it never ends.
class SlowRegistryTest : public RequestServerTest {
 protected:
  RequestServer::Options SlowOptions() {
    auto options = Options();
    options.open = [this](const PublishRequest&) {
      return OpenRegistrySource(*ParseImageReference(server_.Host() + "/app:v1"), {});
    };
    options.max_seconds = 3600;
    options.grace_seconds = 600;
    options.stopping = [this] {
      if (stopping_) asked_ = true;
      return stopping_.load();
    };
    return options;
  }
  // Serves once, with what `then` does once the layer is under way.
  void ServeWhile(const std::function<void()>& then) {
    ASSERT_OK(WriteRequest(*store_, Request(image_.chain_id)));
    std::thread other([&] {
      EXPECT_TRUE(testing::Eventually([this] { return slow_.load(); }));
      then();
    });
    EXPECT_OK(RequestServer(SlowOptions()).ServeOnce());
    other.join();
    ASSERT_TRUE(OnlyRequest().failure.has_value());
    EXPECT_EQ(OnlyRequest().failure->attempts, 1u);
    EXPECT_THAT(results_, ElementsAre(StatusIs(absl::StatusCode::kDeadlineExceeded)));
    EXPECT_THAT(*store_->List("manifests/"), IsEmpty());
  }

  const testing::WrittenImage image_ = layout_.AddImage(testing::SampleLayers(), "v1");
  std::atomic<bool> slow_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> asked_ = false;  // and told so
  testing::HttpServer server_{[this](const testing::HttpRequest& request) {
    if (request.path.ends_with("/v1")) return testing::HttpAnswer{.body = image_.manifest_json};
    const std::string digest = request.path.substr(request.path.rfind('/') + 1);
    if (digest == image_.config.ToString()) {
      return testing::HttpAnswer{.body = testing::ReadFileOrDie(layout_.BlobPath(image_.config))};
    }
    slow_ = true;
    return testing::HttpAnswer{.body = std::string(100'000'000, 'x'),
                               .then = testing::HttpAnswer::Then::kTrickle};
  }};
};

TEST_F(SlowRegistryTest, AnImageThatIsNotThereInTimeHasFailed) {
  ServeWhile([this] { clock_.Advance(std::chrono::seconds(3600)); });
  EXPECT_THAT(OnlyRequest().failure->reason, HasSubstr("longer than 3600 s"));
}

TEST_F(SlowRegistryTest, AServerThatIsToStopWaitsForItsGraceOnly) {
  ServeWhile([this] {
    stopping_ = true;
    EXPECT_TRUE(testing::Eventually([this] { return asked_.load(); }));
    clock_.Advance(std::chrono::seconds(600));
  });
  EXPECT_THAT(OnlyRequest().failure->reason, HasSubstr("had to stop"));
}

TEST_F(RequestServerTest, AnImageIsCalledAsItsRequestSays) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*store_));
  ASSERT_THAT(images, SizeIs(1));
  EXPECT_EQ(images[0].name, std::string("docker://") + kReference);
}

TEST_F(RequestServerTest, RequestsMayBeSomewhereElse) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  auto options = Options();
  options.requests = std::make_shared<MemoryBackend>();
  ASSERT_OK(WriteRequest(*options.requests, Request(chain)));
  EXPECT_EQ(*RequestServer(options).ServeOnce(), 1u);
  EXPECT_THAT(*options.requests->List(""), IsEmpty());
  EXPECT_OK(StoreReader(store_).ReadManifest(chain));
  EXPECT_EQ(*RequestServer(options).ServeOnce(), 0u);
}

TEST_F(RequestServerTest, WhatIsGivenUpIsForgottenAtOnceWhereNothingIsKept) {
  layout_.AddImage(testing::SampleLayers(), "v1");
  ASSERT_OK(WriteRequest(*store_, Request(Sha256::Of("another"))));
  auto options = Options();
  options.keep_seconds = 0;
  ASSERT_OK(RequestServer(options).ServeOnce());
  EXPECT_THAT(results_, ::testing::ElementsAre(StatusIs(absl::StatusCode::kFailedPrecondition)));
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
}

TEST_F(RequestServerTest, AnAbsurdNumberOfAttemptsIsTheLastOne) {
  ASSERT_OK(WriteRequest(*store_, Request(Sha256::Of("chain"))));
  ASSERT_OK(store_->Put(RequestFailureName(OnlyRequest().name),
                        EncodeRequestFailure({.attempts = UINT32_MAX, .reason = "mine"})));
  source_status_ = Unavailable("the registry is away");
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  EXPECT_TRUE(OnlyRequest().failure->given_up);
}

TEST_F(RequestServerTest, TwoServersAtOncePullAnImageOnce) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  std::atomic<int> pulls = 0;
  auto options = Options();
  options.on_result = [](const StoredRequest&, const absl::StatusOr<ServedRequest>& result) {
    EXPECT_OK(result);
  };
  options.open = [&](const PublishRequest&) -> absl::StatusOr<std::unique_ptr<ImageSource>> {
    if (++pulls == 1) {
      // The other one's whole round falls into this one's pull.
      EXPECT_EQ(*RequestServer(options).ServeOnce(), 1u);
    }
    return OpenLayoutSource(layout_.directory(), "v1");
  };
  EXPECT_OK(RequestServer(options).ServeOnce());
  EXPECT_EQ(pulls, 1);
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
  EXPECT_OK(StoreReader(store_).ReadManifest(chain));
}

TEST_F(RequestServerTest, ManyServersAtOncePullAnImageOnce) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  std::atomic<int> pulls = 0;
  auto options = Options();
  options.on_result = [](const StoredRequest&, const absl::StatusOr<ServedRequest>& result) {
    EXPECT_OK(result);
  };
  options.open = [&](const PublishRequest&) {
    ++pulls;
    return OpenLayoutSource(layout_.directory(), "v1");
  };
  std::vector<std::thread> servers;
  for (int i = 0; i < 4; ++i) {
    servers.emplace_back([&options] { EXPECT_OK(RequestServer(options).ServeOnce()); });
  }
  for (std::thread& server : servers) server.join();
  EXPECT_EQ(pulls, 1);
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
  EXPECT_OK(StoreReader(store_).ReadManifest(chain));
}

// As a registry does that stalls, or asks to be left alone for a minute: nothing is heard of it.
TEST_F(RequestServerTest, AnImageWhoseSourceKeepsSilentIsPulledOnceAllTheSame) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  const std::string claim = RequestClaimName(OnlyRequest().name);
  std::atomic<int> pulls = 0;
  auto options = Options();
  options.open = [&](const PublishRequest&) -> absl::StatusOr<std::unique_ptr<ImageSource>> {
    if (++pulls > 1) return OpenLayoutSource(layout_.directory(), "v1");
    for (int i = 0; i < 3; ++i) {
      clock_.Advance(std::chrono::seconds(RequestClaimHolder::kClaimSeconds - 1));
      const int64_t until = clock_.WallNanos() / 1'000'000'000 + RequestClaimHolder::kClaimSeconds;
      EXPECT_TRUE(testing::Eventually([&] {
        return DecodeRequestClaim(*store_->ReadWhole(claim, kMaxRequestBytes))
                   ->until_unix_seconds == until;
      }));
      EXPECT_EQ(*RequestServer(options).ServeOnce(), 1u);
    }
    return OpenLayoutSource(layout_.directory(), "v1");
  };
  EXPECT_OK(RequestServer(options).ServeOnce());
  EXPECT_EQ(pulls, 1);
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
}

TEST_F(RequestServerTest, TheClaimOfAServerThatDiedIsSoonOver) {
  const Digest chain = layout_.AddImage(testing::SampleLayers(), "v1").chain_id;
  ASSERT_OK(WriteRequest(*store_, Request(chain)));
  ASSERT_OK_AND_ASSIGN(auto dead,
                       RequestClaimHolder::Take(store_, OnlyRequest().name, "another", &clock_));
  ASSERT_NE(dead, nullptr);
  dead.reset();
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  EXPECT_EQ(opened_, 0);
  EXPECT_FALSE(OnlyRequest().failure.has_value());
  clock_.Advance(std::chrono::seconds(RequestClaimHolder::kClaimSeconds));
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  EXPECT_EQ(opened_, 1);
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
}

TEST_F(RequestServerTest, AFailureEndsTheClaim) {
  ASSERT_OK(WriteRequest(*store_, Request(Sha256::Of("chain"))));
  source_status_ = Unavailable("the registry is away");
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  clock_.Advance(std::chrono::seconds(30));
  ASSERT_OK(RequestServer(Options()).ServeOnce());
  EXPECT_EQ(opened_, 2);
}

class RequestClaimTest : public ::testing::Test {
 protected:
  static constexpr char kClaim[] = "requests/a.claim";

  absl::StatusOr<std::unique_ptr<RequestClaimHolder>> Take(const std::string& claimant) {
    return RequestClaimHolder::Take(store_, "requests/a", claimant, &clock_);
  }
  bool IsFree() { return *Take("somebody") != nullptr; }
  std::string Claim() { return store_->ReadWhole(kClaim, kMaxRequestBytes).value_or("none"); }
  // By this claimant just now.
  std::string ClaimOf(const std::string& claimant) const {
    return EncodeRequestClaim({.claimant = claimant,
                               .until_unix_seconds = clock_.WallNanos() / 1'000'000'000 +
                                                     RequestClaimHolder::kClaimSeconds});
  }
  // Until the time has come to say so again, and whoever is to has looked.
  void LetTheHolderLook() {
    const uint64_t reads = store_->ReadsOf(kClaim);
    clock_.Advance(std::chrono::seconds(RequestClaimHolder::kRenewSeconds));
    ASSERT_TRUE(testing::Eventually([&] { return store_->ReadsOf(kClaim) > reads; }));
  }

  const std::shared_ptr<testing::FakeBackend> store_ = std::make_shared<testing::FakeBackend>();
  testing::FakeClock clock_;
};

TEST_F(RequestClaimTest, OneClaimantHasIt) {
  ASSERT_OK_AND_ASSIGN(const auto mine, Take("me"));
  ASSERT_NE(mine, nullptr);
  EXPECT_FALSE(IsFree());
  ASSERT_OK(mine->Release());
  EXPECT_TRUE(IsFree());
}

TEST_F(RequestClaimTest, WhoHasNoThreadForItDoesNotHaveIt) {
  {
    const testing::ThreadLimit none(0);
    EXPECT_THAT(Take("me").status(), StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_TRUE(IsFree());
}

TEST_F(RequestClaimTest, WhoGoesOnSayingSoKeepsIt) {
  ASSERT_OK_AND_ASSIGN(auto mine, Take("me"));
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(std::chrono::seconds(RequestClaimHolder::kRenewSeconds));
    EXPECT_TRUE(testing::Eventually([this] { return Claim() == ClaimOf("me"); }));
    EXPECT_FALSE(IsFree());
  }
  mine.reset();
  clock_.Advance(std::chrono::seconds(RequestClaimHolder::kClaimSeconds));
  EXPECT_TRUE(IsFree());
}

// Who has it by now was right to take it: the holder had not said so for too long.
TEST_F(RequestClaimTest, WhatNamesSomebodyElseByNowIsLeftAlone) {
  ASSERT_OK_AND_ASSIGN(const auto mine, Take("me"));
  ASSERT_OK(store_->Replace(kClaim, ClaimOf("another")));
  const std::string theirs = Claim();
  LetTheHolderLook();
  EXPECT_OK(mine->Release());
  EXPECT_EQ(Claim(), theirs);
}

TEST_F(RequestClaimTest, WhatIsGoneIsNotMadeAgain) {
  ASSERT_OK_AND_ASSIGN(const auto mine, Take("me"));
  ASSERT_OK(store_->Remove(kClaim));
  LetTheHolderLook();
  EXPECT_OK(mine->Release());
  EXPECT_EQ(Claim(), "none");
}

TEST_F(RequestClaimTest, AStoreThatFailsIsToldTheNextTime) {
  const auto faulty = std::make_shared<testing::FaultyBackend>(store_);
  ASSERT_OK_AND_ASSIGN(const auto mine,
                       RequestClaimHolder::Take(faulty, "requests/a", "me", &clock_));
  faulty->FailFrom(1, Unavailable("away"));
  clock_.Advance(std::chrono::seconds(RequestClaimHolder::kRenewSeconds));
  ASSERT_TRUE(testing::Eventually([&] { return faulty->calls() > 0; }));
  faulty->Heal();
  clock_.Advance(std::chrono::seconds(RequestClaimHolder::kRenewSeconds));
  EXPECT_TRUE(testing::Eventually([this] { return Claim() == ClaimOf("me"); }));
  EXPECT_OK(mine->Release());
}

TEST_F(RequestClaimTest, OfTwoSuccessorsOneHasItWhereverTheOtherComesBetween) {
  bool came = true;
  for (uint64_t n = 1; came; ++n) {
    const auto store = std::make_shared<testing::StagedBackend>();
    ASSERT_OK(store->Replace(kClaim, EncodeRequestClaim({.claimant = "dead"})));
    const auto take = [&](const std::string& claimant) {
      return RequestClaimHolder::Take(store, "requests/a", claimant, &clock_);
    };
    absl::StatusOr<std::unique_ptr<RequestClaimHolder>> theirs = nullptr;
    came = false;
    store->SetHook([&](uint64_t call) {
      if (call != n) return;
      came = true;
      theirs = take("another");
    });
    ASSERT_OK_AND_ASSIGN(const auto mine, take("me"));
    ASSERT_OK(theirs);
    store->SetHook(nullptr);
    EXPECT_NE(mine == nullptr, *theirs == nullptr) << n;
    EXPECT_THAT(*store->List("requests/"), ::testing::ElementsAre(kClaim)) << n;
    EXPECT_EQ(DecodeRequestClaim(*store->ReadWhole(kClaim, kMaxRequestBytes))->claimant,
              mine != nullptr ? "me" : "another")
        << n;
  }
}

TEST_F(RequestClaimTest, WhatIsNoClaimOrGoesTooFarDoesNotCount) {
  const int64_t far = clock_.WallNanos() / 1'000'000'000 + kMaxClaimSeconds + 1;
  for (const std::string& junk :
       {std::string("junk"), std::string(kMaxRequestBytes + 1, 'x'),
        EncodeRequestClaim({.claimant = "for ever", .until_unix_seconds = far}),
        EncodeRequestClaim({.claimant = "past", .until_unix_seconds = INT64_MIN})}) {
    ASSERT_OK(store_->Replace("requests/a.claim", junk));
    ASSERT_OK_AND_ASSIGN(const auto mine, Take("me"));
    ASSERT_NE(mine, nullptr);
    ASSERT_OK(mine->Release());
  }
}

}  // namespace
}  // namespace slacker
