#include "backend/publish/boot_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/base/status.h"
#include "backend/publish/trace_publisher.h"
#include "backend/store/names.h"
#include "tests/support/fake_backend.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/published_image.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::IsEmpty;
using testing::StatusIs;

constexpr char kRunsBig[] = R"({"config": {"Entrypoint": ["/script", "/big"]}})";

// An image whose entrypoint is a script, with a large file as its argument.
class BootPublisherTest : public ::testing::Test {
 protected:
  BootPublisherTest() {
    testing::SampleLayer layer = testing::MakeBigLayer(4, 1);
    testing::AddSampleFile(&layer, 0, "script", "#!/none\n");
    image_ = testing::Publish(store_, std::vector<testing::SampleLayer>{std::move(layer)});
  }

  absl::Status Publish(const std::string& config_json) {
    return PublishBootPack(faulty_, image_.chain(), {image_.manifest[0].record}, config_json, key_,
                           trusted_);
  }
  std::string Pack() {
    auto pack = store_->ReadWhole(BootPackName(image_.chain()), 64 << 20);
    return pack.ok() ? *pack : "";
  }
  uint32_t ChunksInPack() {
    uint32_t chunks = 0;
    const auto table = DecodeBootTable(Pack(), image_.chain());
    EXPECT_OK(table);
    for (const auto& window : table->windows) {
      for (const ChunkRun& run : window.runs) chunks += run.count;
    }
    return chunks;
  }

  const std::shared_ptr<testing::FakeBackend> store_ = std::make_shared<testing::FakeBackend>();
  const std::shared_ptr<testing::FaultyBackend> faulty_ =
      std::make_shared<testing::FaultyBackend>(store_);
  testing::PublishedImage image_;
  const SigningKey* key_ = nullptr;
  std::vector<PublicKey> trusted_;
};

TEST_F(BootPublisherTest, WhatTheConfigurationRunsIsInThePack) {
  ASSERT_OK(Publish(kRunsBig));
  EXPECT_EQ(ChunksInPack(), 6U) << "five of the file, and the script";
}

TEST_F(BootPublisherTest, WhatIsThereIsNotWrittenAgainNorReadFurther) {
  ASSERT_OK(Publish(kRunsBig));
  store_->ResetCounts();
  ASSERT_OK(Publish(kRunsBig));
  EXPECT_EQ(store_->counts().writes, 0U);
  EXPECT_EQ(store_->counts().reads, 1U);
  EXPECT_EQ(store_->counts().stats, 1U);
}

TEST_F(BootPublisherTest, AnotherCommandIsAnotherPack) {
  ASSERT_OK(Publish(R"({"config": {"Cmd": ["/script"]}})"));
  EXPECT_EQ(ChunksInPack(), 1U);
  ASSERT_OK(Publish(kRunsBig));
  EXPECT_EQ(ChunksInPack(), 6U);
}

TEST_F(BootPublisherTest, AnImageWithoutACommandHasAPackWithItsRecords) {
  for (const char* config : {"{}", R"({"config": null})", R"({"config": {"Entrypoint": "sh"}})",
                             R"({"config": {"Entrypoint": [1], "Cmd": {}, "Env": 7}})"}) {
    ASSERT_OK(store_->Remove(BootPackName(image_.chain())));
    ASSERT_OK(Publish(config));
    EXPECT_EQ(ChunksInPack(), 0U);
    ASSERT_OK_AND_ASSIGN(const BootTable table, DecodeBootTable(Pack(), image_.chain()));
    EXPECT_GT(table.records[0].bytes, 0U);
  }
}

TEST_F(BootPublisherTest, AnImageThatIsDamagedInTheStoreCostsOnlyThePack) {
  faulty_->SetReadFilter([](std::string_view name, uint64_t, std::string* bytes) {
    if (name.starts_with(kPacksPrefix)) bytes->assign(bytes->size(), 'x');
  });
  EXPECT_OK(Publish(kRunsBig));
  EXPECT_EQ(Pack(), "");
  faulty_->SetReadFilter(nullptr);
  EXPECT_OK(Publish(kRunsBig));
  EXPECT_EQ(ChunksInPack(), 6U);
}

// Nodes that trust the key use no pack of this image until somebody has mended it.
TEST_F(BootPublisherTest, APackWithAWrongSignatureIsReplacedByWhatWasSeenOrElseAGuess) {
  const SigningKey key = SigningKey::Generate();
  key_ = &key;
  const auto damage_signature = [this] {
    std::string pack = Pack();
    const auto table_end = BootTableBytes(pack);
    ASSERT_OK(table_end);
    pack[*table_end - 1] ^= 1;
    ASSERT_OK(store_->Replace(BootPackName(image_.chain()), pack));
  };
  const auto manifest = StoreReader(store_).ReadManifest(image_.chain());
  ASSERT_OK(manifest);
  const StartTrace start{image_.chain(), {image_.manifest[0].record}, 1, {{0, 1, 2, 1}}};
  ASSERT_OK(PublishTraces(store_, *manifest, {start}, key_));
  const std::string seen = Pack();
  damage_signature();
  ASSERT_OK(Publish(kRunsBig));
  EXPECT_TRUE(Pack() == seen);

  damage_signature();
  ASSERT_OK(RemoveTraces(*store_, image_.chain()));
  ASSERT_OK(Publish(kRunsBig));
  EXPECT_EQ(ChunksInPack(), 6U) << "the guess";
}

// Publishers have keys of their own, and nodes trust them all: they do not rewrite each other's packs.
TEST_F(BootPublisherTest, APackThatATrustedPublisherSignedStays) {
  const SigningKey others = SigningKey::Generate();
  const SigningKey own = SigningKey::Generate();
  const auto manifest = StoreReader(store_).ReadManifest(image_.chain());
  ASSERT_OK(manifest);
  const StartTrace start{image_.chain(), {image_.manifest[0].record}, 1, {{0, 1, 2, 1}}};
  ASSERT_OK(PublishTraces(store_, *manifest, {start}, &others));
  const std::string seen = Pack();
  key_ = &own;
  trusted_ = {others.public_key()};
  ASSERT_OK(Publish(kRunsBig));
  EXPECT_TRUE(Pack() == seen);
  trusted_.clear();
  ASSERT_OK(Publish(kRunsBig));
  const std::vector<PublicKey> keys = {own.public_key()};
  EXPECT_OK(CheckBootSignature(Pack(), keys)) << "made of what was seen, with our key";
}

TEST_F(BootPublisherTest, EveryFailingCallIsToldOrChangesNothing) {
  ASSERT_OK(Publish(kRunsBig));
  const std::string whole = Pack();
  faulty_->Heal();
  ASSERT_OK(store_->Remove(BootPackName(image_.chain())));
  ASSERT_OK(Publish(kRunsBig));
  const uint64_t calls = faulty_->calls();
  ASSERT_GT(calls, 3U);
  for (uint64_t n = 1; n <= calls; ++n) {
    ASSERT_OK(store_->Remove(BootPackName(image_.chain())));
    faulty_->FailCall(n, Unavailable("down"));
    EXPECT_THAT(Publish(kRunsBig), StatusIs(absl::StatusCode::kUnavailable)) << n;
    EXPECT_EQ(Pack(), "");
    faulty_->Heal();
    ASSERT_OK(Publish(kRunsBig));
    EXPECT_EQ(Pack(), whole);
  }
}

}  // namespace
}  // namespace slacker
