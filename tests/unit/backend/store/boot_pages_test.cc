// Boot packs with pages: what vouches for them.
#include <gtest/gtest.h>

#include "backend/store/boot_pack.h"
#include "backend/store/names.h"
#include "tests/support/fake_backend.h"
#include "tests/support/published_image.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

class BootPagesTest : public ::testing::Test {
 protected:
  BootPagesTest()
      : image_(testing::Publish(
            store_, {testing::MakeLayerOfBigChunks(20, 1), testing::MakeBigLayer(30, 2)})) {}

  std::string Pack(const std::vector<ChunkRun>& pages, const SigningKey* key) {
    testing::WritePagePackOf(store_, image_, pages, key);
    const auto pack = store_->ReadWhole(BootPackName(image_.chain()), 64 << 20);
    EXPECT_OK(pack);
    return *pack;
  }

  const std::shared_ptr<testing::FakeBackend> store_ = std::make_shared<testing::FakeBackend>();
  const testing::PublishedImage image_;
  const SigningKey key_ = SigningKey::Generate();
  const std::vector<PublicKey> trusted_ = {SigningKey::Generate().public_key(), key_.public_key()};
};

TEST_F(BootPagesTest, PagesComeBackInTheirOrderAlsoAcrossWindowsAndChunkEnds) {
  const std::vector<ChunkRun> pages = {{0, 15, 270}, {1, 2, 9}, {0, 3, 1}, {0, 300, 2}};
  const std::string pack = Pack(pages, nullptr);
  ASSERT_OK_AND_ASSIGN(const BootTable table, DecodeBootTable(pack, image_.chain()));
  EXPECT_TRUE(table.HasPages());
  EXPECT_EQ(table.windows.size(), 2U);
  std::string expected;
  for (const ChunkRun& run : pages) {
    expected += image_.BlobContent(run.layer).substr(run.first * kBootPageBytes,
                                                     run.count * kBootPageBytes);
  }
  std::string found;
  for (const BootTable::Window& window : table.windows) {
    ASSERT_OK_AND_ASSIGN(
        const std::string content,
        UnpackBootPages(window, std::string_view(pack).substr(window.offset, window.stored_bytes)));
    found += content;
  }
  EXPECT_TRUE(found == expected);
}

TEST_F(BootPagesTest, ASignatureCountsForWhoTrustsItsKeyAndNoneForWhoTrustsNobody) {
  const std::string by_key = Pack({{0, 5, 3}}, &key_);
  const std::string by_nobody = Pack({{0, 5, 3}}, nullptr);
  const std::vector<PublicKey> others = {trusted_[0]};
  EXPECT_OK(CheckBootSignature(by_key, trusted_));
  EXPECT_OK(CheckBootSignature(by_key, {}));
  EXPECT_OK(CheckBootSignature(by_nobody, {}));
  EXPECT_THAT(CheckBootSignature(by_key, others), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(CheckBootSignature(by_nobody, trusted_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(BootPagesTest, APackOfChunksNeedsNoSignature) {
  testing::WriteBootPackOf(store_, image_, {{0, 1, 2}});
  ASSERT_OK_AND_ASSIGN(const std::string pack,
                       store_->ReadWhole(BootPackName(image_.chain()), 64 << 20));
  EXPECT_OK(CheckBootSignature(pack, trusted_));
  ASSERT_OK_AND_ASSIGN(const BootTable table, DecodeBootTable(pack, image_.chain()));
  EXPECT_FALSE(table.HasPages());
}

TEST_F(BootPagesTest, NoFlippedBitOfASignedPackIsBelieved) {
  const std::string pack = Pack({{0, 5, 3}, {1, 2, 1}}, &key_);
  ASSERT_OK_AND_ASSIGN(const size_t needed, BootTableBytes(pack));
  ASSERT_OK_AND_ASSIGN(const BootTable sound, DecodeBootTable(pack, image_.chain()));
  for (size_t byte = 0; byte < pack.size(); byte += byte < needed ? 1 : 97) {
    std::string damaged = pack;
    damaged[byte] = static_cast<char>(damaged[byte] ^ 1 << byte % 8);
    const auto table = DecodeBootTable(damaged, image_.chain());
    if (byte < needed) {
      EXPECT_FALSE(table.ok() && CheckBootSignature(damaged, trusted_).ok()) << byte;
      continue;
    }
    ASSERT_OK(table);
    for (const BootTable::Window& window : table->windows) {
      const bool within = byte >= window.offset && byte < window.offset + window.stored_bytes;
      const auto content = UnpackBootPages(
          window, std::string_view(damaged).substr(window.offset, window.stored_bytes));
      EXPECT_EQ(content.ok(), !within) << byte;
    }
  }
}

// The checksum is anybody's to make; the signature is not.
TEST_F(BootPagesTest, AnotherTableUnderTheSameSignatureIsNotBelieved) {
  const std::string one = Pack({{0, 5, 3}}, &key_);
  const std::string other = Pack({{0, 6, 3}}, nullptr);
  ASSERT_OK_AND_ASSIGN(const size_t needed, BootTableBytes(one));
  ASSERT_OK_AND_ASSIGN(const size_t other_needed, BootTableBytes(other));
  constexpr size_t kSlot = 32 + kSignatureBytes;
  const std::string forged =
      other.substr(0, other_needed - kSlot) + one.substr(needed - kSlot, kSlot);
  ASSERT_OK(DecodeBootTable(forged, image_.chain()));
  EXPECT_THAT(CheckBootSignature(forged, trusted_), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(BootPagesTest, SignedAgainItIsTheSamePackOfTheNextKey) {
  const SigningKey next = SigningKey::Generate();
  const std::vector<PublicKey> trusts_next = {next.public_key()};
  for (const SigningKey* before : {&key_, static_cast<const SigningKey*>(nullptr)}) {
    std::string pack = Pack({{0, 5, 3}}, before);
    SignBootPack(next, &pack);
    EXPECT_TRUE(pack == Pack({{0, 5, 3}}, &next));
    EXPECT_OK(CheckBootSignature(pack, trusts_next));
  }
  testing::WriteBootPackOf(store_, image_, {{0, 1, 2}});
  ASSERT_OK_AND_ASSIGN(const std::string chunks,
                       store_->ReadWhole(BootPackName(image_.chain()), 64 << 20));
  std::string pack = chunks;
  SignBootPack(next, &pack);
  EXPECT_TRUE(pack == chunks);
}

}  // namespace
}  // namespace slacker
