#include "backend/store/replicas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/store.h"
#include "tests/support/fake_backend.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/published_image.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::StatusIs;
using Result = absl::StatusOr<std::string>;

MATCHER_P(Reads, text, "reads as the text") { return arg.ok() && *arg == text; }

constexpr char kPack[] = "packs/a";          // content
constexpr char kManifest[] = "manifests/a";  // may be absent

class ReplicasTest : public ::testing::Test {
 protected:
  struct Place {
    std::shared_ptr<testing::FakeBackend> store = std::make_shared<testing::FakeBackend>();
    std::shared_ptr<testing::FaultyBackend> faulty =
        std::make_shared<testing::FaultyBackend>(store);
  };
  void TearDown() override {
    first_.store->ReleaseReads();
    second_.store->ReleaseReads();
  }
  static void PutEverywhere(const Place& place, const std::string& content) {
    ASSERT_OK(place.faulty->Put(kPack, content));
    ASSERT_OK(place.faulty->Put(kManifest, content));
  }
  std::future<Result> StartRead(const char* name) {
    auto promise = std::make_shared<std::promise<Result>>();
    auto future = promise->get_future();
    replicas_.ReadAsync(name, 0, 100,
                        [promise](Result bytes) { promise->set_value(std::move(bytes)); });
    return future;
  }
  Result Read(const char* name) { return StartRead(name).get(); }
  Result ReadCopy(int copy, const char* name) {
    std::promise<Result> promise;
    replicas_.ReadCopyAsync(copy, name, 0, 100,
                            [&](Result bytes) { promise.set_value(std::move(bytes)); });
    return promise.get_future().get();
  }
  bool IsAside(size_t place) { return replicas_.Describe()[place].aside; }

  testing::FakeClock clock_;
  Place first_, second_;
  Replicas replicas_{{first_.faulty, second_.faulty}, &clock_, {}};
};

TEST_F(ReplicasTest, TheFirstPlaceAnswersWhileItDoes) {
  PutEverywhere(first_, "1");
  PutEverywhere(second_, "2");
  EXPECT_THAT(Read(kPack), Reads("1"));
  EXPECT_EQ(replicas_.Describe()[0].reads, 1U);
  EXPECT_EQ(replicas_.Describe()[1].reads, 0U);
  EXPECT_EQ(replicas_.Copies(), 2);
}

TEST_F(ReplicasTest, APlaceThatFailsIsPassedOverUntilItAnswersAgain) {
  PutEverywhere(first_, "1");
  PutEverywhere(second_, "2");
  first_.faulty->FailFrom(1, Unavailable("down"));
  ::testing::internal::CaptureStderr();
  EXPECT_THAT(Read(kPack), Reads("2"));
  EXPECT_TRUE(IsAside(0));
  EXPECT_EQ(replicas_.Describe()[0].error, "down");
  EXPECT_THAT(Read(kPack), Reads("2"));
  EXPECT_EQ(first_.faulty->calls(), 1U) << "it is left alone";

  clock_.Advance(seconds(30));
  EXPECT_THAT(Read(kPack), Reads("2"));
  EXPECT_EQ(first_.faulty->calls(), 2U) << "it is tried";
  EXPECT_EQ(replicas_.Describe()[0].spared, 1U);
  first_.faulty->Heal();
  clock_.Advance(seconds(30));
  EXPECT_THAT(Read(kPack), Reads("1"));
  EXPECT_FALSE(IsAside(0));
  EXPECT_EQ(replicas_.Describe()[0].spared, 0U);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, ::testing::HasSubstr(R"("seconds":"60","failures":"2","reads_spared":"1")"));
  EXPECT_THAT(Read(kPack), Reads("1"));
}

