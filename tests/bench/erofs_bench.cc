// Building the metadata image of an image: merge and write, by number of entries in ten layers.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "backend/erofs/image_builder.h"
#include "backend/erofs/image_tree.h"
#include "tests/support/layer_builder.h"

namespace slacker {
namespace {

using testing::BuiltLayer;
using testing::LayerBuilder;

constexpr int kLayers = 10;

// Directories of 20 files, names as long as a distribution's; a tenth of the files replace one of
// the layer below.
std::vector<BuiltLayer> MakeLayers(int64_t entries) {
  std::vector<BuiltLayer> layers;
  for (int layer = 0; layer < kLayers; ++layer) {
    LayerBuilder builder;
    for (int64_t i = 0; i < entries / kLayers; ++i) {
      const int64_t owner = layer > 0 && i % 10 == 0 ? layer - 1 : layer;
      builder.File("usr/lib/package-" + std::to_string(owner * 1'000'000 + i / 20) +
                       "/module_number_" + std::to_string(i) + ".py",
                   "x", {.uid = static_cast<uint32_t>(layer), .mtime_seconds = i});
    }
    layers.push_back(builder.Build(std::to_string(layer)));
  }
  return layers;
}

std::vector<const Layer*> Pointers(const std::vector<BuiltLayer>& built) {
  std::vector<const Layer*> layers;
  for (const BuiltLayer& layer : built) layers.push_back(&layer.layer);
  return layers;
}

void BM_MergeLayers(benchmark::State& state) {
  const std::vector<BuiltLayer> built = MakeLayers(state.range(0));
  const std::vector<const Layer*> layers = Pointers(built);
  for (auto _ : state) benchmark::DoNotOptimize(erofs::MergeLayers(layers));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_MergeLayers)->Arg(50'000)->Unit(benchmark::kMillisecond);

void BM_BuildErofsImage(benchmark::State& state) {
  const std::vector<BuiltLayer> built = MakeLayers(state.range(0));
  const std::vector<const Layer*> layers = Pointers(built);
  size_t bytes = 0;
  for (auto _ : state) {
    bytes = BuildErofsImage(layers, [](std::string_view piece) {
              benchmark::DoNotOptimize(piece);
              return absl::OkStatus();
            })->size_bytes;
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["image_bytes"] = static_cast<double>(bytes);
}
BENCHMARK(BM_BuildErofsImage)
    ->Arg(1'000)
    ->Arg(50'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace slacker

BENCHMARK_MAIN();
