// A CoreSnapshotter on a real database, directories in memory and fake images.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "snapshotter/core/core_snapshotter.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_file_ops.h"
#include "tests/support/fake_images.h"
#include "tests/support/faulty_file_ops.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

class CoreTest : public ::testing::Test {
 protected:
  CoreTest() { Reopen(); }

  // What a restart of the daemon does.
  void Reopen() {
    core_.reset();
    db_.reset();
    auto db = Db::Open(dir_ / "slacker.db");
    EXPECT_OK(db);
    db_ = *std::move(db);
    auto core = CoreSnapshotter::Open(db_.get(), &faulty_, &images_, &clock_, options_);
    EXPECT_OK(core);
    core_ = *std::move(core);
  }

  // A committed snapshot called `name`.
  void MakeCommitted(const std::string& name, const std::string& parent = "",
                     const Labels& labels = {}) {
    ASSERT_OK(core_->Prepare("making " + name, parent, labels));
    ASSERT_OK(core_->Commit(name, "making " + name, labels, ""));
  }

  // A remote snapshot of a published chain; returns its name.
  std::string MakeRemote(const Digest& chain, const std::string& parent = "") {
    images_.Publish(chain);
    const Labels labels = {{std::string(kRefLabel), chain.ToString()}};
    EXPECT_THAT(core_->Prepare("extract", parent, labels),
                StatusIs(absl::StatusCode::kAlreadyExists));
    const auto found = ListAll({"labels.\"containerd.io/snapshot.ref\"==\"" + chain.ToString() +
                                "\",parent==\"" + parent + "\""});
    EXPECT_EQ(found.size(), 1U);
    return found.empty() ? "" : found.front().name;
  }

  std::vector<SnapshotInfo> ListAll(const std::vector<std::string>& filters = {}) {
    std::vector<SnapshotInfo> infos;
    EXPECT_OK(core_->List(filters, [&infos](const SnapshotInfo& info) {
      infos.push_back(info);
      return absl::OkStatus();
    }));
    return infos;
  }

  std::string Path(const std::string& below) const { return dir_ / ("snapshots/" + below); }

  TempDir dir_;
  FakeClock clock_;
  FakeFileOps files_;
  FaultyFileOps faulty_{&files_};
  FakeImages images_{dir_.path()};
  std::vector<PathDecision> decisions_;
  CoreOptions options_{
      .root = dir_.path(),
      .overlay_index_off = true,
      .on_decision = [this](const PathDecision& decision) { decisions_.push_back(decision); }};
  std::unique_ptr<Db> db_;
  std::unique_ptr<CoreSnapshotter> core_;
};

inline constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
inline constexpr auto kNotFound = absl::StatusCode::kNotFound;
inline constexpr auto kExists = absl::StatusCode::kAlreadyExists;
inline constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

}  // namespace slacker::testing
