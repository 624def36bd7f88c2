// The real kernel on a node whose caches change all the time beneath what processes read at random,
// because they are evicted from or because the disk damages them: page cache, EROFS, loop and FUSE
// must never keep anything else for data. Trees are read by other processes only: a server's process
// must not wait for itself.
#include <fcntl.h>

#include <fstream>
#include <random>

#include "snapshotter/attach/kernel_tree_mounter.h"
#include "snapshotter/care/completer.h"
#include "snapshotter/care/evictor.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/node_fixture.h"
#include "tests/support/processes.h"

namespace slacker::testing {
namespace {

// With every read that reaches slackerd, one page of a file becomes a hole or has another bit.
class DamagingDisk final : public ReadObserver {
 public:
  void Begin(const std::string& path, uint64_t size) {
    MutexLock lock(&mutex_);
    file_.Reset(open(path.c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(file_.valid());
    pages_ = size / 4096;
  }
  void End() {
    MutexLock lock(&mutex_);
    file_.Reset();
  }
  void OnRead(uint64_t /*blob_id*/, uint64_t /*offset*/, uint32_t /*size*/) override {
    MutexLock lock(&mutex_);
    if (!file_.valid()) return;
    const auto page = static_cast<off_t>(random_() % pages_ * 4096);
    if (random_() % 2 == 0) {
      EXPECT_EQ(fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, 4096), 0);
      return;
    }
    const off_t at = page + static_cast<off_t>(random_() % 4096);
    char byte = 0;
    EXPECT_EQ(pread(file_.get(), &byte, 1, at), 1);
    byte = static_cast<char>(byte ^ 1);
    EXPECT_EQ(pwrite(file_.get(), &byte, 1, at), 1);
  }

 private:
  Mutex mutex_;
  UniqueFd file_ ABSL_GUARDED_BY(mutex_);
  uint64_t pages_ ABSL_GUARDED_BY(mutex_) = 0;
  std::minstd_rand random_ ABSL_GUARDED_BY(mutex_);
};

class ChangingCacheTest : public NodeTest {
 protected:
  void SetUp() override {
    SampleLayer lower = MakeBigLayer(5, 1);
    AddSampleFile(&lower, 0, "lower", "of the layer below");
    image_ = Publish(store_, {lower, MakeBigLayer(120, 2)});
    observer_ = &disk_;
    NodeTest::SetUp();
    ASSERT_OK(images_->Ensure(image_.chain(), {}));
    images_->WaitForBackgroundForTest();
    AddSnapshot(image_.chain());
    AddContainer(image_.chain());
    layers_ = LayersOf(image_.chain());
    ASSERT_OK_AND_ASSIGN(tree_, images_->Attach(image_.chain()));
    const std::vector<std::string>& chunks = image_.layers.back().chunks;
    std::ofstream reference(reference_, std::ios::binary);
    for (size_t i = chunks.size() - 121; i < chunks.size(); ++i) reference << chunks[i];
  }
  TreeMounter* Mounter() override {
    auto keeper = KeeperClient::Open({dir_.path(), run_dir_.path(), KEEPER_PATH, 5});
    EXPECT_OK(keeper);
    keeper_ = *std::move(keeper);
    auto connection = FuseConnection::Open({run_dir_.path(), 2}, keeper_.get(), filler_.get());
    EXPECT_OK(connection);
    connection_ = *std::move(connection);
    auto kernel =
        KernelTreeMounter::Open({.helper_path = HELPER_PATH, .cache_directory = dir_ / "blobs"},
                                connection_.get(), keeper_.get());
    EXPECT_OK(kernel);
    kernel_ = *std::move(kernel);
    return kernel_.get();
  }
  void TearDown() override {
    evictor_.reset();
    completer_.reset();
    EXPECT_OK(kernel_->Detach(tree_));
    EXPECT_TRUE(Eventually([this] {
      const auto blobs = kernel_->FindBlobsInUse();
      return blobs.ok() && blobs->on_fuse.empty() && blobs->on_cache.empty();
    }));
    images_.reset();
    ASSERT_OK_AND_ASSIGN(const bool ended, kernel_->EndIfIdle());
    EXPECT_TRUE(ended);
    kernel_.reset();
    connection_.reset();
    NodeTest::TearDown();
    keeper_.reset();
  }
  // Limits at which about a third of the top layer can stay.
  void StartCare() {
    space_ = std::make_unique<CacheSpace>(
        CacheSpace::Limits{.max_bytes = layers_[1].size_bytes / 3, .min_free_percent = 0},
        [this] { return CacheSpace::MeasureDirectory(dir_ / "blobs", true); });
    Evictor::Options eviction;
    eviction.db = db_.get();
    eviction.filler = filler_.get();
    eviction.mounter = kernel_.get();
    eviction.space = space_.get();
    eviction.collect = [this] { return images_->Collect(); };
    eviction.ask_store = [this](const Digest& record, size_t chunks) {
      return images_->AskForChunks(record, chunks);
    };
    eviction.interval = std::chrono::milliseconds(1);
    eviction.cold_after = std::chrono::seconds(0);
    evictor_ = std::make_unique<Evictor>(std::move(eviction));
    Completer::Options completion;
    completion.root = dir_.path();
    completion.db = db_.get();
    completion.filler = filler_.get();
    completion.mounter = kernel_.get();
    completion.activity = [] { return uint64_t{0}; };
    completion.idle = completion.rest = std::chrono::milliseconds(1);
    completion.bytes_per_second = completion.verify_bytes_per_second = 1ULL << 40;
    completion.room = [this] { return space_->Room(); };
    completer_ = std::make_unique<Completer>(std::move(completion));
  }
  int Run(std::vector<std::string> arguments) { return LineProcess(std::move(arguments)).Wait(); }

