#include "backend/publish/verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "backend/publish/signer.h"
#include "backend/publish/trace_publisher.h"
#include "backend/store/boot_pack.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/pack_index.h"
#include "backend/store/reserve.h"
#include "tests/support/published_image.h"
#include "tests/support/read_layer.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/publish/published_image.h"

namespace slacker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::StatusIs;
using ::testing::UnorderedElementsAreArray;

class VerifierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    image_ = layout_.AddImage(testing::SampleLayers());
    ASSERT_OK(testing::PublishLayout(layout_, store_));
  }
  std::string Content(const std::string& name) { return *store_->ReadWhole(name, 64 << 20); }

  const testing::TempDir dir_;
  testing::OciLayout layout_{dir_ / "layout"};
  const std::shared_ptr<Backend> store_ = std::make_shared<MemoryBackend>();
  testing::WrittenImage image_;
};

TEST_F(VerifierTest, AChainThatIsNotPublishedIsNotFound) {
  EXPECT_THAT(VerifyChain(store_, Digest()), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(VerifierTest, EveryChunkOfASoundStoreIsCounted) {
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
  EXPECT_THAT(report.damages, IsEmpty());
  EXPECT_EQ(report.manifests, 3u);
  EXPECT_EQ(report.layers, 3u);
  EXPECT_EQ(report.content_bytes, testing::kSampleToolBytes + 100'003);
  EXPECT_EQ(report.chunks, 5u + 1u + 2u);  // bin/tool, 3 bytes, 100,000 bytes
}

// One flipped bit in the middle of any object is noticed, and the report names the object.
TEST_F(VerifierTest, ADamagedObjectIsReportedByItsName) {
  for (const char* prefix :
       {"manifests/", "records/", "tars/", "heads/", "locations/", "packs/", "boot/", "images/"}) {
    ASSERT_OK_AND_ASSIGN(const auto names, store_->List(prefix));
    ASSERT_FALSE(names.empty()) << prefix;
    for (const std::string& name : names) {
      const std::string sound = Content(name);
      std::string damaged = sound;
      damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x10);
      ASSERT_OK(store_->Replace(name, damaged));
      ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
      EXPECT_THAT(report.damages, Contains(Field(&Damage::object, name)));
      ASSERT_OK(store_->Replace(name, sound));
    }
  }
  EXPECT_THAT(VerifyStore(store_)->damages, IsEmpty());
}

TEST_F(VerifierTest, ATruncatedObjectIsReportedByItsName) {
  ASSERT_OK_AND_ASSIGN(const auto names, store_->List(""));
  for (const std::string& name : names) {
    const std::string sound = Content(name);
    if (name.starts_with(kLayersPrefix)) continue;  // empty; the next test
    if (name == kReserveName) continue;             // it says nothing
    for (const size_t size : {size_t{0}, sound.size() / 2, sound.size() - 1}) {
      ASSERT_OK(store_->Replace(name, sound.substr(0, size)));
      ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
      EXPECT_THAT(report.damages, Contains(Field(&Damage::object, name))) << size;
    }
    ASSERT_OK(store_->Replace(name, sound));
  }
}

TEST_F(VerifierTest, AnObjectThatSaysByItsNameAloneIsReportedWhenItSaysMore) {
  ASSERT_OK_AND_ASSIGN(const auto names, store_->List(kLayersPrefix));
  ASSERT_EQ(names.size(), 3u);
  for (const std::string& name : names) {
    ASSERT_OK(store_->Replace(name, "more"));
    ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
    EXPECT_THAT(report.damages, ElementsAre(Field(&Damage::object, name)));
    ASSERT_OK(store_->Replace(name, ""));
  }
}

TEST_F(VerifierTest, AChunkThatNoLayerWantsIsVerifiedToo) {
  for (const char* prefix : {"manifests/", "images/", "records/", "tars/", "locations/", "boot/"}) {
    ASSERT_OK_AND_ASSIGN(const auto names, store_->List(prefix));
    for (const std::string& name : names) ASSERT_OK(store_->Remove(name));
  }
  ASSERT_OK_AND_ASSIGN(VerifyReport report, VerifyStore(store_));
  EXPECT_THAT(report.damages, IsEmpty());
  EXPECT_EQ(report.packs, store_->List("packs/")->size() / 2);
  const std::string pack = store_->List("packs/")->front();
  ASSERT_OK(store_->Replace(pack, Content(pack) + "x"));
  ASSERT_OK_AND_ASSIGN(report, VerifyStore(store_));
  ASSERT_EQ(report.damages.size(), 1u);
  EXPECT_EQ(report.damages[0].object, pack);
}

// Its own checksum is right; only the pack can tell.
TEST_F(VerifierTest, AnIndexThatDoesNotFitItsPackIsReported) {
  ASSERT_OK_AND_ASSIGN(const auto names, store_->List("packs/"));
  for (const std::string& name : names) {
    const auto pack = ParsePackIndexName(name);
    if (!pack.ok()) continue;
    ASSERT_OK_AND_ASSIGN(PackIndex index, DecodePackIndex(Content(name), *pack));
    index.chunks[0].digest.bytes[5] ^= 1;
    ASSERT_OK(store_->Replace(name, EncodePackIndex(index)));
    ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
    ASSERT_EQ(report.damages.size(), 1u);
    EXPECT_EQ(report.damages[0].object, PackName(*pack));
    EXPECT_THAT(report.damages[0].what, HasSubstr(index.chunks[0].digest.ToString()));
    return;
  }
}

TEST_F(VerifierTest, ARecordThatNoManifestNamesIsVerifiedAsFarAsItIsThere) {
  for (const char* prefix : {"manifests/", "images/"}) {
    ASSERT_OK_AND_ASSIGN(const auto names, store_->List(prefix));
    for (const std::string& name : names) ASSERT_OK(store_->Remove(name));
  }
  const std::string record = store_->List("records/")->front();
  const std::string digest = record.substr(record.find('/') + 1);
  ASSERT_OK(store_->Remove("locations/" + digest));
  ASSERT_OK_AND_ASSIGN(VerifyReport report, VerifyStore(store_));
  EXPECT_THAT(report.damages, IsEmpty());
  EXPECT_EQ(report.loose_records, 3u);
  ASSERT_OK(store_->Replace("tars/" + digest, "damaged"));
  ASSERT_OK_AND_ASSIGN(report, VerifyStore(store_));
  EXPECT_THAT(report.damages, ElementsAre(Field(&Damage::object, "tars/" + digest)));
  ASSERT_OK(store_->Replace(record, "damaged"));
  ASSERT_OK_AND_ASSIGN(report, VerifyStore(store_));
  EXPECT_THAT(report.damages, ElementsAre(Field(&Damage::object, record),
                                          Field(&Damage::object, "tars/" + digest)));
}

// What a publication that died, or a collection, leaves: each without what would lead to it.
TEST_F(VerifierTest, PartsWithoutARecordAndPacksWithoutAnIndexAreVerifiedToo) {
  ASSERT_OK_AND_ASSIGN(const auto all, store_->List(""));
  for (const std::string& name : all) {
    const bool part = name.starts_with(kTarsPrefix) || name.starts_with(kLocationsPrefix);
    const bool pack = name.starts_with(kPacksPrefix) && !name.ends_with(".idx");
    if (part || pack || name == kReserveName) continue;
    ASSERT_OK(store_->Remove(name));
  }
  ASSERT_OK_AND_ASSIGN(VerifyReport report, VerifyStore(store_));
  EXPECT_THAT(report.damages, IsEmpty());
  EXPECT_EQ(report.loose_parts, 6u);
  EXPECT_EQ(report.loose_packs, store_->List(kPacksPrefix)->size());
  EXPECT_EQ(report.packs, 0u);
  ASSERT_OK_AND_ASSIGN(const auto names, store_->List(""));
  for (const std::string& name : names) {
    if (name == kReserveName) continue;
    const std::string sound = Content(name);
    for (const size_t at : {size_t{0}, sound.size() / 2, sound.size() - 1, sound.size()}) {
      std::string damaged = sound.substr(0, at);
      if (at < sound.size()) {
        damaged += static_cast<char>(sound[at] ^ 1) + sound.substr(at + 1);
      } else {
        damaged.pop_back();
      }
      ASSERT_OK(store_->Replace(name, damaged));
      ASSERT_OK_AND_ASSIGN(report, VerifyStore(store_));
      EXPECT_THAT(report.damages, ElementsAre(Field(&Damage::object, name))) << at;
    }
    ASSERT_OK(store_->Replace(name, sound));
  }
}

TEST_F(VerifierTest, WhatADamagedRecordOrIndexWouldLeadToIsVerifiedAllTheSame) {
  for (const auto& [damaged, led_to] : std::vector<std::pair<std::string, std::string>>{
           {"records/", "tars/"}, {"records/", "locations/"}, {".idx", "packs/"}}) {
    ASSERT_OK_AND_ASSIGN(const auto names, store_->List(led_to));
    const std::string& name = names.front();
    const std::string leads =
        damaged == ".idx" ? name + damaged : damaged + name.substr(led_to.size());
    const std::string sound[] = {Content(name), Content(leads)};
    ASSERT_OK(store_->Replace(name, sound[0].substr(0, sound[0].size() - 1)));
    ASSERT_OK(store_->Replace(leads, "damaged"));
    ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
    EXPECT_THAT(report.damages, Contains(Field(&Damage::object, name)));
    EXPECT_THAT(report.damages, Contains(Field(&Damage::object, leads)));
    ASSERT_OK(store_->Replace(name, sound[0]));
    ASSERT_OK(store_->Replace(leads, sound[1]));
  }
}

TEST_F(VerifierTest, ProgressEndsWithAllObjectsOfEachKindAndAllBytes) {
  std::map<std::string, VerifyProgress> last;
  uint64_t before = 0;
  ASSERT_OK_AND_ASSIGN(const VerifyReport report,
                       VerifyStore(store_, {}, [&](const VerifyProgress& progress) {
                         EXPECT_GE(progress.read_bytes, before);
                         before = progress.read_bytes;
                         last[std::string(progress.below)] = progress;
                       }));
  for (const auto& [below, progress] : last) {
    EXPECT_EQ(progress.objects, store_->List(below)->size()) << below;
    EXPECT_EQ(progress.done + 1, progress.objects) << below;  // told before the last one is done
  }
  uint64_t pack_bytes = 0;
  ASSERT_OK_AND_ASSIGN(const auto packs, store_->List(kPacksPrefix));
  for (const std::string& name : packs) {
    if (!name.ends_with(".idx")) pack_bytes += Content(name).size();
  }
  EXPECT_EQ(before, report.content_bytes + pack_bytes);
}

// Its tar part and its chunks give back the tar that the image has; but nodes mount the record's tree.
TEST_F(VerifierTest, ARecordThatSaysSomethingElseThanItsTarIsReportedAndNotSigned) {
  ASSERT_OK_AND_ASSIGN(testing::ReadLayer read, testing::Read(testing::SampleTars()[0]));
  testing::SampleLayer sample;
  for (const Chunk& chunk : read.layer.chunks) {
    sample.chunks.push_back(read.chunks.at(chunk.digest));
  }
  sample.layer = std::move(read.layer);
  const std::shared_ptr<Backend> store = std::make_shared<MemoryBackend>();
  testing::Publish(store, {sample});
  EXPECT_THAT(VerifyStore(store)->damages, IsEmpty());
  for (Node& node : sample.layer.nodes) {
    if (node.type == NodeType::kRegular) node.mode |= 04000;
  }
  const testing::PublishedImage forged = testing::Publish(store, {sample});
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store));
  ASSERT_EQ(report.damages.size(), 1U);
  EXPECT_EQ(report.damages[0].object, RecordName(forged.manifest[0].record));
  ASSERT_OK_AND_ASSIGN(const SignReport left,
                       SignManifests(store, forged.chain(), SigningKey::Generate(), {}, {}));
  EXPECT_EQ(left.manifests, 0U);
  EXPECT_EQ(left.damages.size(), 1U);
}

