#include "backend/store/start_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/base/codec.h"
#include "tests/support/fake_backend.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::StatusIs;

const Digest kChain = Sha256::Of("chain");

StartTrace SampleTrace() {
  return {kChain,
          {Sha256::Of("bottom"), Sha256::Of("top")},
          3,
          {{1, 10, 5, 3}, {0, 7, 1, 1}, {1, 0, 10, 2}, {1, 15, 2, 3}, {0, 1'000'000, 40, 1}}};
}

// With the checksum that its content has.
std::string Sealed(std::string bytes) {
  bytes.resize(bytes.size() - 32);
  Encoder(&bytes).Hash(Sha256::Of(bytes));
  return bytes;
}

TEST(StartTraceTest, ComesBackAsItWas) {
  const StartTrace trace = SampleTrace();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeTrace(trace));
  ASSERT_OK_AND_ASSIGN(const StartTrace decoded, DecodeTrace(bytes, kChain));
  EXPECT_EQ(decoded.chain_id, trace.chain_id);
  EXPECT_EQ(decoded.records, trace.records);
  EXPECT_EQ(decoded.starts, trace.starts);
  EXPECT_EQ(decoded.ranges, trace.ranges);
  EXPECT_EQ(PagesOf(decoded), 58U);
}

TEST(StartTraceTest, EveryDamagedByteAndEveryLengthIsNoticed) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeTrace(SampleTrace()));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_THAT(DecodeTrace(damaged, kChain), StatusIs(absl::StatusCode::kDataLoss)) << i;
    EXPECT_THAT(DecodeTrace(bytes.substr(0, i), kChain), StatusIs(absl::StatusCode::kDataLoss));
  }
  EXPECT_THAT(DecodeTrace(bytes + "x", kChain), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(StartTraceTest, AnotherChainsOrVersionsIsRefused) {
  ASSERT_OK_AND_ASSIGN(std::string bytes, EncodeTrace(SampleTrace()));
  EXPECT_THAT(DecodeTrace(bytes, Sha256::Of("other")), StatusIs(absl::StatusCode::kDataLoss));
  bytes[4] = 2;
  EXPECT_THAT(DecodeTrace(Sealed(bytes), kChain), StatusIs(absl::StatusCode::kDataLoss));
}

struct BadTrace {
  const char* name;
  void (*spoil)(StartTrace*);
};
class BadTraceTest : public ::testing::TestWithParam<BadTrace> {};

TEST_P(BadTraceTest, IsNotWritten) {
  StartTrace trace = SampleTrace();
  GetParam().spoil(&trace);
  EXPECT_THAT(EncodeTrace(trace), StatusIs(absl::StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadTraceTest,
    ::testing::Values(
        BadTrace{"NoStart", [](StartTrace* trace) { trace->starts = 0; }},
        BadTrace{"TooManyStarts", [](StartTrace* trace) { trace->starts = kMaxTraceStarts + 1; }},
        BadTrace{"NoLayer", [](StartTrace* trace) { trace->records.clear(); }},
        BadTrace{"LayerThatThereIsNot", [](StartTrace* trace) { trace->ranges[0].layer = 2; }},
        BadTrace{"EmptyRange", [](StartTrace* trace) { trace->ranges[0].count = 0; }},
        BadTrace{"ReadInNoStart", [](StartTrace* trace) { trace->ranges[0].starts = 0; }},
        BadTrace{"ReadMoreOftenThanStarted",
                 [](StartTrace* trace) { trace->ranges[0].starts = 4; }},
        BadTrace{"TooManyPages",
                 [](StartTrace* trace) { trace->ranges[4].count = kMaxTracePages; }},
        BadTrace{"BeyondTheLastPage",
                 [](StartTrace* trace) { trace->ranges[4].first = 0xfffffff0; }},
        BadTrace{"APageTwiceAtABeginning", [](StartTrace* trace) { trace->ranges[2].count = 11; }},
        BadTrace{"APageTwiceAtAnEnd", [](StartTrace* trace) { trace->ranges[3].first = 14; }},
        BadTrace{"ARangeInAnother",
                 [](StartTrace* trace) {
                   trace->ranges.push_back({1, 12, 1, 1});
                 }}),
    [](const auto& named) { return named.param.name; });

TEST(StartTraceTest, WhatNodesLeaveIsListedOnceUntilThereIsEnoughOfIt) {
  testing::FakeBackend store;
  StartTrace trace = SampleTrace();
  EXPECT_THAT(*ListTracedChains(store), IsEmpty());
  ASSERT_OK(LeaveTrace(store, trace));
  ASSERT_OK(LeaveTrace(store, trace));
  ASSERT_OK(store.Replace(MergedTraceName(kChain), "whatever"));
  ASSERT_OK(store.Replace(MergedTraceName(Sha256::Of("other")), "whatever"));
  ASSERT_OK_AND_ASSIGN(const auto listed, ListTraces(store, kChain));
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_OK(listed[0].trace);
  EXPECT_THAT(*ListTracedChains(store), ElementsAre(kChain));
  absl::Status left;
  uint32_t written = 1;
  for (; left.ok() && written < 100; ++written) {
    trace.ranges[4].count = written;
    left = LeaveTrace(store, trace);
  }
  EXPECT_THAT(left, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LE(written, kMaxTracesOfImage + 2);
  EXPECT_EQ(ListTraces(store, kChain)->size(), kMaxTracesOfImage);
}

TEST(StartTraceTest, WhatIsNoTraceOfItsNameIsListedAsSuch) {
  testing::FakeBackend store;
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeTrace(SampleTrace()));
  ASSERT_OK(store.Put(TracesPrefix(kChain) + Sha256::Of("something else").ToHex(), bytes));
  ASSERT_OK(store.Put(TracesPrefix(kChain) + "zzz", std::string(kMaxTraceBytes + 1, 'x')));
  ASSERT_OK_AND_ASSIGN(const auto listed, ListTraces(store, kChain));
  ASSERT_EQ(listed.size(), 2U);
  for (const StoredTrace& stored : listed) {
    EXPECT_THAT(stored.trace, StatusIs(absl::StatusCode::kDataLoss)) << stored.name;
  }
}

}  // namespace
}  // namespace slacker
