// How fast blobs are served: cold (every chunk from a store in memory: fetch, verify, answer, write
// behind) and warm (from the cache file); and how long one read of 4 KiB at random takes that misses,
// beside the store's own read of as much as its chunk has: medians (p50_us), with 1 and 32 readers.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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
  BenchNode() : BenchNode(testing::MakeBigLayer(kChunks)) {}
  explicit BenchNode(const testing::SampleLayer& sample)
      : image_(testing::Publish(store_, {sample})) {
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
  const std::shared_ptr<MemoryBackend>& store() const { return store_; }
  BlobFiller& filler() { return *filler_; }
  uint64_t blob() const { return blob_; }
  std::string SomePack() {
    const auto names = store_->List("packs/");
    SLACKER_CHECK(names.ok(), "setup");
    for (const std::string& name : *names) {
      if (!name.ends_with(".idx")) return name;
    }
    SLACKER_CHECK(false, "there is a pack");
    return "";
  }

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

constexpr uint32_t kBigChunks = 2048;
constexpr uint32_t kBigChunkBytes = 64 << 10;
constexpr int kMostReaders = 32;

// What `read(i, done)` takes for each i below kBigChunks, in an order drawn at random, with so many
// at once: the median, in microseconds.
double MedianMicroseconds(int readers, const auto& read) {
  std::vector<uint32_t> order(kBigChunks);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(7));
  std::vector<double> took(kBigChunks);
  std::atomic<uint32_t> next = 0;
  std::vector<std::thread> threads;
  for (int reader = 0; reader < readers; ++reader) {
    threads.emplace_back([&] {
      for (uint32_t i; (i = next++) < kBigChunks;) {
        const auto began = std::chrono::steady_clock::now();
        std::promise<void> done;
        read(order[i], [&](absl::StatusOr<std::string> bytes) {
          SLACKER_CHECK(bytes.ok() && !bytes->empty(), "every read succeeds");
          done.set_value();
        });
        done.get_future().wait();
        took[i] =
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began)
                .count();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::nth_element(took.begin(), took.begin() + kBigChunks / 2, took.end());
  return took[kBigChunks / 2];
}

void BM_OneFill(benchmark::State& state) {
  const auto readers = static_cast<int>(state.range(0));
  double filled = 0, stored = 0;
  for (auto _ : state) {
    BenchNode node(testing::MakeLayerOfBigChunks(kBigChunks, 1));
    const std::string pack = node.SomePack();
    const uint64_t places = node.store()->Stat(pack)->size_bytes / kBigChunkBytes;
    const auto of_store = [&](uint32_t chunk, ReadBackend::ReadCallback done) {
      node.store()->ReadAsync(pack, chunk % places * kBigChunkBytes, kBigChunkBytes,
                              std::move(done));
    };
    const auto of_node = [&](uint32_t chunk, ReadBackend::ReadCallback done) {
      node.filler().ReadAsync(node.blob(), uint64_t{chunk} * kBigChunkBytes, 4096, std::move(done));
    };
    stored += MedianMicroseconds(readers, of_store);
    filled += MedianMicroseconds(readers, of_node);
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["store_p50_us"] = stored / runs;
  state.counters["fill_p50_us"] = filled / runs;
}
BENCHMARK(BM_OneFill)->Arg(1)->Arg(kMostReaders)->Iterations(5)->UseRealTime();

}  // namespace
}  // namespace slacker

BENCHMARK_MAIN();
