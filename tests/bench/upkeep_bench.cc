// What a large store costs those who look into it. Makes a loopback store of chunks of 16 bytes, each a
// file, with true packs, indexes, locations, manifests and image entries; then, each in a process of
// its own, so that its memory can be told:
//
//   upkeep_bench make DIR CHUNKS      in packs of 1,300 chunks, images of 20,000 (half of them shared); the
//                                     first has 5,000 names, each with a configuration of 20 KB
//   upkeep_bench open DIR             opens a writer, and publishes an image that is known
//   upkeep_bench lookup DIR COUNT     asks for chunks, half of which the store has
//   upkeep_bench gc DIR [MIB]         a collection: everything is in use; fails above so many MiB of memory
//   upkeep_bench compact DIR          all packs become one, all locations are replaced; works once
//
// Prints seconds and the peak of resident memory.
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/loopback/loopback_backend.h"
#include "backend/store/known_chunks.h"
#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/pack_index.h"
#include "backend/store/store.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/gc.h"
#include "tests/support/encode_layer.h"

namespace slacker {
namespace {

constexpr uint32_t kChunksInPack = 1300;
constexpr uint32_t kChunkBytes = 16;
constexpr uint32_t kChunksInLayer = 10'000;
constexpr uint64_t kNames = 5000;  // of the first image
constexpr size_t kConfigBytes = 20'000;

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double PeakMiB() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void Report(const std::string& what, Clock::time_point start) {
  std::cout << what << ": " << SecondsSince(start) << " s, peak " << PeakMiB() << " MiB\n";
}

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << Message(status) << '\n';
  std::exit(1);
}

std::string ChunkText(uint64_t number) {
  char text[kChunkBytes + 1];
  (void)std::snprintf(text, sizeof text, "%016llu", static_cast<unsigned long long>(number));
  return text;
}
Digest ChunkId(uint64_t number) { return Sha256::Of(ChunkText(number)); }
Digest PackId(uint64_t number) { return Sha256::Of("pack " + std::to_string(number)); }
uint64_t OffsetIn(uint64_t chunk) { return 8 + (chunk % kChunksInPack) * uint64_t{kChunkBytes}; }

std::shared_ptr<Backend> OpenStore(const std::string& directory) {
  auto store = LoopbackBackend::Open(directory, LoopbackBackend::Missing::kCreate);
  Check(store.status());
  return *std::move(store);
}

// Without waiting for the disk, which is not what is measured.
void WriteFile(const std::string& path, std::string_view content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr || std::fwrite(content.data(), 1, content.size(), file) != content.size() ||
      std::fclose(file) != 0) {
    std::cerr << "cannot write " << path << '\n';
    std::exit(1);
  }
}

void MakePack(const std::string& root, uint64_t number, uint64_t chunks) {
  PackIndex index{PackId(number), 0, {}};
  std::string content(PackHeader());
  for (uint64_t i = 0; i < kChunksInPack && number * kChunksInPack + i < chunks; ++i) {
    const uint64_t chunk = number * kChunksInPack + i;
    index.chunks.push_back({ChunkId(chunk), OffsetIn(chunk), kChunkBytes, kChunkBytes, false});
    content += ChunkText(chunk);
  }
  index.pack_bytes = content.size();
  const std::string name = root + "/" + PackName(index.pack);
  WriteFile(name, content);
  const std::string encoded = EncodePackIndex(std::move(index));
  WriteFile(name + ".idx", encoded);
}

// A layer of files of one chunk each, with everything that leads to it.
ManifestLayer MakeLayer(const std::string& root, uint64_t number) {
  Layer layer;
  layer.diff_id = Sha256::Of("layer " + std::to_string(number));
  layer.nodes.resize(1 + kChunksInLayer);
  layer.nodes[0].type = NodeType::kDirectory;
  layer.entries = {{0, 0, ""}};
  Locations locations;
  std::map<uint64_t, uint32_t> packs;
  for (uint32_t i = 0; i < kChunksInLayer; ++i) {
    const uint64_t chunk = number * kChunksInLayer + i;
    layer.nodes[i + 1].type = NodeType::kRegular;
    layer.nodes[i + 1].file = i;
    layer.entries.push_back({0, i + 1, layer.Keep("file-" + ChunkText(chunk))});
    layer.files.push_back({kChunkBytes, i, 1});
    layer.chunks.push_back({ChunkId(chunk), 0, kChunkBytes, 0});
    layer.tar_pieces.push_back({TarPiece::Kind::kFile, i, 0, kChunkBytes});
    const auto [pack, is_new] =
        packs.try_emplace(chunk / kChunksInPack, static_cast<uint32_t>(packs.size()));
    if (is_new) locations.packs.push_back(PackName(PackId(chunk / kChunksInPack)));
    locations.chunks.push_back({pack->second, OffsetIn(chunk), kChunkBytes, false});
  }
  AssignBlobOffsets(&layer);
  layer.tar_size_bytes = uint64_t{kChunksInLayer} * kChunkBytes;
  const auto encoded = testing::EncodeLayer(layer);
  Check(encoded.status());
  const auto located = EncodeLocations(locations, encoded->record);
  Check(located.status());
  WriteFile(root + "/" + RecordName(encoded->record), encoded->bytes);
  WriteFile(root + "/" + TarName(encoded->record), encoded->tar);
  WriteFile(root + "/" + LocationsName(encoded->record), *located);
  return {layer.diff_id, encoded->record};
}