TEST_F(VerifierTest, AMissingObjectIsReported) {
  for (const char* prefix : {"records/", "tars/", "locations/", "packs/"}) {
    ASSERT_OK_AND_ASSIGN(const auto names, store_->List(prefix));
    for (const std::string& name : names) {
      if (name.ends_with(".idx")) continue;  // nobody misses it but the next publisher
      const std::string sound = Content(name);
      ASSERT_OK(store_->Remove(name));
      ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
      EXPECT_THAT(report.damages, Not(IsEmpty())) << name;
      ASSERT_OK(store_->Put(name, sound));
    }
  }
}

TEST_F(VerifierTest, DamageBehindDamageIsReportedToo) {
  ASSERT_OK_AND_ASSIGN(const auto names, store_->List("packs/"));
  for (const std::string& name : names) {
    if (name.ends_with(".idx")) continue;
    ASSERT_OK(store_->Replace(name, ""));
  }
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyChain(store_, image_.chain_id));
  EXPECT_EQ(report.damages.size(), report.chunks);
  EXPECT_THAT(report.damages[0].object, HasSubstr("chunk sha256:"));
}

TEST_F(VerifierTest, AnImageEntryWithoutItsManifestIsReported) {
  ASSERT_OK_AND_ASSIGN(const auto names, store_->List("manifests/"));
  for (const std::string& name : names) ASSERT_OK(store_->Remove(name));
  ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(store_));
  ASSERT_EQ(report.damages.size(), 1u);
  EXPECT_THAT(report.damages[0].what, HasSubstr(image_.chain_id.ToString()));
}

