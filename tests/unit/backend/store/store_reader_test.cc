#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "backend/store/names.h"
#include "backend/store/store.h"
#include "tests/support/exhaustive.h"
#include "tests/support/fake_backend.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/unit/backend/store/store_test_util.h"

namespace slacker {
namespace {

using testing::FakeBackend;
using testing::FaultyBackend;
using testing::MakeSampleLayer;
using testing::SampleLayer;
using testing::StatusIs;

class StoreReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(testing::PublishSamples(backend_, {sample_}));
    chain_ = testing::SampleChain({sample_});
    record_ = reader_.ReadManifest(chain_).value().layers[0].record;
  }

  const SampleLayer sample_ = MakeSampleLayer();
  const std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
  const StoreReader reader_{backend_};
  Digest chain_;
  Digest record_;
};

// A record and a tar part of many pages, in several reads.
TEST_F(StoreReaderTest, DamageAnywhereInALongRecordIsDataLoss) {
  Layer layer = testing::MakeWideLayer(20, 1000);
  layer.tar_literals = PagedBytes(testing::Noise(700'000));
  layer.tar_pieces = {{TarPiece::Kind::kLiteral, kNone, 0, 700'000}};
  layer.tar_size_bytes = 700'000;
  ASSERT_OK_AND_ASSIGN(const auto objects, testing::EncodeLayer(layer));
  ASSERT_GT(objects.bytes.size(), 500'000U);
  ASSERT_GT(objects.tar.size(), 500'000U);
  const auto read_all = [&]() -> absl::Status {
    const absl::StatusOr<DecodedRecord> decoded = reader_.ReadLayer(objects.record);
    if (!decoded.ok()) return decoded.status();
    absl::StatusOr<TarPartReader> tar = reader_.OpenTarPart(objects.record, *decoded);
    return tar.ok() ? tar->Finish() : tar.status();
  };
  const std::string record_name = RecordName(objects.record);
  const std::string tar_name = TarName(objects.record);
  ASSERT_OK(backend_->Replace(record_name, objects.bytes));
  ASSERT_OK(backend_->Replace(tar_name, objects.tar));
  EXPECT_OK(read_all());
  ASSERT_OK_AND_ASSIGN(const RecordObject kept, reader_.ReadRecord(objects.record));
  EXPECT_TRUE(kept.stored == objects.bytes);
  for (const auto& [name, bytes] :
       {std::pair(record_name, objects.bytes), {tar_name, objects.tar}}) {
    for (size_t at = 0; at < bytes.size(); at += 9973 * testing::kPlaceStep) {
      ASSERT_OK(backend_->Replace(name, bytes.substr(0, at)));
      ASSERT_THAT(read_all(), StatusIs(absl::StatusCode::kDataLoss)) << name << " " << at;
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
      ASSERT_OK(backend_->Replace(name, damaged));
      ASSERT_THAT(read_all(), StatusIs(absl::StatusCode::kDataLoss)) << name << " " << at;
    }
    ASSERT_OK(backend_->Replace(name, bytes + "x"));
    ASSERT_THAT(read_all(), StatusIs(absl::StatusCode::kDataLoss)) << name;
    ASSERT_OK(backend_->Replace(name, bytes));
  }
}

TEST_F(StoreReaderTest, RecordTakesOneRoundTrip) {
  backend_->ResetCounts();
  ASSERT_OK(reader_.ReadRecord(record_));
  EXPECT_EQ(backend_->counts().reads, 1U);
}

TEST_F(StoreReaderTest, UnpublishedIsNotFound) {
  constexpr auto kNotFound = absl::StatusCode::kNotFound;
  EXPECT_THAT(reader_.ReadManifest(Digest{}), StatusIs(kNotFound));
  EXPECT_THAT(reader_.ReadRecord(Digest{}), StatusIs(kNotFound));
  EXPECT_THAT(reader_.ReadLayer(Digest{}), StatusIs(kNotFound));
  EXPECT_THAT(reader_.ReadLocations(Digest{}, 0), StatusIs(kNotFound));
}

TEST_F(StoreReaderTest, RecordObjectIsKeptByteForByte) {
  ASSERT_OK_AND_ASSIGN(const RecordObject object, reader_.ReadRecord(record_));
  EXPECT_EQ(object.stored, backend_->ReadWhole(RecordName(record_), 1 << 20).value());
  ASSERT_OK_AND_ASSIGN(const Layer layer, DecodeRecordObject(object.stored, record_));
  EXPECT_EQ(layer.entries.size(), sample_.layer.entries.size());
  EXPECT_THAT(DecodeRecordObject(object.stored, chain_), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(StoreReaderTest, ObjectUnderAnotherNameIsDataLoss) {
  const Digest other = Sha256::Of("other");
  for (const auto& [from, to] :
       {std::pair(ManifestName(chain_, std::nullopt), ManifestName(other, std::nullopt)),
        std::pair(RecordName(record_), RecordName(other)),
        std::pair(LocationsName(record_), LocationsName(other))}) {
    ASSERT_OK(backend_->Put(to, backend_->ReadWhole(from, 1 << 20).value()));
  }
  EXPECT_THAT(reader_.ReadManifest(other), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(reader_.ReadRecord(other), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(reader_.ReadLocations(other, sample_.chunks.size()),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(StoreReaderTest, LocationsOfAnotherLengthAreDataLoss) {
  EXPECT_THAT(reader_.ReadLocations(record_, sample_.chunks.size() + 1),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(StoreReaderTest, OversizedObjectIsDataLoss) {
  ASSERT_OK(backend_->Replace(ManifestName(chain_, std::nullopt), std::string(2 << 20, 'x')));
  EXPECT_THAT(reader_.ReadManifest(chain_), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(StoreReaderTest, LocationsThatAreTooLongForTheirRecordAreNotReadToTheirEnd) {
  ASSERT_OK(backend_->Replace(LocationsName(record_), std::string(32 << 20, 'x')));
  backend_->ResetCounts();
  EXPECT_THAT(reader_.ReadLocations(record_, sample_.chunks.size()),
              StatusIs(absl::StatusCode::kDataLoss, "larger than"));
  EXPECT_LT(backend_->counts().bytes_read, 1U << 20);
}

TEST_F(StoreReaderTest, UnreachableStoreIsUnavailable) {
  const auto faulty = std::make_shared<FaultyBackend>(backend_);
  faulty->FailFrom(1, Unavailable("no route"));
  EXPECT_THAT(StoreReader(faulty).ReadManifest(chain_), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(StoreReaderTest, ImagesAreListedByName) {
  ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*backend_));
  ASSERT_EQ(images.size(), 1u);
  const ImageEntry expected = testing::SampleImage();
  EXPECT_EQ(images[0].name, expected.name);
  EXPECT_EQ(images[0].platform.architecture, "amd64");
  EXPECT_EQ(images[0].chain_id, chain_);
  EXPECT_EQ(images[0].manifest_digest, expected.manifest_digest);
  EXPECT_EQ(images[0].compressed_bytes, expected.compressed_bytes);
  EXPECT_EQ(images[0].unpacked_bytes, expected.unpacked_bytes);
  EXPECT_EQ(images[0].published_unix_seconds, expected.published_unix_seconds);
  EXPECT_EQ(images[0].config_json, expected.config_json);
  EXPECT_EQ(images[0].manifest_json, expected.manifest_json);
}

TEST_F(StoreReaderTest, DamagedImageEntryDoesNotHideTheOthers) {
  ASSERT_OK(backend_->Put("images/damaged", "x"));
  EXPECT_EQ(ListImages(*backend_).value().size(), 1u);
}

}  // namespace
}  // namespace slacker
