#include "backend/store/requests.h"

#include <gmock/gmock.h>

#include "backend/memory/memory_backend.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr absl::StatusCode kDataLoss = absl::StatusCode::kDataLoss;
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

PublishRequest Sample() {
  return {.reference = "registry.example.com/app:1.2",
          .chain_id = Sha256::Of("chain"),
          .platform = {"linux", "arm64", "v8"}};
}

TEST(RequestsTest, ARequestComesBack) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRequest(Sample()));
  ASSERT_OK_AND_ASSIGN(const PublishRequest request, DecodeRequest(bytes, RequestName(bytes)));
  EXPECT_EQ(request.reference, Sample().reference);
  EXPECT_EQ(request.chain_id, Sample().chain_id);
  EXPECT_EQ(request.platform.os, "linux");
  EXPECT_EQ(request.platform.architecture, "arm64");
  EXPECT_EQ(request.platform.variant, "v8");
}

TEST(RequestsTest, ANamespaceComesBack) {
  PublishRequest request = Sample();
  request.name_space = "k8s.io";
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRequest(request));
  EXPECT_NE(bytes, *EncodeRequest(Sample()));
  EXPECT_EQ(DecodeRequest(bytes, RequestName(bytes))->name_space, "k8s.io");
  request.name_space = std::string(77, 'x');
  EXPECT_THAT(EncodeRequest(request), StatusIs(kInvalid));
}

TEST(RequestsTest, AClaimComesBackWithABoundedName) {
  const RequestClaim claim = {.claimant = std::string(300, 'x'), .until_unix_seconds = 17};
  ASSERT_OK_AND_ASSIGN(const RequestClaim read, DecodeRequestClaim(EncodeRequestClaim(claim)));
  EXPECT_EQ(read.claimant, std::string(255, 'x'));
  EXPECT_EQ(read.until_unix_seconds, 17);
  for (const char* bad : {"", "SLKC", "junk"}) {
    EXPECT_THAT(DecodeRequestClaim(bad), StatusIs(kDataLoss)) << bad;
  }
}

TEST(RequestsTest, OnlyFullReferencesOfBoundedLengthAreEncoded) {
  for (const std::string& reference :
       {std::string(), std::string("nginx"), std::string("docker.io/nginx:1"),
        std::string("registry.example.com/app"), std::string("registry.example.com/App:1"),
        std::string("registry.example.com/../app:1"), std::string("a b/c:1"),
        "registry.example.com/" + std::string(1024, 'a') + ":1"}) {
    PublishRequest request = Sample();
    request.reference = reference;
    EXPECT_THAT(EncodeRequest(request), StatusIs(kInvalid)) << reference;
  }
  PublishRequest request = Sample();
  request.platform.os = std::string(65, 'x');
  EXPECT_THAT(EncodeRequest(request), StatusIs(kInvalid));
}

TEST(RequestsTest, EveryOtherByteStringIsRefused) {
  const std::string bytes = *EncodeRequest(Sample());
  EXPECT_THAT(DecodeRequest(bytes, RequestName("else")), StatusIs(kDataLoss, "its name"));
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    EXPECT_THAT(DecodeRequest(cut, RequestName(cut)), StatusIs(kDataLoss)) << size;
  }
  const std::string longer = bytes + "x";
  EXPECT_THAT(DecodeRequest(longer, RequestName(longer)), StatusIs(kDataLoss));
  std::string newer = bytes;
  newer[4] = 3;
  EXPECT_THAT(DecodeRequest(newer, RequestName(newer)), StatusIs(kDataLoss, "version 3"));
  newer[4] = 2;  // says that there is a namespace
  EXPECT_THAT(DecodeRequest(newer, RequestName(newer)), StatusIs(kDataLoss));
  std::string bad = bytes;
  bad.back() = ' ';  // of the reference
  EXPECT_THAT(DecodeRequest(bad, RequestName(bad)), StatusIs(kDataLoss));
  const std::string large(kMaxRequestBytes + 1, 'x');
  EXPECT_THAT(DecodeRequest(large, RequestName(large)), StatusIs(kDataLoss, "larger"));
}

TEST(RequestsTest, AFailureComesBackWithABoundedReason) {
  const RequestFailure failure = {.attempts = 3,
                                  .given_up = true,
                                  .until_unix_seconds = 1'700'000'000,
                                  .reason = std::string(5000, 'x')};
  ASSERT_OK_AND_ASSIGN(const RequestFailure read,
                       DecodeRequestFailure(EncodeRequestFailure(failure)));
  EXPECT_EQ(read.attempts, 3u);
  EXPECT_TRUE(read.given_up);
  EXPECT_EQ(read.until_unix_seconds, 1'700'000'000);
  EXPECT_EQ(read.reason, std::string(1024, 'x'));
  EXPECT_THAT(DecodeRequestFailure("SLKF"), StatusIs(kDataLoss));
}

TEST(RequestsTest, EqualRequestsAreOneObject) {
  MemoryBackend store;
  ASSERT_OK(WriteRequest(store, Sample()));
  ASSERT_OK(WriteRequest(store, Sample()));
  EXPECT_THAT(*store.List(""), SizeIs(1));
  PublishRequest other = Sample();
  other.chain_id = Sha256::Of("other");
  ASSERT_OK(WriteRequest(store, other));
  ASSERT_OK_AND_ASSIGN(const auto requests, ListRequests(store));
  ASSERT_THAT(requests, SizeIs(2));
  for (const StoredRequest& stored : requests) {
    EXPECT_OK(stored.request);
    EXPECT_FALSE(stored.failure.has_value());
  }
}

TEST(RequestsTest, WhatIsNoRequestIsListedAsSuch) {
  MemoryBackend store;
  ASSERT_OK(store.Put("requests/junk", "junk"));
  ASSERT_OK(store.Put("requests/large", std::string(kMaxRequestBytes + 1, 'x')));
  ASSERT_OK(store.Put("requests/large.failed", "junk"));
  ASSERT_OK(store.Put("requests/large.claim", "junk"));
  ASSERT_OK_AND_ASSIGN(const auto requests, ListRequests(store));
  ASSERT_THAT(requests, SizeIs(2));
  for (const StoredRequest& stored : requests) {
    EXPECT_THAT(stored.request, StatusIs(kDataLoss));
    EXPECT_FALSE(stored.failure.has_value());
  }
}

TEST(RequestsTest, AStoreFullOfRequestsTakesNoMore) {
  MemoryBackend store;
  for (size_t i = 0; i < kMaxRequests; ++i) {
    ASSERT_OK(store.Put("requests/" + std::to_string(i), "junk"));
  }
  EXPECT_THAT(WriteRequest(store, Sample()), StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace slacker
