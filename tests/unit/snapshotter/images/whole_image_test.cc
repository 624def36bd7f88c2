// What the hints of the CRI plugin bring with the first layer of a pull.
#include <atomic>

#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "tests/support/eventually.h"
#include "tests/unit/snapshotter/images/image_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

// As testing::Publish names them.
constexpr char kReference[] = "example.org/app:v1";
std::string ManifestDigestOf(const Digest& chain) {
  return Sha256::Of(chain.ToString()).ToString();
}

class WholeImageTest : public testing::ImageTest {
 protected:
  // Those of layer `number`'s Prepare, counted from the bottom.
  Labels HintsOf(size_t number) const {
    std::string layers = "sha256:of-this-one";
    for (size_t above = number + 1; above < image_.chains.size(); ++above) {
      layers += ",sha256:of-it";
    }
    return {{"containerd.io/snapshot/cri.image-ref", kReference},
            {"containerd.io/snapshot/cri.manifest-digest", ManifestDigestOf(image_.chain())},
            {"containerd.io/snapshot/cri.image-layers", layers}};
  }
  absl::Status Pull(size_t number) {
    return images_->Ensure(image_.chains[number], HintsOf(number)).status();
  }
  uint64_t ReadsBelow(const std::string& prefix) {
    const auto names = store_->List(prefix);
    EXPECT_OK(names);
    uint64_t reads = 0;
    for (const std::string& name : *names) reads += store_->ReadsOf(name);
    return reads;
  }
  static std::string EntryName() {
    return ImageName("docker://" + std::string(kReference), {"linux", "amd64", ""});
  }
  // The entry of that name says the manifest of image_, and leads to `chain`.
  void LeadEntryTo(const Digest& chain) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes,
                         store_->ReadWhole(EntryName(), kMaxImageEntryBytes));
    ASSERT_OK_AND_ASSIGN(ImageEntry entry, DecodeImageEntry(bytes));
    entry.manifest_digest = ManifestDigestOf(image_.chain());
    entry.chain_id = chain;
    ASSERT_OK(store_->Replace(EntryName(), EncodeImageEntry(entry)));
    store_->ResetCounts();
  }
  std::string ManifestOf(const Digest& chain) { return "manifests/" + chain.ToHex() + "/unsigned"; }
  std::string RecordOf(size_t layer) { return "records/" + image_.manifest[layer].record.ToHex(); }
  // Slowly enough for what the store does not keep.
  template <typename Outcome>
  void WhileTimePasses(std::future<Outcome>& call) {
    while (call.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) {
      clock_.Advance(std::chrono::milliseconds(10));
    }
  }
  // When all that is brought in the background is here, or has failed.
  bool WholeIsHere() {
    images_->WaitForBackgroundForTest();
    return !LayersOf(image_.chain()).empty();
  }
  void EmptyTheNode() {
    StopNode();
    for (const std::string name :
         {"/records", "/slacker.db", "/slacker.db-wal", "/slacker.db-shm"}) {
      std::filesystem::remove_all(dir_.path() + name);
    }
    StartNode();
  }
  void PublishPrivately(const std::string& repository) {
    std::vector<testing::SampleLayer> layers;
    for (uint32_t seed = 11; seed <= 13; ++seed) layers.push_back(testing::MakeSampleLayer(seed));
    image_ = testing::Publish(store_, std::move(layers), repository);
    store_->ResetCounts();
  }
};

TEST_F(WholeImageTest, TheFirstLayerBringsTheWholeImageAndTheOthersAskTheStoreForNothingOfIt) {
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  store_->ResetCounts();
  ASSERT_OK(Pull(0));
  EXPECT_TRUE(WholeIsHere());
  EXPECT_TRUE(testing::Eventually([this] { return CountFiles("images") == 2; }));  // it is built
  EXPECT_EQ(images_->BootPackStats().packs, 1U);
  EXPECT_EQ(store_->ReadsOf(RecordOf(1)), 0U) << "it is in the boot pack";
  EXPECT_EQ(store_->ReadsOf(RecordOf(2)), 0U);
  // Its own record a layer need not wait for.
  EXPECT_LE(store_->ReadsOf(RecordOf(0)), 1U);
  images_->WaitForBackgroundForTest();
  ASSERT_TRUE(testing::Eventually([this] { return images_->boots_for_test().IdleForTest(); }));
  EXPECT_GT(images_->BootPackStats().chunks, 0U);
  store_->ResetCounts();
  ASSERT_OK(Pull(1));
  ASSERT_OK(Pull(2));
  EXPECT_EQ(LayersOf(image_.chains[1]).size(), 2U);
  for (const std::string prefix : {"manifests/", "records/", "grants/", "images/", "boot/"}) {
    EXPECT_EQ(ReadsBelow(prefix), 0U) << prefix;
  }
}

