// What Prepare, View and Mounts read of the store, and whom a store that hangs delays: the semantics
// of snapshots (snapshotter/core) on real images.
#include <gmock/gmock.h>

#include "snapshotter/core/core_snapshotter.h"
#include "tests/support/fake_file_ops.h"
#include "tests/support/node_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;

class PullCostTest : public testing::NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    image_ = testing::Publish(store_, {testing::MakeBigLayer(4, 1), testing::MakeBigLayer(4, 2)});
    ASSERT_OK_AND_ASSIGN(
        core_, CoreSnapshotter::Open(
                   db_.get(), &files_, images_.get(), &clock_,
                   {.root = dir_.path(),
                    .overlay_index_off = false,
                    .on_decision = [this](const PathDecision& made) { decision_ = made; }}));
    store_->ResetCounts();
  }
  void TearDown() override {
    core_.reset();
    NodeTest::TearDown();
  }

  absl::Status PrepareRef(const std::string& key, const std::string& parent, const Digest& chain) {
    return core_->Prepare(key, parent, {{std::string(kRefLabel), chain.ToString()}}).status();
  }
  // As containerd does; the name of the top.
  std::string Pull() {
    std::string top;
    for (const Digest& chain : image_.chains) {
      EXPECT_THAT(PrepareRef("extract " + chain.ToHex(), top, chain),
                  StatusIs(absl::StatusCode::kAlreadyExists));
      EXPECT_OK(core_->List({"labels.\"containerd.io/snapshot.ref\"==" + chain.ToString() +
                             ",parent==\"" + top + "\""},
                            [&top](const SnapshotInfo& info) {
                              top = info.name;
                              return absl::OkStatus();
                            }));
    }
    images_->WaitForBackgroundForTest();
    // The fake mounter shows nothing there.
    const auto tree = images_->Attach(image_.chain());
    EXPECT_OK(tree);
    EXPECT_OK(files_.MakeDirectory(*tree, 0755, 0, 0));
    return top;
  }
  uint64_t ReadsBelow(const std::string& prefix) {
    const auto names = store_->List(prefix);
    EXPECT_OK(names);
    EXPECT_FALSE(names->empty());
    uint64_t reads = 0;
    for (const std::string& name : *names) reads += store_->ReadsOf(name);
    return reads;
  }

  testing::PublishedImage image_;
  testing::FakeFileOps files_;
  PathDecision decision_;
  std::unique_ptr<CoreSnapshotter> core_;
};

TEST_F(PullCostTest, APullReadsNoContent) {
  Pull();
  EXPECT_GT(ReadsBelow("records/"), 0U);
  EXPECT_EQ(ReadsBelow("packs/"), 0U);
  uint64_t content = 0;
  for (const auto& layer : LayersOf(image_.chain())) content += layer.size_bytes;
  EXPECT_LT(store_->counts().bytes_read, content / 10);
}

TEST_F(PullCostTest, PrepareViewAndMountsOfAPresentImageReadNothingOfTheStore) {
  const std::string top = Pull();
  store_->ResetCounts();
  ASSERT_OK(core_->Prepare("container", top, {}));
  ASSERT_OK(core_->View("view", top, {}));
  ASSERT_OK(core_->Mounts("container"));
  ASSERT_OK(core_->Mounts("view"));
  EXPECT_EQ(store_->counts().reads, 0U);
  EXPECT_EQ(store_->counts().stats, 0U);
}

TEST_F(PullCostTest, AStoreThatHangsDelaysNobodyButWhoAsksItAndHimForTheBudget) {
  const std::string top = Pull();
  const auto other = testing::Publish(store_, std::vector<uint32_t>{9});
  ASSERT_OK(core_->Prepare("ordinary", "", {}));
  store_->HoldReads();
  auto pull = std::async(std::launch::async,
                         [&] { return PrepareRef("extract other", "", other.chain()); });
  store_->WaitForHeldReads(1);
  // No time passes.
  EXPECT_OK(core_->Mounts("ordinary"));
  EXPECT_OK(core_->Prepare("another", "", {}));
  EXPECT_OK(core_->View("nothing", "", {}));
  ASSERT_OK(core_->Prepare("container", top, {}));
  EXPECT_OK(core_->View("view", top, {}));
  EXPECT_OK(core_->Mounts("container"));
  EXPECT_THAT(PrepareRef("again", "", image_.chains[0]),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(pull.wait_for(std::chrono::seconds(0)), std::future_status::timeout);

  while (pull.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::milliseconds(100));
  }
  EXPECT_OK(pull.get());
  EXPECT_EQ(decision_.reason, "ordinary: store did not answer");
  store_->ReleaseReads();
}

}  // namespace
}  // namespace slacker
