#include "backend/publish/trace_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/base/status.h"
#include "backend/publish/boot_publisher.h"
#include "backend/publish/boot_verifier.h"
#include "backend/store/boot_pack.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "tests/support/fake_backend.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/published_image.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::StatusIs;

class TracePublisherTest : public ::testing::Test {
 protected:
  TracePublisherTest()
      : image_(
            testing::Publish(store_, {testing::MakeBigLayer(8, 1), testing::MakeBigLayer(6, 2)})) {
    for (const ManifestLayer& layer : image_.manifest) records_.push_back(layer.record);
  }

  Manifest ManifestOfImage() const {
    const auto manifest = StoreReader(store_).ReadManifest(image_.chain());
    EXPECT_OK(manifest);
    return *manifest;
  }
  // A start that reads the page at the beginning of each of these chunks.
  StartTrace Trace(const std::vector<std::pair<uint32_t, uint32_t>>& chunks) const {
    StartTrace trace{image_.chain(), records_, 1, {}};
    for (const auto& [layer, chunk] : chunks) {
      const uint64_t offset = image_.layers[layer].layer.chunks[chunk].blob_offset;
      trace.ranges.push_back({layer, static_cast<uint32_t>(offset / kTracePageBytes), 1, 1});
    }
    return trace;
  }
  uint32_t ChunkOf(uint32_t layer, uint32_t page) const {
    return ChunksIn(image_.layers[layer].layer.chunks, page * kBootPageBytes, 1).first;
  }
  // (layer, chunk) in the order of the pack.
  std::vector<std::pair<uint32_t, uint32_t>> ChunksInPack() {
    std::vector<std::pair<uint32_t, uint32_t>> chunks;
    const auto pack = store_->ReadWhole(BootPackName(image_.chain()), 64 << 20);
    EXPECT_OK(pack);
    const auto table = DecodeBootTable(*pack, image_.chain());
    EXPECT_OK(table);
    EXPECT_EQ(table->origin, BootOrigin::kTrace);
    for (const auto& window : table->windows) {
      for (const ChunkRun& run : window.runs) {
        EXPECT_EQ(window.pages.has_value(), has_pages_);
        for (uint32_t i = 0; i < run.count; ++i) {
          chunks.emplace_back(run.layer,
                              has_pages_ ? ChunkOf(run.layer, run.first + i) : run.first + i);
        }
      }
    }
    EXPECT_OK(VerifyBootPack(StoreReader(store_), image_.chain()));
    return chunks;
  }
  absl::Status PublishAll() {
    results_.clear();
    return PublishAllTraces(faulty_, {}, key_, [this](const Digest& chain, const auto& result) {
      results_.emplace_back(chain, result);
    });
  }
  std::vector<std::string> TraceObjects() { return *store_->List(std::string(kTracesPrefix)); }

  const std::shared_ptr<testing::FakeBackend> store_ = std::make_shared<testing::FakeBackend>();
  const std::shared_ptr<testing::FaultyBackend> faulty_ =
      std::make_shared<testing::FaultyBackend>(store_);
  const SigningKey* key_ = nullptr;
  bool has_pages_ = true;  // the packs that are expected
  testing::PublishedImage image_;
  std::vector<Digest> records_;
  std::vector<std::pair<Digest, absl::StatusOr<MergedTraces>>> results_;
};

TEST_F(TracePublisherTest, ATraceThatCannotBeReadIsLeftAndNamedAndTheOthersCount) {
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}})));
  const std::string theirs = TraceObjects().at(0);
  ASSERT_OK(LeaveTrace(*store_, Trace({{0, 2}})));
  faulty_->Deny({theirs});
  ASSERT_OK(PublishAll());
  ASSERT_EQ(results_.size(), 1U);
  ASSERT_OK(results_[0].second);
  EXPECT_EQ(results_[0].second->taken, 1U);
  EXPECT_THAT(results_[0].second->unreadable, ElementsAre(theirs));
  EXPECT_OK(store_->Stat(theirs));
  faulty_->FailFrom(1, DeadlineExceeded("silent"));
  EXPECT_THAT(PublishAll(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(TracePublisherTest, WhatNodesLeftBecomesTheBootPackInItsOrder) {
  ASSERT_OK(PublishBootPack(store_, image_.chain(), records_, "{}", nullptr, {}));
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}, {0, 2}, {1, 0}})));
  ASSERT_OK(PublishAll());
  ASSERT_EQ(results_.size(), 1U);
  ASSERT_OK(results_[0].second);
  EXPECT_EQ(results_[0].second->taken, 1U);
  EXPECT_THAT(ChunksInPack(), ElementsAre(std::pair(1U, 3U), std::pair(0U, 2U), std::pair(1U, 0U)));
  EXPECT_THAT(TraceObjects(), ElementsAre(MergedTraceName(image_.chain())));
  // A guess does not take its place.
  ASSERT_OK(PublishBootPack(store_, image_.chain(), records_, R"({"config": {"Cmd": ["/x"]}})",
                            nullptr, {}));
  EXPECT_EQ(ChunksInPack().size(), 3U);
}

