// How fast blobs are served: cold (every chunk from a store in memory: fetch, verify, answer, write
// behind) and warm (from the cache file).
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "backend/base/check.h"
#include "backend/memory/memory_backend.h"
#include "snapshotter/fill/blob_filler.h"
#include "tests/support/published_image.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

constexpr uint32_t kChunks = 4096;

// A node with one blob, nothing of it filled.
class BenchNode {
 public:
  BenchNode() : image_(testing::Publish(store_, {testing::MakeBigLayer(kChunks)})) {
    db_ = *Db::Open(dir_ / "slacker.db");
    BlobFiller::Options options;
    options.root = dir_.path();
    options.db = db_.get();
    options.clock = &SystemClock();
    options.backend = store_;
    filler_ = *BlobFiller::Open(options);
    const Digest record = image_.manifest[0].record;
    const auto object = StoreReader(store_).ReadRecord(record);
    SLACKER_CHECK(object.ok() && filler_->records().Save(record, object->stored).ok(), "setup");
    blob_size_ = image_.layers[0].layer.blob_size_bytes;
    auto txn = db_->Write();
    const NewLayer layer{record, blob_size_};
    const auto id = InsertImage(*txn, image_.chain(), {&layer, 1}, true);
    blob_ = ImageLayers(*txn, *id)->front().id;
    SLACKER_CHECK(txn->Commit().ok(), "setup");
  }

  uint64_t blob_size() const { return blob_size_; }

  // Reads the whole blob in pieces, all asked for at once.
  void ReadAll(uint32_t piece) {
    Mutex mutex;
    CondVar changed;
    uint64_t open = (blob_size_ + piece - 1) / piece;
    for (uint64_t offset = 0; offset < blob_size_; offset += piece) {
      filler_->ReadAsync(blob_, offset, piece, [&](absl::StatusOr<std::string> bytes) {
        SLACKER_CHECK(bytes.ok(), "every read succeeds");
        MutexLock lock(&mutex);
        if (--open == 0) changed.SignalAll();
      });
    }
    MutexLock lock(&mutex);
    while (open > 0) changed.Wait(&mutex);
  }

 private:
  testing::TempDir dir_;
  std::shared_ptr<MemoryBackend> store_ = std::make_shared<MemoryBackend>();
  testing::PublishedImage image_;
  std::unique_ptr<Db> db_;
  std::unique_ptr<BlobFiller> filler_;
  uint64_t blob_ = 0;
  uint64_t blob_size_ = 0;
};

void BM_ColdRead(benchmark::State& state) {
  int64_t bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto node = std::make_unique<BenchNode>();
    state.ResumeTiming();
    node->ReadAll(static_cast<uint32_t>(state.range(0)));
    bytes += static_cast<int64_t>(node->blob_size());
    state.PauseTiming();
    node.reset();
    state.ResumeTiming();
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_ColdRead)->Arg(4 << 10)->Arg(128 << 10)->Arg(1 << 20)->UseRealTime();

void BM_WarmRead(benchmark::State& state) {
  BenchNode node;
  node.ReadAll(1 << 20);
  int64_t bytes = 0;
  for (auto _ : state) {
    node.ReadAll(static_cast<uint32_t>(state.range(0)));
    bytes += static_cast<int64_t>(node.blob_size());
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_WarmRead)->Arg(4 << 10)->Arg(128 << 10)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace slacker

BENCHMARK_MAIN();
