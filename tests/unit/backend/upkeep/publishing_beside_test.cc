// Whole publications, through the publisher, with maintenance at every call of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "backend/publish/verifier.h"
#include "backend/store/locations_codec.h"
#include "backend/store/names.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/fsck.h"
#include "backend/upkeep/gc.h"
#include "backend/upkeep/remove_image.h"
#include "tests/support/exhaustive.h"
#include "tests/support/staged_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;
using testing::PublishLayout;
using testing::StagedBackend;

// Counts how often each blob of an image was opened.
class CountingSource final : public ImageSource {
 public:
  explicit CountingSource(std::unique_ptr<ImageSource> inner) : inner_(std::move(inner)) {}
  int most_opened() const {
    int most = 0;
    for (const auto& [blob, times] : opened_) most = std::max(most, times);
    return most;
  }

  std::string Name() const override { return inner_->Name(); }
  absl::StatusOr<Document> Root() override { return inner_->Root(); }
  absl::StatusOr<Document> ReadManifest(const Descriptor& descriptor) override {
    return inner_->ReadManifest(descriptor);
  }
  absl::StatusOr<std::string> ReadConfig(const Descriptor& descriptor) override {
    return inner_->ReadConfig(descriptor);
  }
  absl::StatusOr<std::unique_ptr<ByteSource>> OpenBlob(const Descriptor& descriptor) override {
    ++opened_[descriptor.digest];
    return inner_->OpenBlob(descriptor);
  }

 private:
  const std::unique_ptr<ImageSource> inner_;
  std::map<Digest, int> opened_;
};