// Pulls begin at the bottom, and are lazy as far as there are manifests.
TEST_F(VerifierTest, AManifestMissingBelowAnImageIsReported) {
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, StoreReader(store_).ReadManifest(image_.chain_id));
  std::vector<Digest> below = PrefixChains(manifest);
  below.pop_back();
  ASSERT_EQ(below.size(), 2u);
  std::vector<std::string> missing;
  for (const Digest& chain : below) {
    missing.push_back(ManifestName(chain, std::nullopt));
    ASSERT_OK(store_->Remove(missing.back()));
    ASSERT_OK(store_->Put(missing.back() + ".txt", "no manifest"));
    for (const auto& report : {VerifyStore(store_), VerifyChain(store_, image_.chain_id)}) {
      ASSERT_OK(report);
      std::vector<std::string> damaged;
      for (const Damage& damage : report->damages) damaged.push_back(damage.object);
      EXPECT_THAT(damaged, UnorderedElementsAreArray(missing));
    }
  }
  // What no image stands on is garbage.
  ASSERT_OK_AND_ASSIGN(const auto images, store_->List(kImagesPrefix));
  for (const std::string& name : images) ASSERT_OK(store_->Remove(name));
  EXPECT_THAT(VerifyStore(store_)->damages, IsEmpty());
}

