#include "tests/support/sample_layer.h"

#include <algorithm>

#include "backend/base/digest.h"

namespace slacker::testing {
namespace {

uint32_t AddNode(Layer* layer, uint32_t parent, const std::string& name, NodeType type) {
  Node node;
  node.type = type;
  node.mtime_seconds = 1'700'000'000;
  node.mtime_nanos = 123'456'789;
  layer->nodes.push_back(node);
  layer->entries.push_back(
      {parent, static_cast<uint32_t>(layer->nodes.size() - 1), layer->Keep(name)});
  return static_cast<uint32_t>(layer->entries.size() - 1);
}

Node& NodeOf(Layer* layer, uint32_t entry) { return layer->nodes[layer->entries[entry].node]; }

// Bytes that zstd cannot shrink much.
std::string Noise(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (char& c : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(state >> 56);
  }
  return bytes;
}

void AddContent(SampleLayer* sample, const std::string& content) {
  Layer& layer = sample->layer;
  File file;
  file.size_bytes = content.size();
  file.first_chunk = static_cast<uint32_t>(layer.chunks.size());
  for (size_t at = 0; at < content.size(); at += layer.chunk_size) {
    const std::string bytes = content.substr(at, layer.chunk_size);
    if (std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; })) continue;
    Chunk chunk;
    chunk.digest = Sha256::Of(bytes);
    chunk.index = static_cast<uint32_t>(at / layer.chunk_size);
    chunk.size_bytes = static_cast<uint32_t>(bytes.size());
    layer.chunks.push_back(chunk);
    sample->chunks.push_back(bytes);
    ++file.chunk_count;
  }
  layer.files.push_back(file);
}

}  // namespace

void AddSampleFile(SampleLayer* sample, uint32_t parent, const std::string& name,
                   const std::string& content) {
  AddContent(sample, content);
  const uint32_t entry = AddNode(&sample->layer, parent, name, NodeType::kRegular);
  NodeOf(&sample->layer, entry).mode = 0644;
  NodeOf(&sample->layer, entry).file = static_cast<uint32_t>(sample->layer.files.size() - 1);
  AssignBlobOffsets(&sample->layer);
}

SampleLayer MakeSampleLayer(uint32_t seed) {
  SampleLayer sample;
  Layer& layer = sample.layer;
  layer.diff_id = Sha256::Of("sample " + std::to_string(seed));
  layer.chunk_size = kMinChunkSize;
  AddNode(&layer, 0, "", NodeType::kImplicitDirectory);
  const uint32_t dir = AddNode(&layer, 0, "dir", NodeType::kDirectory);
  NodeOf(&layer, dir).opaque = true;
  AddContent(&sample, "replaced later " + std::to_string(seed));
  AddSampleFile(&sample, dir, "plain", "hello, seed " + std::to_string(seed));
  AddSampleFile(&sample, dir, "noise", Noise(10'000, seed));
  const std::string zeros(8192, '\0');
  AddSampleFile(&sample, dir, "sparse", zeros + "end of " + std::to_string(seed) + zeros);
  const uint32_t plain = layer.entries[2].node;
  layer.nodes[plain].xattrs = {{"security.capability", std::string("\1\0\0\2", 4)},
                               {"user.note", "x"}};
  layer.entries.push_back({0, plain, "hard\xff link"});
  layer.entries.push_back({dir, kNone, "gone"});
  const uint32_t link = AddNode(&layer, 0, "link", NodeType::kSymlink);
  NodeOf(&layer, link).target = "dir/plain";
  const uint32_t device = AddNode(&layer, 0, "null", NodeType::kCharDevice);
  NodeOf(&layer, device).rdev_major = 1;
  NodeOf(&layer, device).rdev_minor = 3;
  AddNode(&layer, 0, "block", NodeType::kBlockDevice);
  AddNode(&layer, 0, "fifo", NodeType::kFifo);
  AddNode(&layer, 0, "socket", NodeType::kSocket);
  NodeOf(&layer, AddNode(&layer, 0, "empty", NodeType::kRegular)).mtime_seconds = -1;

  layer.tar_literals = PagedBytes("header header");
  layer.tar_pieces.push_back({TarPiece::Kind::kLiteral, kNone, 0, 7});
  for (uint32_t i = 0; i < layer.files.size(); ++i) {
    layer.tar_pieces.push_back({TarPiece::Kind::kFile, i, 0, layer.files[i].size_bytes});
  }
  layer.tar_pieces.push_back({TarPiece::Kind::kLiteral, kNone, 0, 6});
  layer.tar_pieces.push_back({TarPiece::Kind::kZeros, kNone, 0, 1024});
  for (const TarPiece& piece : layer.tar_pieces) layer.tar_size_bytes += piece.length;
  return sample;
}

Layer MakeWideLayer(uint32_t directories, uint32_t files) {
  Layer layer;
  AddNode(&layer, 0, "", NodeType::kDirectory);
  for (uint32_t d = 0; d < directories; ++d) {
    const uint32_t dir = AddNode(&layer, 0, "directory" + std::to_string(d), NodeType::kDirectory);
    for (uint32_t f = 0; f < files; ++f) {
      const uint32_t entry =
          AddNode(&layer, dir, "some_file_" + std::to_string(f) + ".py", NodeType::kRegular);
      NodeOf(&layer, entry).file = static_cast<uint32_t>(layer.files.size());
      layer.files.push_back({1000, static_cast<uint32_t>(layer.chunks.size()), 1});
      layer.chunks.push_back({Sha256::Of(std::to_string(layer.chunks.size())), 0, 1000, 0});
    }
  }
  AssignBlobOffsets(&layer);
  return layer;
}

}  // namespace slacker::testing