TEST_F(ReplicasTest, OneReadAtATimeTriesAPlaceThatIsAside) {
  PutEverywhere(first_, "1");
  PutEverywhere(second_, "2");
  first_.faulty->FailFrom(1, Unavailable("down"));
  EXPECT_OK(Read(kPack));
  first_.faulty->Heal();
  clock_.Advance(seconds(30));
  first_.store->HoldReads();
  auto trying = StartRead(kPack);
  first_.store->WaitForHeldReads(1);
  EXPECT_THAT(Read(kPack), Reads("2"));
  first_.store->ReleaseReads();
  EXPECT_THAT(trying.get(), Reads("1"));
  EXPECT_FALSE(IsAside(0));
}

TEST_F(ReplicasTest, APlaceThatHangsIsNotWaitedForLong) {
  PutEverywhere(first_, "1");
  PutEverywhere(second_, "2");
  first_.store->HoldReads();
  auto read = StartRead(kPack);
  first_.store->WaitForHeldReads(1);
  while (read.wait_for(milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(milliseconds(100));
  }
  EXPECT_THAT(read.get(), Reads("2"));
  EXPECT_TRUE(IsAside(0));
  EXPECT_THAT(Read(kPack), Reads("2")) << "at once";
  first_.store->ReleaseReads();
  EXPECT_THAT(ReadCopy(1, kPack), Reads("2"));
  EXPECT_TRUE(IsAside(0)) << "a late answer does not bring it back";
}

TEST_F(ReplicasTest, APlaceThatIsNotPreferredIsLeftAsideWithoutHarm) {
  PutEverywhere(first_, "1");
  PutEverywhere(second_, "2");
  second_.faulty->FailFrom(1, Unavailable("down"));
  EXPECT_THAT(ReadCopy(1, kPack), StatusIs(absl::StatusCode::kUnavailable));
  second_.faulty->Heal();
  clock_.Advance(seconds(60));
  EXPECT_THAT(Read(kPack), Reads("1"));
  first_.faulty->FailFrom(1, Unavailable("down"));
  EXPECT_THAT(Read(kPack), Reads("2"));
  EXPECT_FALSE(IsAside(1));
}

TEST_F(ReplicasTest, WithEveryPlaceAsideAllAreAsked) {
  PutEverywhere(second_, "2");
  first_.faulty->FailFrom(1, Unavailable("first"));
  second_.faulty->FailFrom(1, Unavailable("second"));
  EXPECT_THAT(Read(kPack), StatusIs(absl::StatusCode::kUnavailable));
  second_.faulty->Heal();
  EXPECT_THAT(Read(kPack), Reads("2"));
  EXPECT_FALSE(IsAside(1));
}

TEST_F(ReplicasTest, ContentThatOnePlaceLacksIsReadFromTheNext) {
  ASSERT_OK(second_.faulty->Put(kPack, "2"));
  EXPECT_THAT(Read(kPack), Reads("2"));
  EXPECT_FALSE(IsAside(0)) << "it has answered";
}

TEST_F(ReplicasTest, ContentIsNotGivenUpWhileAPlaceDoesNotAnswer) {
  EXPECT_THAT(Read(kPack), StatusIs(absl::StatusCode::kNotFound));
  second_.faulty->FailFrom(1, Unavailable("down"));
  EXPECT_THAT(Read(kPack), StatusIs(absl::StatusCode::kUnavailable));
}

// Most images are not published: the second place would cost each of their pulls its time.
TEST_F(ReplicasTest, OfWhatNeedNotExistTheFirstAnswerCounts) {
  ASSERT_OK(second_.faulty->Put(kManifest, "2"));
  EXPECT_THAT(Read(kManifest), StatusIs(absl::StatusCode::kNotFound));
  first_.faulty->FailFrom(1, Unavailable("down"));
  EXPECT_THAT(Read(kManifest), Reads("2"));
}

TEST_F(ReplicasTest, ACopyIsReadByItselfUnlessItIsAside) {
  PutEverywhere(first_, "1");
  PutEverywhere(second_, "2");
  EXPECT_THAT(ReadCopy(1, kPack), Reads("2"));
  EXPECT_THAT(ReadCopy(0, kPack), Reads("1"));
  second_.faulty->FailFrom(1, Unavailable("down"));
  EXPECT_THAT(ReadCopy(1, kPack), StatusIs(absl::StatusCode::kUnavailable, "down"));
  EXPECT_THAT(ReadCopy(1, kPack), StatusIs(absl::StatusCode::kUnavailable, "aside"));
  EXPECT_EQ(second_.faulty->calls(), 1U);
}

// What is read through a StoreReader is verified: another copy is asked where one is wrong.
class WrongReplicaTest : public ::testing::TestWithParam<std::string> {
 protected:
  WrongReplicaTest() {
    image_ = testing::Publish(first_store_, {testing::MakeBigLayer(40)});
    const auto names = first_store_->List("");
    EXPECT_OK(names);
    for (const std::string& name : *names) {
      EXPECT_OK(second_store_->Put(name, *first_store_->ReadWhole(name, 64 << 20)));
    }
  }
  void ExpectAllReadable() {
    ASSERT_OK(reader_.ReadManifest(image_.chain()));
    ASSERT_OK(reader_.ReadGrantedManifest(image_.chain(), ""));
    const Digest& record = image_.manifest[0].record;
    ASSERT_OK_AND_ASSIGN(const RecordObject object, reader_.ReadRecord(record));
    const Layer& layer = object.layer;
    ASSERT_OK_AND_ASSIGN(const Locations locations,
                         reader_.ReadLocations(record, layer.chunks.size()));
    const auto count = static_cast<uint32_t>(layer.chunks.size());
    std::vector<std::promise<Result>> answers(count);
    reader_.ReadChunksAsync(layer, locations, 0, count, [&](uint32_t chunk, Result bytes) {
      answers[chunk].set_value(std::move(bytes));
    });
    for (uint32_t chunk = 0; chunk < count; ++chunk) {
      ASSERT_OK_AND_ASSIGN(const std::string bytes, answers[chunk].get_future().get());
      EXPECT_TRUE(bytes == image_.layers[0].chunks[chunk]) << chunk;
    }
  }

  testing::FakeClock clock_;
  std::shared_ptr<testing::FakeBackend> first_store_ = std::make_shared<testing::FakeBackend>(),
                                        second_store_ = std::make_shared<testing::FakeBackend>();
  std::shared_ptr<testing::FaultyBackend> first_ =
      std::make_shared<testing::FaultyBackend>(first_store_);
  testing::PublishedImage image_;
  const StoreReader reader_{
      std::make_shared<Replicas>(std::vector<std::shared_ptr<ReadBackend>>{first_, second_store_},
                                 &clock_, Replicas::Options{})};
};

TEST_P(WrongReplicaTest, WrongBytesComeFromTheNextOne) {
  first_->SetReadFilter([](std::string_view name, uint64_t, std::string* bytes) {
    if (!name.starts_with(GetParam())) return;
    for (char& byte : *bytes) byte = static_cast<char>(byte ^ 1);
  });
  ExpectAllReadable();
}

TEST_P(WrongReplicaTest, WhatIsCutShortComesFromTheNextOne) {
  first_->SetReadFilter([](std::string_view name, uint64_t offset, std::string* bytes) {
    if (name.starts_with(GetParam()))
      bytes->resize(offset == 0 ? std::min<size_t>(bytes->size(), 9) : 0);
  });
  ExpectAllReadable();
}

TEST_P(WrongReplicaTest, WhatIsMissingComesFromTheNextOne) {
  ASSERT_OK_AND_ASSIGN(const auto names, first_store_->List(GetParam()));
  ASSERT_FALSE(names.empty());
  for (const std::string& name : names) ASSERT_OK(first_store_->Remove(name));
  ExpectAllReadable();
}

INSTANTIATE_TEST_SUITE_P(Objects, WrongReplicaTest,
                         ::testing::Values("manifests/", "records/", "locations/", "packs/"),
                         [](const auto& param) {
                           return param.param.substr(0, param.param.size() - 1);
                         });

}  // namespace
}  // namespace slacker
