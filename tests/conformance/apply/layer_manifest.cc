#include "tests/conformance/apply/layer_manifest.h"

#include <algorithm>
#include <map>
#include <vector>

#include "backend/base/digest.h"

namespace slacker::testing {
namespace {

std::string Format(const char* format, auto... values) {
  char text[256];
  const int length = std::snprintf(text, sizeof text, format, values...);
  return std::string(text, static_cast<size_t>(length));
}

std::string Quote(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c > 0x20 && c < 0x7f && c != '%') {
      out += c;
    } else {
      out += Format("%%%02x", static_cast<unsigned>(static_cast<uint8_t>(c)));
    }
  }
  return out;
}

std::string HashOf(const ReadLayer& read, const File& file) {
  Sha256 hash;
  uint64_t at = 0;
  const auto zeros = [&](uint64_t to) {
    for (; at < to; ++at) hash.Update(std::string_view("\0", 1));
  };
  for (uint32_t i = file.first_chunk; i < file.first_chunk + file.chunk_count; ++i) {
    const Chunk& chunk = read.layer.chunks[i];
    zeros(uint64_t{chunk.index} * read.layer.chunk_size);
    hash.Update(read.chunks.at(chunk.digest));
    at += chunk.size_bytes;
  }
  zeros(file.size_bytes);
  return hash.Finish().ToHex();
}

std::string DetailOf(const ReadLayer& read, const Node& node) {
  switch (node.type) {
    case NodeType::kDirectory:
    case NodeType::kImplicitDirectory:
      return " directory";
    case NodeType::kRegular: {
      const File file = node.file == kNone ? File() : read.layer.files[node.file];
      return " file size=" + std::to_string(file.size_bytes) + " sha256=" + HashOf(read, file);
    }
    case NodeType::kSymlink:
      return " symlink target=" + Quote(node.target);
    case NodeType::kCharDevice:
      return Format(" char %u:%u", node.rdev_major, node.rdev_minor);
    case NodeType::kBlockDevice:
      return Format(" block %u:%u", node.rdev_major, node.rdev_minor);
    case NodeType::kFifo:
      return " fifo";
    case NodeType::kSocket:
      return " socket";
  }
  return "";
}

std::string LineOf(const ReadLayer& read, const Node& node, const std::string& path,
                   const std::string& group) {
  std::string line = path;
  line += node.type == NodeType::kImplicitDirectory
              ? " mtime=*"
              : Format(" mtime=%lld.%09u", static_cast<long long>(node.mtime_seconds),
                       node.mtime_nanos);
  line += Format(" mode=%o uid=%u gid=%u link=", node.mode, node.uid, node.gid) + group;
  line += DetailOf(read, node);
  if (node.opaque) line += " opaque";
  for (const auto& [name, value] : node.xattrs) line += " " + Quote(name) + "=" + Quote(value);
  return line + "\n";
}

}  // namespace

std::string LayerManifest(const ReadLayer& read) {
  const Layer& layer = read.layer;
  std::vector<std::string> paths(layer.entries.size());
  std::vector<std::vector<uint32_t>> children(layer.entries.size());
  std::map<uint32_t, int> links;
  for (uint32_t i = 0; i < layer.entries.size(); ++i) {
    const Entry& entry = layer.entries[i];
    if (i > 0) {
      paths[i] = paths[entry.parent] + "/" + Quote(entry.name);
      children[entry.parent].push_back(i);
    }
    if (entry.node != kNone) ++links[entry.node];
  }
  std::string text;
  std::map<uint32_t, std::string> groups;
  std::vector<uint32_t> pending = {0};
  while (!pending.empty()) {
    const uint32_t at = pending.back();
    pending.pop_back();
    const uint32_t node = layer.entries[at].node;
    const std::string path = at == 0 ? "/" : paths[at];
    if (node == kNone) {
      text += path + " whiteout\n";
      continue;
    }
    const std::string group =
        links[node] > 1 ? groups.try_emplace(node, path).first->second : std::string("-");
    text += LineOf(read, layer.nodes[node], path, group);
    auto& below = children[at];
    std::sort(below.begin(), below.end(), [&](uint32_t a, uint32_t b) {
      return layer.entries[a].name > layer.entries[b].name;
    });
    pending.insert(pending.end(), below.begin(), below.end());
  }
  return text;
}

}  // namespace slacker::testing