TEST_F(TracePublisherTest, LaterStartsAreMergedAndEqualOnesDoNotWriteThePackAgain) {
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}, {0, 2}})));
  ASSERT_OK(PublishAll());
  ASSERT_OK(LeaveTrace(*store_, Trace({{0, 5}, {1, 3}})));
  ASSERT_OK(PublishAll());
  EXPECT_THAT(ChunksInPack(), ElementsAre(std::pair(1U, 3U), std::pair(0U, 2U), std::pair(0U, 5U)));
  EXPECT_EQ(ReadMergedTrace(*store_, image_.chain())->starts, 2U);
  const uint64_t packs_read = store_->ReadsOf(LocationsName(records_[0]));
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}, {0, 2}, {0, 5}})));
  ASSERT_OK(PublishAll());
  EXPECT_EQ(ReadMergedTrace(*store_, image_.chain())->starts, 3U);
  EXPECT_EQ(store_->ReadsOf(LocationsName(records_[0])), packs_read);
}

// Of more than 64 MiB: packs were cut there once, and such a one is to be written again.
TEST_F(TracePublisherTest, APackThatWasOnceCutIsAnotherOneTodayAndNoneElse) {
  const auto made_of = [this](const StartTrace& trace) {
    EXPECT_OK(LeaveTrace(*store_, trace));
    EXPECT_OK(PublishAll());
    const auto pack = store_->ReadWhole(BootPackName(image_.chain()), 64 << 20);
    EXPECT_OK(pack);
    const auto table = DecodeBootTable(*pack, image_.chain());
    EXPECT_OK(table);
    return table->made_of;
  };
  const auto once = [](const StartTrace& trace) {
    return Sha256::Of(*EncodeTrace(trace) + "pages");
  };
  const StartTrace small = Trace({{1, 3}, {0, 2}});
  EXPECT_EQ(made_of(small), once(small));
  ASSERT_OK(store_->Remove(MergedTraceName(image_.chain())));
  StartTrace large = small;
  large.ranges.push_back({1, 1 << 20, (64 << 20) / kTracePageBytes - 1, 1});
  EXPECT_NE(made_of(large), once(large));
}

TEST_F(TracePublisherTest, TracesOfOtherRecordsAndWhatIsNoneAreRemoved) {
  StartTrace other = Trace({{1, 3}});
  other.records[0] = Sha256::Of("republished");
  ASSERT_OK(LeaveTrace(*store_, other));
  ASSERT_OK(store_->Put(TracesPrefix(image_.chain()) + Sha256::Of("x").ToHex(), "nonsense"));
  ASSERT_OK(PublishAll());
  ASSERT_EQ(results_.size(), 1U);
  EXPECT_EQ(results_[0].second->taken, 0U);
  EXPECT_EQ(results_[0].second->refused, 2U);
  EXPECT_THAT(TraceObjects(), IsEmpty());
  EXPECT_THAT(PublishTraces(store_, ManifestOfImage(), {other}, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TracePublisherTest, AMergedTraceThatIsDamagedOrOfOtherRecordsCountsForNothing) {
  StartTrace other = Trace({{0, 1}});
  other.records[1] = Sha256::Of("republished");
  for (const std::string& content : {std::string("nonsense"), *EncodeTrace(other)}) {
    ASSERT_OK(store_->Replace(MergedTraceName(image_.chain()), content));
    ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}})));
    ASSERT_OK(PublishAll());
    EXPECT_THAT(ChunksInPack(), ElementsAre(std::pair(1U, 3U)));
    EXPECT_EQ(ReadMergedTrace(*store_, image_.chain())->starts, 1U);
  }
}

TEST_F(TracePublisherTest, TracesOfWhatIsNotPublishedAreRemoved) {
  StartTrace unknown = Trace({{1, 3}});
  unknown.chain_id = Sha256::Of("unknown");
  ASSERT_OK(LeaveTrace(*store_, unknown));
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}})));
  ASSERT_OK(PublishAll());
  EXPECT_EQ(results_.size(), 2U);
  EXPECT_THAT(TraceObjects(), ElementsAre(MergedTraceName(image_.chain())));
}