  DamagingDisk disk_;
  const TempDir run_dir_;
  KernelLeakCheck leaks_{dir_.path()};
  PublishedImage image_;
  std::vector<BlobRow> layers_;
  std::string tree_;
  const std::string reference_ = run_dir_ / "reference";
  std::unique_ptr<KeeperClient> keeper_;
  std::unique_ptr<FuseConnection> connection_;
  std::unique_ptr<KernelTreeMounter> kernel_;
  std::unique_ptr<CacheSpace> space_;
  std::unique_ptr<Evictor> evictor_;
  std::unique_ptr<Completer> completer_;
};

TEST_F(ChangingCacheTest, RandomReadersBesideEvictionGetNoWrongByte) {
  StartCare();
  // Until eviction, whose thread has the lowest priority, has had its turns. In vain: CTest's timeout.
  for (int seed = 1;
       evictor_->Stats().runs <= 10 || evictor_->Stats().bytes <= 5 * layers_[1].size_bytes;) {
    std::vector<std::unique_ptr<LineProcess>> readers;
    for (int i = 0; i < 4; ++i, ++seed) {
      readers.push_back(std::make_unique<LineProcess>(std::vector<std::string>{
          RANDOM_READER, tree_ + "/big", reference_, "0", std::to_string(seed), "500"}));
    }
    for (const auto& reader : readers) ASSERT_EQ(reader->Wait(), 0);
  }
  EXPECT_EQ(connection_->counters().errors, 0U);
  // What stayed in the kernel's caches, and what is read anew.
  EXPECT_EQ(Run({"/usr/bin/cmp", tree_ + "/big", reference_}), 0);
  std::ofstream("/proc/sys/vm/drop_caches") << "3";
  EXPECT_EQ(Run({"/usr/bin/cmp", tree_ + "/big", reference_}), 0);
}

TEST_F(ChangingCacheTest, RandomReadersBesideADiskThatDamagesGetNoWrongByte) {
  EXPECT_EQ(Run({"/usr/bin/cmp", tree_ + "/big", reference_}), 0);
  disk_.Begin(dir_ / ("blobs/" + std::to_string(layers_[1].id) + ".data"), layers_[1].size_bytes);
  // In vain: CTest's timeout.
  for (int seed = 1; filler_->Stats().chunks_spoilt < 200;) {
    std::vector<std::unique_ptr<LineProcess>> readers;
    for (int i = 0; i < 4; ++i, ++seed) {
      readers.push_back(std::make_unique<LineProcess>(std::vector<std::string>{
          RANDOM_READER, tree_ + "/big", reference_, "0", std::to_string(seed), "300"}));
    }
    int failed = 0;
    for (const auto& reader : readers) failed += reader->Wait() == 0 ? 0 : 1;
    EXPECT_EQ(failed, 0);
    if (failed > 0) break;
  }
  disk_.End();
  EXPECT_EQ(connection_->counters().errors, 0U);
  std::ofstream("/proc/sys/vm/drop_caches") << "3";
  EXPECT_EQ(Run({"/usr/bin/cmp", tree_ + "/big", reference_}), 0);
}

}  // namespace
}  // namespace slacker::testing