// Whom nodes believe: what they would say is reported, chain by chain.
class UntrustedTest : public VerifierTest {
 protected:
  // What is wrong, of how many chains.
  std::map<std::string, size_t> Untrusted(const std::vector<PublicKey>& keys) {
    const auto report = VerifyStore(store_, {.keys = keys});
    EXPECT_OK(report);
    damages_ = report->damages;
    std::map<std::string, size_t> counts;
    for (const Damage& chain : report->untrusted) ++counts[chain.what];
    return counts;
  }

  const SigningKey key_ = SigningKey::Generate();
  const SigningKey strangers_ = SigningKey::Generate();
  const std::vector<PublicKey> trusted_ = {key_.public_key()};
  const std::string unsigned_ = "not signed by a trusted key";
  const std::string granted_to_nobody_ = "for nobody: no grant is signed by a trusted key";
  std::vector<Damage> damages_;
};

TEST_F(UntrustedTest, WithoutKeysEverythingIsBelieved) { EXPECT_THAT(Untrusted({}), IsEmpty()); }

TEST_F(UntrustedTest, WhatIsUnsignedOrSignedByAStrangerIsReported) {
  EXPECT_THAT(Untrusted(trusted_), ElementsAre(std::pair(unsigned_, 3u)));
  ASSERT_OK(SignManifests(store_, std::nullopt, strangers_, {}, {""}));
  EXPECT_THAT(Untrusted(trusted_), ElementsAre(std::pair(unsigned_, 3u)));
  EXPECT_THAT(Untrusted({strangers_.public_key()}), IsEmpty());
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, {.keys = {strangers_.public_key()}}, {}));
  EXPECT_THAT(Untrusted(trusted_), IsEmpty());
  EXPECT_THAT(Untrusted({strangers_.public_key(), key_.public_key()}), IsEmpty());
}