TEST_F(TracePublisherTest, PagesThatTheImageDoesNotHaveCostNothing) {
  StartTrace trace = Trace({{1, 3}});
  trace.ranges.push_back({0, 4'000'000'000, 65'000, 1});
  ASSERT_OK(LeaveTrace(*store_, trace));
  ASSERT_OK(PublishAll());
  EXPECT_THAT(ChunksInPack(), ElementsAre(std::pair(1U, 3U)));
}

TEST_F(TracePublisherTest, AfterAnyFailingCallTheNextRoundDoesTheRest) {
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}, {0, 2}})));
  ASSERT_OK(PublishAll());
  const uint64_t calls = faulty_->calls();
  ASSERT_GT(calls, 5U);
  for (uint64_t n = 1; n <= calls; ++n) {
    ASSERT_OK(RemoveTraces(*store_, image_.chain()));
    ASSERT_OK(store_->Remove(BootPackName(image_.chain())));
    ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}, {0, 2}})));
    faulty_->FailCall(n, Unavailable("down"));
    EXPECT_THAT(PublishAll(), StatusIs(absl::StatusCode::kUnavailable)) << n;
    faulty_->Heal();
    ASSERT_OK(PublishAll());
    EXPECT_EQ(ChunksInPack().size(), 2U) << n;
    EXPECT_THAT(TraceObjects(), ElementsAre(MergedTraceName(image_.chain()))) << n;
  }
}

TEST_F(TracePublisherTest, WithAKeyThePagesAreSignedAndAnotherKeyWritesThePackAgain) {
  const SigningKey first = SigningKey::Generate();
  const SigningKey second = SigningKey::Generate();
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}})));
  for (const SigningKey* key : {&first, &second}) {
    key_ = key;
    ASSERT_OK(PublishTraces(store_, ManifestOfImage(), {}, key_));
    EXPECT_EQ(ChunksInPack().size(), 1U);
    ASSERT_OK_AND_ASSIGN(const std::string pack,
                         store_->ReadWhole(BootPackName(image_.chain()), 64 << 20));
    const std::vector<PublicKey> trusted = {key->public_key()};
    EXPECT_OK(CheckBootSignature(pack, trusted));
  }
}

TEST_F(TracePublisherTest, APackWithAWrongSignatureIsWrittenAgain) {
  const SigningKey key = SigningKey::Generate();
  ASSERT_OK(PublishTraces(store_, ManifestOfImage(), {Trace({{1, 3}})}, &key));
  const std::string name = BootPackName(image_.chain());
  ASSERT_OK_AND_ASSIGN(const std::string pack, store_->ReadWhole(name, 64 << 20));
  ASSERT_OK_AND_ASSIGN(const size_t table_end, BootTableBytes(pack));
  std::string damaged = pack;
  damaged[table_end - 1] ^= 1;
  ASSERT_OK(store_->Replace(name, damaged));
  ASSERT_OK(PublishTraces(store_, ManifestOfImage(), {}, &key));
  EXPECT_TRUE(*store_->ReadWhole(name, 64 << 20) == pack);
}

TEST_F(TracePublisherTest, WhoCannotSignWritesWholeChunksForASignedImage) {
  const SigningKey key = SigningKey::Generate();
  ASSERT_OK(store_->Put(ManifestName(image_.chain(), key.public_key().id()),
                        EncodeManifest(ManifestOfImage(), &key)));
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}})));
  ASSERT_OK(PublishAll());
  has_pages_ = false;
  EXPECT_THAT(ChunksInPack(), ElementsAre(std::pair(1U, 3U)));
}

TEST_F(TracePublisherTest, PagesThatAreNotTheImagesAreFoundByVerification) {
  ASSERT_OK(LeaveTrace(*store_, Trace({{1, 3}})));
  ASSERT_OK(PublishAll());
  ASSERT_OK_AND_ASSIGN(std::string pack, store_->ReadWhole(BootPackName(image_.chain()), 64 << 20));
  NewBootPack lie;
  lie.chain_id = image_.chain();
  lie.made_of = Sha256::Of("a lie");
  for (const Digest& record : records_) lie.records.push_back({record, ""});
  lie.windows.push_back({std::string(kBootPageBytes, 'x'), false, true, {{1, 3, 1}}});
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeBootPack(lie, nullptr));
  ASSERT_OK(store_->Replace(BootPackName(image_.chain()), bytes));
  EXPECT_THAT(VerifyBootPack(StoreReader(store_), image_.chain()),
              StatusIs(absl::StatusCode::kDataLoss, "not those of the image"));
}

}  // namespace
}  // namespace slacker
