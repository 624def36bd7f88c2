#include "snapshotter/gateway/lease_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>

#include "backend/memory/memory_backend.h"
#include "backend/store/references.h"
#include "snapshotter/metastore/image_table.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::StatusIs;

class LeaseKeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(db_, Db::Open(dir_ / "slacker.db"));
    keeper_ = Open();
  }
  std::unique_ptr<LeaseKeeper> Open() {
    LeaseKeeper::Options options;
    options.root = dir_.path();
    options.db = db_.get();
    options.clock = &clock_;
    options.open = [this]() -> absl::StatusOr<std::shared_ptr<Backend>> {
      ++opened_;
      if (!present_.ok()) return present_;
      return std::shared_ptr<Backend>(store_);
    };
    return LeaseKeeper::Open(std::move(options)).value();
  }
  void AddImage(const std::string& name) {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    const NewLayer layer{Sha256::Of(name), 4096};
    ASSERT_OK(InsertImage(txn, Sha256::Of(name), std::span(&layer, 1), true).status());
    ASSERT_OK(txn.Commit());
  }
  absl::StatusOr<StoreReferences> Lease() {
    const auto bytes = store_->ReadWhole(LeaseName(keeper_->node()), 1 << 20);
    if (!bytes.ok()) return bytes.status();
    return DecodeReferences(*bytes);
  }

  const testing::TempDir dir_;
  testing::FakeClock clock_;
  const std::shared_ptr<testing::FaultyBackend> store_ =
      std::make_shared<testing::FaultyBackend>(std::make_shared<MemoryBackend>());
  std::unique_ptr<Db> db_;
  absl::Status present_;
  int opened_ = 0;
  std::unique_ptr<LeaseKeeper> keeper_;
};

TEST_F(LeaseKeeperTest, ANodeWithoutImagesAsksNoStore) {
  EXPECT_OK(keeper_->Renew());
  EXPECT_EQ(opened_, 0);
}

TEST_F(LeaseKeeperTest, TheLeaseNamesTheImagesOfTheNode) {
  AddImage("one");
  ASSERT_OK(keeper_->Renew());
  EXPECT_THAT(Lease()->chains, ElementsAre(Sha256::Of("one")));
  AddImage("two");
  ASSERT_OK(keeper_->Renew());
  EXPECT_EQ(Lease()->chains.size(), 2u);
}

TEST_F(LeaseKeeperTest, ItIsWrittenAgainOnlyWhenItIsDue) {
  AddImage("one");
  ASSERT_OK(keeper_->Renew());
  store_->Heal();
  ASSERT_OK(keeper_->Renew());
  EXPECT_EQ(store_->calls(), 0u);
  clock_.Advance(LeaseKeeper::kRenewal);
  ASSERT_OK(keeper_->Renew());
  EXPECT_EQ(store_->calls(), 1u);
}

TEST_F(LeaseKeeperTest, ItGoesWithTheLastImage) {
  AddImage("one");
  ASSERT_OK(keeper_->Renew());
  {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK_AND_ASSIGN(const auto images, AllImages(txn));
    ASSERT_OK(DeleteImage(txn, images.at(0).id));
    ASSERT_OK(txn.Commit());
  }
  ASSERT_OK(keeper_->Renew());
  EXPECT_THAT(Lease().status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LeaseKeeperTest, ItGoesAlsoWhenTheLastImageWentWithItsWriter) {
  AddImage("one");
  ASSERT_OK(keeper_->Renew());
  {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK_AND_ASSIGN(const auto images, AllImages(txn));
    ASSERT_OK(DeleteImage(txn, images.at(0).id));
    ASSERT_OK(txn.Commit());
  }
  keeper_ = Open();
  store_->FailCall(1, absl::UnavailableError("away"));
  EXPECT_THAT(keeper_->Renew(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK(keeper_->Renew());
  EXPECT_THAT(Lease().status(), StatusIs(absl::StatusCode::kNotFound));
  store_->Heal();
  ASSERT_OK(keeper_->Renew());
  EXPECT_EQ(store_->calls(), 0u);
}

TEST_F(LeaseKeeperTest, AStoreThatCannotBeWrittenIsAskedAgainLater) {
  AddImage("one");
  present_ = absl::PermissionDeniedError("read-only");
  EXPECT_THAT(keeper_->Renew(), StatusIs(absl::StatusCode::kPermissionDenied));
  present_ = absl::OkStatus();
  store_->FailCall(1, absl::UnavailableError("away"));
  EXPECT_THAT(keeper_->Renew(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(keeper_->Renew());
  EXPECT_EQ(Lease()->chains.size(), 1u);
}

TEST_F(LeaseKeeperTest, TheNodeKeepsItsName) {
  const std::string name = keeper_->node();
  EXPECT_EQ(name.size(), 32u);
  EXPECT_EQ(Open()->node(), name);
}

TEST_F(LeaseKeeperTest, StopEndsAThreadThatWaits) {
  keeper_->Start();
  keeper_->Stop();
  EXPECT_THAT(keeper_->Renew(), StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace slacker