TEST_F(WholeImageTest, WithoutABootPackTheRecordsComeAtOnce) {
  ASSERT_OK(Pull(0));
  EXPECT_TRUE(WholeIsHere());
  for (size_t layer = 0; layer < 3; ++layer) EXPECT_EQ(store_->ReadsOf(RecordOf(layer)), 1U);
}

TEST_F(WholeImageTest, ItsBuildDoesNotWaitForAnotherLayer) {
  build_delay_ = std::chrono::hours(1);
  RestartNode();
  ASSERT_OK(Pull(0));
  EXPECT_TRUE(testing::Eventually([this] { return CountFiles("images") == 2; }));
}

TEST_F(WholeImageTest, HintsThatSayTooLittleChangeNothing) {
  for (const char* const missing : {"image-ref", "manifest-digest", "image-layers"}) {
    EmptyTheNode();
    store_->ResetCounts();
    Labels hints = HintsOf(0);
    hints.erase("containerd.io/snapshot/cri." + std::string(missing));
    ASSERT_OK(images_->Ensure(image_.chains[0], hints));
    EXPECT_EQ(ReadsBelow("images/"), 0U) << missing;
    EXPECT_FALSE(WholeIsHere()) << missing;
  }
}

TEST_F(WholeImageTest, AnImageWithoutAnEntryCostsOneQuestionMoreForAllItsLayers) {
  ASSERT_OK(store_->Remove(EntryName()));
  ASSERT_OK(Pull(0));
  ASSERT_OK(Pull(1));
  EXPECT_EQ(store_->ReadsOf(EntryName()), 1U);
  EXPECT_EQ(store_->ReadsOf(ManifestOf(image_.chain())), 0U);
  EXPECT_EQ(store_->ReadsOf(RecordOf(2)), 0U);
}