ImageEntry EntryOf(const std::vector<ManifestLayer>& layers, uint64_t number) {
  std::vector<Digest> diff_ids;
  for (const ManifestLayer& layer : layers) diff_ids.push_back(layer.diff_id);
  ImageEntry entry;
  entry.name = "docker://registry.example/image:" + std::to_string(number);
  entry.platform = {"linux", "amd64", ""};
  entry.chain_id = ChainId(diff_ids);
  entry.config_json.assign(kConfigBytes, 'c');
  return entry;
}

void WriteEntry(const std::string& root, const ImageEntry& entry) {
  WriteFile(root + "/" + ImageName(entry.name, entry.platform), EncodeImageEntry(entry));
}

void MakeImage(const std::string& root, const std::vector<ManifestLayer>& layers, uint64_t number) {
  const ImageEntry entry = EntryOf(layers, number);
  for (size_t length = 1; length <= layers.size(); ++length) {
    Manifest manifest;
    manifest.platform = entry.platform;
    manifest.layers.assign(layers.begin(), layers.begin() + static_cast<ptrdiff_t>(length));
    manifest.chain_id = EntryOf(manifest.layers, 0).chain_id;
    const std::string bytes = EncodeManifest(manifest, nullptr);
    WriteFile(root + "/" + ManifestName(manifest.chain_id, std::nullopt), bytes);
    const Grant grant{manifest.chain_id, ""};
    const std::string granted = EncodeGrant(grant, nullptr);
    WriteFile(root + "/" + GrantName(grant, std::nullopt), granted);
  }
  WriteEntry(root, entry);
}

void Make(const std::string& root, uint64_t chunks) {
  for (uint64_t pack = 0; pack * kChunksInPack < chunks; ++pack) MakePack(root, pack, chunks);
  const ManifestLayer base = MakeLayer(root, 0);
  for (uint64_t layer = 1; (layer + 1) * kChunksInLayer <= chunks; ++layer) {
    const std::vector<ManifestLayer> layers = {base, MakeLayer(root, layer)};
    MakeImage(root, layers, layer);
    if (layer > 1) continue;
    for (uint64_t i = 0; i < kNames; ++i) WriteEntry(root, EntryOf(layers, chunks + i));
  }
}

void Open(const std::string& root) {
  const Clock::time_point opened = Clock::now();
  const auto store = OpenStore(root);
  Report("open the backend", opened);
  const auto images = ListImages(*store);
  Check(images.status());
  const ImageEntry image = images->front();
  const StoreReader reader(store);
  const auto manifest = reader.ReadManifest(image.chain_id);
  Check(manifest.status());
  const Clock::time_point start = Clock::now();
  auto writer = StoreWriter::Open(store, {});
  Check(writer.status());
  Report("open", start);
  std::vector<Digest> diff_ids;
  for (const ManifestLayer& layer : manifest->layers) {
    diff_ids.push_back(layer.diff_id);
    const auto found = (*writer)->FindRecord(ChainId(diff_ids), "", layer.diff_id);
    Check(found.status());
    if (!found->has_value()) Check(absl::NotFoundError("a layer is not known"));
  }
  Check((*writer)->CommitManifests(manifest->layers, manifest->platform, image, ""));
  Report("publish a known image of two layers and 20,000 chunks", start);
}

void Lookup(const std::string& root, uint64_t count) {
  const auto store = OpenStore(root);
  KnownChunks known(store.get(), {});
  Clock::time_point start = Clock::now();
  Check(known.Find(ChunkId(0)).status());
  Report("first lookup", start);
  start = Clock::now();
  uint64_t found = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto chunk = known.Find(i % 2 == 0 ? ChunkId(i * 37) : Sha256::Of(std::to_string(i)));
    Check(chunk.status());
    found += chunk->has_value() ? 1 : 0;
  }
  Report(std::to_string(count) + " lookups, " + std::to_string(found) + " found", start);
}

void Gc(const std::string& root, uint64_t limit_mib) {
  const auto store = OpenStore(root);
  const Clock::time_point start = Clock::now();
  const auto report = CollectGarbage(*store, {});
  Check(report.status());
  Report("gc of " + std::to_string(report->in_use.objects) + " objects in use", start);
  if (limit_mib > 0 && PeakMiB() > static_cast<double>(limit_mib)) {
    Check(absl::ResourceExhaustedError("that is more than it may be"));
  }
}

void CompactAll(const std::string& root) {
  const auto store = OpenStore(root);
  const Clock::time_point start = Clock::now();
  const auto report = Compact(*store, {});
  Check(report.status());
  Report("compact: " + std::to_string(report->chunks_moved) + " chunks, " +
             std::to_string(report->packs_before) + " packs became " +
             std::to_string(report->packs_after),
         start);
}

}  // namespace
}  // namespace slacker

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const uint64_t number = arguments.size() > 2 ? std::strtoull(argv[3], nullptr, 10) : 0;
  if (arguments.size() < 2) {
    std::cerr << "usage: upkeep_bench make|open|lookup|gc|compact DIR [NUMBER]\n";
    return 2;
  }
  if (arguments[0] == "make") slacker::Make(arguments[1], number);
  if (arguments[0] == "open") slacker::Open(arguments[1]);
  if (arguments[0] == "lookup") slacker::Lookup(arguments[1], number);
  if (arguments[0] == "gc") slacker::Gc(arguments[1], number);
  if (arguments[0] == "compact") slacker::CompactAll(arguments[1]);
  return 0;
}