TEST_F(UntrustedTest, AWrongSignatureIsDamageAndNoSignature) {
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, {}, {""}));
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, StoreReader(store_).ReadManifest(image_.chain_id));
  const std::string name = ManifestName(image_.chain_id, key_.public_key().id());
  ASSERT_OK(store_->Replace(name, EncodeManifest(manifest, &strangers_)));
  EXPECT_THAT(Untrusted(trusted_), ElementsAre(std::pair(unsigned_, 1u)));
  ASSERT_EQ(damages_.size(), 1u);
  EXPECT_EQ(damages_[0].object, name);
}

TEST_F(UntrustedTest, ABootPackWhosePagesAStrangerSignedIsReportedAndAWrongSignatureIsDamage) {
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, {}, {""}));
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, StoreReader(store_).ReadManifest(image_.chain_id));
  StartTrace start{image_.chain_id, {}, 1, {{0, 3, 2, 1}}};
  for (const ManifestLayer& layer : manifest.layers) start.records.push_back(layer.record);
  const std::string name = BootPackName(image_.chain_id);
  ASSERT_OK(PublishTraces(store_, manifest, {start}, &strangers_));
  EXPECT_THAT(Untrusted({}), IsEmpty());
  EXPECT_THAT(Untrusted(trusted_),
              ElementsAre(std::pair("its pages are not signed by a trusted key", 1u)));
  EXPECT_THAT(damages_, IsEmpty());
  ASSERT_OK_AND_ASSIGN(VerifyReport chain, VerifyChain(store_, image_.chain_id, {trusted_}));
  ASSERT_EQ(chain.untrusted.size(), 1u);
  EXPECT_EQ(chain.untrusted[0].object, name);

  ASSERT_OK(PublishTraces(store_, manifest, {}, &key_));
  EXPECT_THAT(Untrusted(trusted_), IsEmpty());
  EXPECT_THAT(damages_, IsEmpty());
  std::string pack = Content(name);
  ASSERT_OK_AND_ASSIGN(const size_t table_end, BootTableBytes(pack));
  pack[table_end - 1] ^= 1;
  ASSERT_OK(store_->Replace(name, pack));
  EXPECT_THAT(Untrusted(trusted_), IsEmpty());
  ASSERT_EQ(damages_.size(), 1u);
  EXPECT_EQ(damages_[0].object, name);
  EXPECT_THAT(damages_[0].what, HasSubstr("signature is wrong"));
  ASSERT_OK_AND_ASSIGN(chain, VerifyChain(store_, image_.chain_id, {trusted_}));
  EXPECT_EQ(chain.damages.size(), 1u);
}

TEST_F(UntrustedTest, ASignedChainWhoseGrantsAreNotIsReported) {
  ASSERT_OK(SignManifests(store_, std::nullopt, key_, {}, {""}));
  ASSERT_OK(store_->Remove(GrantName({image_.chain_id, ""}, key_.public_key().id())));
  EXPECT_THAT(Untrusted(trusted_), ElementsAre(std::pair(granted_to_nobody_, 1u)));
}

}  // namespace
}  // namespace slacker