// The name is another image's, all of whose layers are known: nothing of it comes.
TEST_F(WholeImageTest, ALayerThatIsNotPublishedBringsNothingOfTheImageThatItNames) {
  EXPECT_THAT(images_->Ensure(Sha256::Of("unknown"), HintsOf(0)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(WholeIsHere());
  EXPECT_EQ(ReadsBelow("records/"), 0U);
  ExpectNothingLeft();
}

TEST_F(WholeImageTest, ANameThatLeadsToAnotherImageByNowBringsNothingUnasked) {
  Labels hints = HintsOf(0);
  hints["containerd.io/snapshot/cri.manifest-digest"] = Sha256::Of("of before").ToString();
  ASSERT_OK(images_->Ensure(image_.chains[0], hints));
  EXPECT_EQ(store_->ReadsOf(ManifestOf(image_.chain())), 0U);
  EXPECT_FALSE(WholeIsHere());
  EXPECT_EQ(LayersOf(image_.chains[0]).size(), 1U);
}

TEST_F(WholeImageTest, AnEntryThatLeadsToAnImageWithoutThatLayerBringsNothingUnasked) {
  const auto other = testing::Publish(store_, std::vector<uint32_t>{7, 8});
  LeadEntryTo(other.chain());
  ASSERT_OK(Pull(0));
  EXPECT_FALSE(WholeIsHere());
  EXPECT_EQ(store_->ReadsOf(ManifestOf(other.chain())), 1U);
  EXPECT_TRUE(LayersOf(other.chain()).empty());
  EXPECT_FALSE(WholeIsHere());
  EXPECT_EQ(LayersOf(image_.chains[0]).size(), 1U);
  for (const ManifestLayer& layer : other.manifest) {
    EXPECT_EQ(store_->ReadsOf("records/" + layer.record.ToHex()), 0U);
  }
}

TEST_F(WholeImageTest, AnEntryThatLeadsToTheLayerItselfBringsTheLayer) {
  LeadEntryTo(image_.chains[0]);
  ASSERT_OK(Pull(0));
  EXPECT_EQ(LayersOf(image_.chains[0]).size(), 1U);
  EXPECT_FALSE(WholeIsHere());
}

TEST_F(WholeImageTest, AManifestThatNamesTheRecordsOfOtherLayersBringsNothing) {
  Manifest manifest;
  manifest.chain_id = image_.chain();
  manifest.platform = {"linux", "amd64", ""};
  manifest.layers = image_.manifest;
  std::swap(manifest.layers[1].record, manifest.layers[2].record);
  ASSERT_OK(store_->Replace(ManifestOf(image_.chain()), EncodeManifest(manifest, nullptr)));
  ASSERT_OK(Pull(0));
  EXPECT_FALSE(WholeIsHere());
  EXPECT_EQ(LayersOf(image_.chains[0]).size(), 1U);
  ASSERT_OK(Pull(1));
  EXPECT_THAT(Pull(2), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(WholeImageTest, AnImageWhoseManifestNobodySignedDoesNotComeWithALayerThatSomebodyDid) {
  const SigningKey key = SigningKey::Generate();
  trust_.keys = {key.public_key()};
  trust_.insecure = false;
  RestartNode();
  Manifest layer;
  layer.chain_id = image_.chains[0];
  layer.platform = {"linux", "amd64", ""};
  layer.layers = {image_.manifest[0]};
  ASSERT_OK(store_->Replace(ManifestName(layer.chain_id, key.public_key().id()),
                            EncodeManifest(layer, &key)));
  const Grant grant{layer.chain_id, ""};
  ASSERT_OK(store_->Replace(GrantName(grant, key.public_key().id()), EncodeGrant(grant, &key)));
  ASSERT_OK(Pull(0));
  EXPECT_FALSE(WholeIsHere());
  EXPECT_THAT(Pull(1), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(WholeImageTest, AnImageWhoseEntryIsDamagedOrMissingIsPulledLayerByLayer) {
  ASSERT_OK(store_->Replace(EntryName(), "rubbish"));
  ASSERT_OK(Pull(0));
  EXPECT_FALSE(WholeIsHere());
  EmptyTheNode();
  ASSERT_OK(store_->Remove(EntryName()));
  ASSERT_OK(Pull(0));
  ASSERT_OK(Pull(1));
  ASSERT_OK(Pull(2));
  EXPECT_TRUE(WholeIsHere());
}

// All that are asked for the whole's sake: entry, manifest, grant, two records, boot pack.
TEST_F(WholeImageTest, AnyFailingReadOfTheWholeLeavesTheLayerItsOrdinaryWay) {
  std::vector<std::string> names = {EntryName(), ManifestOf(image_.chain()), RecordOf(1),
                                    RecordOf(2), BootPackName(image_.chain())};
  ASSERT_OK_AND_ASSIGN(const auto grants, store_->List("grants/" + image_.chain().ToHex() + "/"));
  names.insert(names.end(), grants.begin(), grants.end());
  ASSERT_EQ(names.size(), 6U);
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  for (const std::string& failing : names) {
    EmptyTheNode();
    // Without the boot pack, the records are asked for one by one.
    faulty_->SetReadFilter([&failing](std::string_view name, uint64_t, std::string* bytes) {
      if (name == failing || name.starts_with("boot/")) *bytes = "rubbish";
    });
    EXPECT_OK(Pull(0)) << failing;
    EXPECT_EQ(LayersOf(image_.chains[0]).size(), 1U);
    EXPECT_EQ(WholeIsHere(), failing.starts_with("boot/")) << failing;
    faulty_->SetReadFilter(nullptr);
    EXPECT_OK(Pull(1));
    EXPECT_OK(Pull(2));
    EXPECT_EQ(LayersOf(image_.chain()).size(), 3U);
  }
}

TEST_F(WholeImageTest, AStoreThatKeepsTheEntryTakesHalfOfTheBudget) {
  store_->HoldReads("images/");
  auto ensured = std::async(std::launch::async, [this] { return Pull(0); });
  store_->WaitForHeldReads(1);
  const auto begun = clock_.Monotonic();
  WhileTimePasses(ensured);
  EXPECT_OK(ensured.get());
  EXPECT_LT(clock_.Monotonic() - begun, StoreGateway::Options().budget);
  EXPECT_FALSE(WholeIsHere());
  EXPECT_EQ(images_->DescribeGateway().error, "") << "no reason to doubt the store";
  store_->ReleaseReads();
}

TEST_F(WholeImageTest, AStoreThatKeepsARecordOfTheWholeLeavesTheLayerEnoughOfTheBudget) {
  std::atomic<int> came = 0;
  faulty_->SetReadFilter([&](std::string_view name, uint64_t, std::string*) {
    if (name == RecordOf(0) || name == RecordOf(1)) ++came;
  });
  store_->HoldReads(RecordOf(2));
  auto ensured = std::async(std::launch::async, [this] { return Pull(0); });
  store_->WaitForHeldReads(1);
  ASSERT_TRUE(testing::Eventually([&] { return came == 2; }));
  const auto begun = clock_.Monotonic();
  WhileTimePasses(ensured);
  EXPECT_OK(ensured.get());
  EXPECT_LT(clock_.Monotonic() - begun, StoreGateway::Options().budget);
  auto here = std::async(std::launch::async, [this] { return WholeIsHere(); });
  WhileTimePasses(here);
  EXPECT_FALSE(here.get());
  EXPECT_EQ(LayersOf(image_.chains[0]).size(), 1U);
  // What came is not read again.
  EXPECT_EQ(store_->ReadsOf(RecordOf(0)), 1U);
  store_->ReleaseReads();
  ASSERT_OK(Pull(1));
  EXPECT_EQ(store_->ReadsOf(RecordOf(1)), 1U);
  ASSERT_OK(Pull(2));
}

TEST_F(WholeImageTest, ItsOwnPullDoesNotTakeOverThatItDidNotComeInTimeWithALayer) {
  store_->HoldReads(RecordOf(2));
  auto layer = std::async(std::launch::async, [this] { return Pull(0); });
  store_->WaitForHeldReads(1);
  auto top = std::async(std::launch::async, [this] { return Pull(2); });
  EXPECT_OK(layer.get());
  auto asks_itself = std::async(std::launch::async, [this] { return store_->WaitForHeldReads(2); });
  WhileTimePasses(asks_itself);
  store_->ReleaseReads();
  EXPECT_OK(top.get());
  EXPECT_TRUE(WholeIsHere());
}

TEST_F(WholeImageTest, AStoreThatIsSlowIsAskedForTheLayerAlone) {
  store_->HoldReads("manifests/");
  auto ensured = std::async(std::launch::async, [this] { return Pull(0); });
  store_->WaitForHeldReads(1);
  clock_.Advance(StoreGateway::Options().budget * 2 / 5);
  store_->ReleaseReads();
  EXPECT_OK(ensured.get());
  EXPECT_FALSE(WholeIsHere());
  // Its manifest was asked for meanwhile, and nothing is made of it.
  EXPECT_EQ(store_->ReadsOf(RecordOf(2)), 0U);
  EXPECT_EQ(store_->ReadsOf(BootPackName(image_.chain())), 0U);
}

TEST_F(WholeImageTest, AStoreThatIsNotAskedIsNotAskedForTheWholeEither) {
  faulty_->FailFrom(1, Unavailable("down"));
  for (int i = 0; i < CircuitBreaker::Options().failures_to_open; ++i) {
    EXPECT_THAT(images_->Ensure(image_.chain(), {}), StatusIs(absl::StatusCode::kUnavailable));
  }
  ASSERT_TRUE(testing::Eventually([this] { return images_->boots_for_test().IdleForTest(); }));
  const uint64_t calls = faulty_->calls();
  EXPECT_THAT(Pull(0), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(faulty_->calls(), calls);
  faulty_->Heal();
  clock_.Advance(CircuitBreaker::Options().open_for);
  ASSERT_OK(Pull(0));
  EXPECT_TRUE(WholeIsHere());
}

TEST_F(WholeImageTest, APullThatIsGivenUpKeepsTheImageForAMinute) {
  ASSERT_OK(Pull(0));
  ASSERT_OK(images_->Collect());
  EXPECT_TRUE(WholeIsHere());
  clock_.Advance(WholeImages::kKept);
  ASSERT_OK(images_->Collect());
  EXPECT_FALSE(WholeIsHere());
  ExpectNothingLeft();
}

TEST_F(WholeImageTest, APullThatIsDoneKeepsNothing) {
  for (size_t layer = 0; layer < 3; ++layer) ASSERT_OK(Pull(layer));
  images_->WaitForBackgroundForTest();
  ASSERT_OK(images_->Collect());
  ExpectNothingLeft();
  ASSERT_OK(Pull(0));
  EXPECT_TRUE(WholeIsHere()) << "it is brought again";
}

TEST_F(WholeImageTest, AnImageThatIsHereAlreadyIsNotReadAgain) {
  ASSERT_OK(images_->Ensure(image_.chain(), {}));
  AddSnapshot(image_.chain());
  images_->WaitForBackgroundForTest();
  store_->ResetCounts();
  for (size_t layer = 0; layer < 3; ++layer) ASSERT_OK(Pull(layer));
  EXPECT_EQ(ReadsBelow("records/"), 0U);
}

TEST_F(WholeImageTest, WhoMayNotHaveAnImageDoesNotEndTheBootPackOfWhoMay) {
  private_by_cri_annotations_ = true;
  RestartNode();
  PublishPrivately("example.org/app");
  testing::WriteBootPackOf(store_, image_, testing::AllChunks(image_));
  // Its first layer is for everybody, and another name leads to it.
  testing::Publish(store_, {image_.layers[0]});
  LeadEntryTo(image_.chain());
  ASSERT_OK_AND_ASSIGN(const std::string entry,
                       store_->ReadWhole(EntryName(), kMaxImageEntryBytes));
  ASSERT_OK(
      store_->Replace(ImageName("docker://example.org/other:v1", {"linux", "amd64", ""}), entry));
  store_->HoldReads("boot/");
  auto mine = std::async(std::launch::async, [this] { return Pull(2); });
  store_->WaitForHeldReads(1);
  Labels others = HintsOf(0);
  others["containerd.io/snapshot/cri.image-ref"] = "example.org/other:v1";
  ASSERT_OK(images_->Ensure(image_.chains[0], others));
  images_->WaitForBackgroundForTest();
  store_->ReleaseReads();
  ASSERT_OK(mine.get());
  ASSERT_TRUE(testing::Eventually([this] { return images_->boots_for_test().IdleForTest(); }));
  EXPECT_EQ(images_->BootPackStats().requests, 1U) << "it was asked for again";
}

TEST_F(WholeImageTest, APrivateImageDoesNotComeByItsName) {
  PublishPrivately("example.org/app");
  // Its first layer is for everybody, the rest is not.
  testing::Publish(store_, {image_.layers[0]});
  LeadEntryTo(image_.chain());
  ASSERT_OK(Pull(0));
  EXPECT_FALSE(WholeIsHere());
  for (size_t layer : {1U, 2U}) {
    EXPECT_EQ(store_->ReadsOf(RecordOf(layer)), 0U);
    EXPECT_THAT(Pull(layer), StatusIs(absl::StatusCode::kUnauthenticated));
  }
  ASSERT_TRUE(testing::Eventually([this] { return images_->boots_for_test().IdleForTest(); }));
  EXPECT_EQ(ReadsBelow("packs/"), 0U);
}

TEST_F(WholeImageTest, APrefixOfAPrivateImageIsForItsReadersAlone) {
  private_by_cri_annotations_ = true;
  RestartNode();
  PublishPrivately("example.org/app");
  ASSERT_OK(Pull(0));
  ASSERT_TRUE(WholeIsHere());
  EXPECT_THAT(images_->Ensure(image_.chains[1], {}), StatusIs(absl::StatusCode::kUnauthenticated));
  Labels others = HintsOf(1);
  others["containerd.io/snapshot/cri.image-ref"] = "example.org/other:v1";
  EXPECT_THAT(images_->Ensure(image_.chains[1], others),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(images_->Ensure(image_.chain(), others),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_OK(Pull(1));
  EXPECT_OK(Pull(2));
}

TEST_F(WholeImageTest, APrefixOfAPrivateImageThatEverybodyMayHaveIsAskedAboutOnce) {
  private_by_cri_annotations_ = true;
  RestartNode();
  PublishPrivately("example.org/app");
  testing::Publish(store_, {image_.layers[0], image_.layers[1]});
  LeadEntryTo(image_.chain());
  ASSERT_OK(Pull(0));
  ASSERT_TRUE(WholeIsHere());
  ASSERT_OK(Pull(1));
  ASSERT_EQ(store_->ReadsOf(ManifestOf(image_.chains[1])), 0U) << "the whole's was enough";
  for (int i = 0; i < 3; ++i) EXPECT_OK(images_->Ensure(image_.chains[1], {}));
  EXPECT_EQ(store_->ReadsOf(ManifestOf(image_.chains[1])), 1U);
}

TEST_F(WholeImageTest, LabelsThatNobodyPullsByAreAskedAboutSoOftenAndNoMore) {
  for (size_t i = 0; i < WholeImages::kMaxPulls + 10; ++i) {
    Labels hints = HintsOf(0);
    hints["containerd.io/snapshot/cri.manifest-digest"] = Sha256::Of(std::to_string(i)).ToString();
    ASSERT_OK(images_->Ensure(image_.chains[0], hints));
    ASSERT_OK(images_->Collect());
  }
  EXPECT_EQ(store_->ReadsOf(EntryName()), WholeImages::kMaxPulls);
  EXPECT_EQ(store_->ReadsOf(ManifestOf(image_.chain())), 0U);
}

}  // namespace
}  // namespace slacker
