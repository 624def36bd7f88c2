// A node in a directory of its own: what slackerd puts together, with a fake clock and mounter.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

#include "snapshotter/images/image_manager.h"
#include "tests/support/fake_backend.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tree_mounter.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/published_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

class NodeTest : public ::testing::Test {
 protected:
  using ReadResult = absl::StatusOr<std::string>;

  void SetUp() override { StartNode(); }
  void TearDown() override {
    store_->ReleaseReads();  // a test that has failed may have left some
    StopNode();
  }

  void StartNode() {
    auto db = Db::Open(dir_ / "slacker.db");
    ASSERT_OK(db);
    db_ = *std::move(db);
    BlobFiller::Options filler;
    filler.root = dir_.path();
    filler.db = db_.get();
    filler.clock = &clock_;
    filler.backend = faulty_;
    filler.observer = observer_;
    filler.fill = fill_options_;
    filler.flush_interval = flush_interval_;
    auto opened = BlobFiller::Open(filler);
    ASSERT_OK(opened);
    filler_ = *std::move(opened);
    ImageManager::Options options;
    options.root = dir_.path();
    options.db = db_.get();
    options.clock = &clock_;
    options.filler = filler_.get();
    options.mounter = Mounter();
    options.traces = start_traces_;
    options.backend = faulty_;
    options.gateway.trust = trust_;
    options.draw = [this] { return drawn_; };
    options.platform = {"linux", "amd64", ""};
    options.build_delay = build_delay_;
    options.private_by_cri_annotations = private_by_cri_annotations_;
    auto images = ImageManager::Open(options);
    ASSERT_OK(images);
    images_ = *std::move(images);
    ASSERT_OK(images_->Start());
  }
  // When there is a filler; another one is to be ended by who made it.
  virtual TreeMounter* Mounter() { return &mounter_; }
  void StopNode() {
    images_.reset();
    filler_.reset();
    db_.reset();
  }
  void RestartNode() {
    StopNode();
    StartNode();
  }

  std::future<ReadResult> StartRead(uint64_t blob, uint64_t offset, uint32_t size) {
    auto promise = std::make_shared<std::promise<ReadResult>>();
    auto future = promise->get_future();
    filler_->ReadAsync(blob, offset, size,
                       [promise](ReadResult bytes) { promise->set_value(std::move(bytes)); });
    return future;
  }
  ReadResult Read(uint64_t blob, uint64_t offset, uint32_t size) {
    return StartRead(blob, offset, size).get();
  }
  // Waits for a read while the clock runs.
  ReadResult ReadWhileTimePasses(uint64_t blob, uint64_t offset, uint32_t size) {
    auto read = StartRead(blob, offset, size);
    while (read.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      clock_.Advance(std::chrono::seconds(1));
    }
    return read.get();
  }

  std::vector<BlobRow> LayersOf(const Digest& chain) {
    auto txn = db_->Read();
    EXPECT_OK(txn);
    const auto id = FindImage(*txn, chain);
    if (!id.ok() || !id->has_value()) return {};
    return *ImageLayers(*txn, **id);
  }
  void AddSnapshot(const Digest& chain) {
    auto txn = db_->Write();
    ASSERT_OK(txn);
    Stmt insert(
        *txn, "INSERT INTO snapshots(name, kind, created, updated, chain) VALUES (?, 3, 0, 0, ?)");
    const std::string raw(reinterpret_cast<const char*>(chain.bytes.data()), chain.bytes.size());
    ASSERT_OK(insert.BindText(chain.ToString()).BindText(raw).Run());
    ASSERT_OK(txn->Commit());
  }
  // A container on a snapshot of AddSnapshot.
  void AddContainer(const Digest& chain) {
    auto txn = db_->Write();
    ASSERT_OK(txn);
    Stmt insert(*txn,
                "INSERT INTO snapshots(name, kind, created, updated, parent) "
                "SELECT ?, 2, 0, 0, id FROM snapshots WHERE name = ?");
    ASSERT_OK(insert.BindText("on " + chain.ToString()).BindText(chain.ToString()).Run());
    ASSERT_OK(txn->Commit());
  }
  void RemoveSnapshots() {
    auto txn = db_->Write();
    ASSERT_OK(txn);
    ASSERT_OK(Stmt(*txn, "DELETE FROM snapshots").Run());
    ASSERT_OK(txn->Commit());
  }

  TempDir dir_;
  FakeClock clock_;
  FakeTreeMounter mounter_;
  std::shared_ptr<FakeBackend> store_ = std::make_shared<FakeBackend>();
  std::shared_ptr<FaultyBackend> faulty_ = std::make_shared<FaultyBackend>(store_);
  FillEngine::Options fill_options_;
  std::chrono::nanoseconds flush_interval_ = std::chrono::hours(1);
  std::chrono::nanoseconds build_delay_ = std::chrono::nanoseconds::zero();
  bool private_by_cri_annotations_ = false;
  Trust trust_;
  uint64_t drawn_ = 1;  // for who draws a number
  ReadObserver* observer_ = nullptr;
  StartTraces* start_traces_ = nullptr;
  std::unique_ptr<Db> db_;
  std::unique_ptr<BlobFiller> filler_;
  std::unique_ptr<ImageManager> images_;
};

}  // namespace slacker::testing