// Two images with much in common, so that there is something to be found in the store, and moved.
class PublishingBesideTest : public ::testing::Test {
 protected:
  PublishingBesideTest() {
    const testing::ImageLayer base = testing::GzipLayer(
        testing::TarBuilder().File("base", testing::RandomBytes(200'000, 1)).End());
    const std::string rest = testing::RandomBytes(100'000, 3);
    const auto top = [&rest](const char* name) {
      return testing::GzipLayer(testing::TarBuilder()
                                    .File("same", testing::RandomBytes(300'000, 2))
                                    .File("rest", rest)
                                    .File(name, name)
                                    .End());
    };
    layout_.AddImage({base, top("one")}, "one");
    layout_.AddImage({base, top("two")}, "two");
    layout_.AddImage({base}, "base");
    layout_.AddImage({base, top("two")}, "again");
    layout_.AddImage({testing::GzipLayer(testing::TarBuilder().File("rest", rest).End())}, "rest");
  }

  // Publishes "one" once for each of its calls, with `beside` right before that call.
  void Run(const std::function<void(const std::shared_ptr<StagedBackend>&)>& prepare,
           const std::function<void(StagedBackend&)>& beside) {
    bool more = true;
    for (uint64_t n = 1; more; n += testing::kPlaceStep) {
      SCOPED_TRACE(n);
      const auto store = std::make_shared<StagedBackend>();
      prepare(store);
      more = false;
      store->SetHook([&](uint64_t call) {
        if (call != n) return;
        more = true;
        beside(*store);
      });
      EXPECT_OK(PublishLayout(layout_, store, "one"));
      store->SetHook(nullptr);
      EXPECT_THAT(*store->List(kIntentsPrefix), IsEmpty());
      ExpectSound(store);
      // Nor does it lose anything afterwards.
      for (int i = 0; i < 2; ++i) EXPECT_OK(CollectGarbage(*store, {.grace_seconds = 0}));
      ExpectSound(store);
      if (HasFailure()) return;
    }
  }
  static void ExpectSound(const std::shared_ptr<StagedBackend>& store) {
    ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*store));
    EXPECT_THAT(images, Not(IsEmpty()));
    for (const ImageEntry& image : images) {
      ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyChain(store, image.chain_id));
      for (const Damage& damage : report.damages) {
        ADD_FAILURE() << image.name << ": " << damage.object << ": " << damage.what;
      }
    }
  }
  PublishedImage MustPublish(const std::shared_ptr<StagedBackend>& store, const std::string& tag) {
    return PublishLayout(layout_, store, tag).value();
  }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
};

TEST_F(PublishingBesideTest, CompactionThatMovesWhatItReliesOn) {
  Run([&](const auto& store) { MustPublish(store, "two"); },
      [](StagedBackend& store) { EXPECT_OK(Compact(store, {}).status()); });
}

TEST_F(PublishingBesideTest, CompactionAndACollectionThatRemovesTheOldPacksAtOnce) {
  Run([&](const auto& store) { MustPublish(store, "two"); },
      [](StagedBackend& store) {
        EXPECT_OK(Compact(store, {}).status());
        EXPECT_OK(CollectGarbage(store, {.grace_seconds = 0}).status());
      });
}

TEST_F(PublishingBesideTest, ACollectionThatRemovesLayersAndChunksThatItHasFound) {
  Run(
      [&](const auto& store) {
        for (const char* tag : {"base", "two"}) {
          const PublishedImage image = MustPublish(store, tag);
          EXPECT_OK(RemoveImages(*store, {}, {}).status());
          EXPECT_OK(store->Remove(ImageName(image.entry.name, image.entry.platform)));
        }
      },
      [](StagedBackend& store) {
        EXPECT_OK(CollectGarbage(store, {.grace_seconds = 0}).status());
      });
}

// What the publication has found goes into the trash, and stays there for the grace: whenever that
// happens, no layer is read twice for it, and what it had is stored once more.
class PublishingBesideCondemningTest : public PublishingBesideTest,
                                       public ::testing::WithParamInterface<bool> {
 protected:
  // A pack of which little is in use is taken by compaction, one of which nothing is by a collection.
  static bool ByCompaction() { return GetParam(); }
  static absl::Status Condemn(StagedBackend& store) {
    return ByCompaction() ? Compact(store, {}).status() : CollectGarbage(store, {}).status();
  }
};

TEST_P(PublishingBesideCondemningTest, NoLayerIsReadASecondTime) {
  uint64_t undisturbed_bytes = 0;
  int rescues = 0;
  bool more = true;
  for (uint64_t n = 0; more; n += testing::kPlaceStep) {
    SCOPED_TRACE(n);
    const auto store = std::make_shared<StagedBackend>();
    MustPublish(store, "two");
    // The chunks of its layers are found from now on, the layers are not.
    ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*store));
    if (ByCompaction()) MustPublish(store, "rest");
    ASSERT_OK(RemoveImages(*store, images, {images.front().chain_id}).status());
    store->Advance(2 * kDaySeconds);
    more = n == 0;
    store->SetHook([&](uint64_t call) {
      if (call != n) return;
      more = true;
      EXPECT_OK(Condemn(*store));
    });
    CountingSource source(OpenLayoutSource(layout_.directory(), "one").value());
    PublishOptions options;
    options.platform = testing::kTestPlatform;
    ASSERT_OK_AND_ASSIGN(const PublishedImage published, Publish(source, store, options, nullptr));
    store->SetHook(nullptr);
    EXPECT_EQ(source.most_opened(), 1);
    if (n == 0) undisturbed_bytes = published.totals.stored_bytes;
    // The file that the upper layers of both images have.
    if (published.totals.stored_bytes > undisturbed_bytes + 250'000) ++rescues;
    ExpectSound(store);
    for (int i = 0; i < 2; ++i) EXPECT_OK(CollectGarbage(*store, {.grace_seconds = 0}));
    ExpectSound(store);
    if (HasFailure()) return;
  }
  EXPECT_GT(rescues, 0);  // or the test has not met what it is about
}

INSTANTIATE_TEST_SUITE_P(By, PublishingBesideCondemningTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Compaction" : "Collection"; });

// The layer that is known, by a manifest that goes meanwhile, is not even read then.
TEST_F(PublishingBesideTest, AKnownLayerWhosePacksAreCondemnedMeanwhileIsNotDownloaded) {
  int rescues = 0;
  bool more = true;
  for (uint64_t n = 1; more; n += testing::kPlaceStep) {
    SCOPED_TRACE(n);
    const auto store = std::make_shared<StagedBackend>();
    const PublishedImage known = MustPublish(store, "two");
    store->Advance(2 * kDaySeconds);
    more = false;
    store->SetHook([&](uint64_t call) {
      if (call != n) return;
      more = true;
      EXPECT_OK(RemoveImages(*store, {known.entry}, {known.entry.chain_id}).status());
      EXPECT_OK(CollectGarbage(*store, {}).status());
    });
    CountingSource source(OpenLayoutSource(layout_.directory(), "again").value());
    PublishOptions options;
    options.platform = testing::kTestPlatform;
    bool is_known = false;
    ASSERT_OK_AND_ASSIGN(
        const PublishedImage published,
        Publish(source, store, options, [&is_known](const PublishProgress& progress) {
          is_known = is_known || (progress.layers_done == 1 && progress.layers_reused == 2);
        }));
    store->SetHook(nullptr);
    if (is_known) {
      EXPECT_EQ(source.most_opened(), 0);
      if (published.totals.stored_bytes > 500'000) ++rescues;
    }
    ExpectSound(store);
    for (int i = 0; i < 2; ++i) EXPECT_OK(CollectGarbage(*store, {.grace_seconds = 0}));
    ExpectSound(store);
    if (HasFailure()) return;
  }
  EXPECT_GT(rescues, 0);  // or the test has not met what it is about
}

// What a repair writes that has found no chunk, and that died before it looked again.
class OverwrittenLocationsTest : public PublishingBesideTest {
 protected:
  static void LeadNowhere(const std::shared_ptr<StagedBackend>& store) {
    ASSERT_OK_AND_ASSIGN(const auto names, store->List(kLocationsPrefix));
    for (const std::string& name : names) {
      ASSERT_OK_AND_ASSIGN(const Digest record, ParseDigestName(name, kLocationsPrefix));
      ASSERT_OK_AND_ASSIGN(const DecodedRecord read, StoreReader(store).ReadLayer(record));
      Locations nowhere;
      nowhere.packs = {PackName(Digest())};
      for (const Chunk& chunk : read.layer.chunks) {
        nowhere.chunks.push_back({0, 8, chunk.size_bytes, false});
      }
      ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeLocations(nowhere, record));
      ASSERT_OK(store->Replace(name, bytes));
    }
  }
};

TEST_F(OverwrittenLocationsTest, AreWrittenAgainByAPublicationThatIsNotDoneYet) {
  int written_again = 0;
  bool more = true;
  for (uint64_t n = 1; more; n += testing::kPlaceStep) {
    SCOPED_TRACE(n);
    const auto store = std::make_shared<StagedBackend>();
    more = false;
    bool in_time = false;
    store->SetHook([&](uint64_t call) {
      if (call != n) return;
      more = true;
      // It looks at all of them once more after the boot pack.
      in_time = !store->List(kLocationsPrefix)->empty() && store->List(kBootPrefix)->empty();
      LeadNowhere(store);
    });
    CountingSource source(OpenLayoutSource(layout_.directory(), "one").value());
    PublishOptions options;
    options.platform = testing::kTestPlatform;
    ASSERT_OK(Publish(source, store, options, nullptr).status());
    store->SetHook(nullptr);
    EXPECT_EQ(source.most_opened(), 1);
    if (in_time) ExpectSound(store);
    written_again += in_time ? 1 : 0;
    // Nothing is lost of it, whenever that happens.
    store->Advance(60);
    ASSERT_OK_AND_ASSIGN(const FsckReport report, CheckStore(store, {}, /*repair=*/true));
    EXPECT_THAT(report.verified.damages, IsEmpty());
    ExpectSound(store);
    if (HasFailure()) return;
  }
  EXPECT_GT(written_again, 0);
}

// What is nowhere any more is read from its source once more, also of layers that were done.
TEST_F(OverwrittenLocationsTest, TheirLayersAreReadAgainWhenThePacksAreGoneAsWell) {
  int read_again = 0;
  bool more = true;
  for (uint64_t n = 1; more; n += testing::kPlaceStep) {
    SCOPED_TRACE(n);
    const auto store = std::make_shared<StagedBackend>();
    more = false;
    bool in_time = false;
    store->SetHook([&](uint64_t call) {
      if (call != n) return;
      more = true;
      in_time = !store->List(kLocationsPrefix)->empty() && store->List(kBootPrefix)->empty();
      LeadNowhere(store);
      const std::vector<std::string> packs = *store->List(kPacksPrefix);
      for (const std::string& name : packs) ASSERT_OK(store->Remove(name));
    });
    CountingSource source(OpenLayoutSource(layout_.directory(), "one").value());
    PublishOptions options;
    options.platform = testing::kTestPlatform;
    ASSERT_OK(Publish(source, store, options, nullptr).status());
    store->SetHook(nullptr);
    // The upper one also when it is in its middle, and once more with the lower one.
    EXPECT_LE(source.most_opened(), 3);
    if (in_time) ExpectSound(store);
    read_again += in_time && source.most_opened() > 1 ? 1 : 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(read_again, 0);
}

// Something is always being removed: it ends all the same, and says so.
TEST_F(PublishingBesideTest, CollectionsWithoutEndEndAPublicationThatLeavesNoIntent) {
  const auto store = std::make_shared<StagedBackend>();
  store->SetHook(
      [&](uint64_t) { EXPECT_OK(CollectGarbage(*store, {.grace_seconds = 0}).status()); });
  const auto published = PublishLayout(layout_, store, "one");
  store->SetHook(nullptr);
  if (!published.ok()) {
    EXPECT_THAT(published.status(), testing::StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(*store->List(kManifestsPrefix), IsEmpty());
  }
  EXPECT_THAT(*store->List(kIntentsPrefix), IsEmpty());
}

}  // namespace
}  // namespace slacker
