#include "tests/support/layer_builder.h"

#include <algorithm>

#include "backend/base/check.h"

namespace slacker::testing {

void LayerBuilder::Root() {
  AddNode(NodeType::kImplicitDirectory, {});
  layer_.entries.push_back({});
  entry_by_path_[""] = 0;
}

uint32_t LayerBuilder::AddNode(NodeType type, const Meta& meta) {
  Node& node = layer_.nodes.emplace_back();
  node.type = type;
  node.mode = meta.mode;
  node.uid = meta.uid;
  node.gid = meta.gid;
  node.mtime_seconds = meta.mtime_seconds;
  node.mtime_nanos = meta.mtime_nanos;
  node.xattrs = XattrList::Of(meta.xattrs);
  return static_cast<uint32_t>(layer_.nodes.size() - 1);
}

uint32_t LayerBuilder::ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
  const auto known = entry_by_path_.find(parent);
  if (known != entry_by_path_.end()) return known->second;
  ImplicitDir(parent);
  return entry_by_path_[parent];
}

uint32_t LayerBuilder::EntryAt(const std::string& path, uint32_t node) {
  const auto known = entry_by_path_.find(path);
  if (known != entry_by_path_.end()) {
    layer_.entries[known->second].node = node;
    return known->second;
  }
  const uint32_t parent = ParentOf(path);
  layer_.entries.push_back({parent, node, layer_.Keep(path.substr(path.rfind('/') + 1))});
  const auto index = static_cast<uint32_t>(layer_.entries.size() - 1);
  entry_by_path_[path] = index;
  return index;
}

LayerBuilder& LayerBuilder::Dir(const std::string& path, const Meta& meta) {
  EntryAt(path, AddNode(NodeType::kDirectory, meta));
  return *this;
}

LayerBuilder& LayerBuilder::ImplicitDir(const std::string& path) {
  EntryAt(path, AddNode(NodeType::kImplicitDirectory, {}));
  return *this;
}

LayerBuilder& LayerBuilder::Opaque(const std::string& path) {
  if (!entry_by_path_.contains(path)) ImplicitDir(path);
  layer_.nodes[layer_.entries[entry_by_path_[path]].node].opaque = true;
  return *this;
}

LayerBuilder& LayerBuilder::File(const std::string& path, std::string_view content,
                                 const Meta& meta) {
  std::map<uint64_t, std::string> pieces;
  if (!content.empty()) pieces[0] = content;
  return SparseFile(path, content.size(), pieces, /*holes=*/false, meta);
}

LayerBuilder& LayerBuilder::SparseFile(const std::string& path, uint64_t size,
                                       const std::map<uint64_t, std::string>& pieces, bool holes,
                                       const Meta& meta) {
  const uint32_t node = AddNode(NodeType::kRegular, meta);
  EntryAt(path, node);
  if (size == 0) return *this;
  layer_.nodes[node].file = static_cast<uint32_t>(contents_.size());
  Content content{.size = size, .chunks = {}};
  const uint64_t chunk_size = layer_.chunk_size;
  if (!holes) {
    for (uint64_t at = 0; at < size; at += chunk_size) {
      content.chunks[static_cast<uint32_t>(at / chunk_size)];
    }
  }
  for (const auto& [offset, bytes] : pieces) {
    SLACKER_CHECK(offset + bytes.size() <= size, "pieces lie within the file");
    for (size_t done = 0; done < bytes.size();) {
      const uint64_t at = offset + done;
      const uint64_t begin = at % chunk_size;
      const size_t part = std::min<uint64_t>(bytes.size() - done, chunk_size - begin);
      std::string& chunk = content.chunks[static_cast<uint32_t>(at / chunk_size)];
      chunk.resize(std::max<size_t>(chunk.size(), begin + part));
      bytes.copy(chunk.data() + begin, part, done);
      done += part;
    }
  }
  contents_.push_back(std::move(content));
  return *this;
}

LayerBuilder& LayerBuilder::Symlink(const std::string& path, const std::string& target,
                                    const Meta& meta) {
  const uint32_t node = AddNode(NodeType::kSymlink, meta);
  layer_.nodes[node].target = layer_.Keep(target);
  layer_.nodes[node].mode = 0777;
  EntryAt(path, node);
  return *this;
}

LayerBuilder& LayerBuilder::Device(const std::string& path, NodeType type, uint32_t major,
                                   uint32_t minor, const Meta& meta) {
  const uint32_t node = AddNode(type, meta);
  layer_.nodes[node].rdev_major = major;
  layer_.nodes[node].rdev_minor = minor;
  EntryAt(path, node);
  return *this;
}

LayerBuilder& LayerBuilder::Special(const std::string& path, NodeType type, const Meta& meta) {
  EntryAt(path, AddNode(type, meta));
  return *this;
}

LayerBuilder& LayerBuilder::Link(const std::string& path, const std::string& target) {
  EntryAt(path, layer_.entries[entry_by_path_.at(target)].node);
  return *this;
}

LayerBuilder& LayerBuilder::Whiteout(const std::string& path) {
  EntryAt(path, kNone);
  return *this;
}

BuiltLayer LayerBuilder::Build(std::string_view name) {
  BuiltLayer built{.layer = layer_, .blob = {}};
  built.layer.diff_id = Sha256::Of(name);
  uint64_t offset = 0;
  for (const Content& content : contents_) {
    built.layer.files.push_back({content.size, static_cast<uint32_t>(built.layer.chunks.size()),
                                 static_cast<uint32_t>(content.chunks.size())});
    for (const auto& [index, bytes] : content.chunks) {
      const uint64_t rest = content.size - uint64_t{index} * layer_.chunk_size;
      Chunk chunk;
      chunk.index = index;
      chunk.size_bytes = static_cast<uint32_t>(std::min<uint64_t>(rest, layer_.chunk_size));
      chunk.blob_offset = offset;
      built.layer.chunks.push_back(chunk);
      if (!bytes.empty()) built.blob[offset] = bytes;
      offset += (chunk.size_bytes + kBlockSize - 1) / kBlockSize * kBlockSize;
    }
  }
  built.layer.blob_size_bytes = offset;
  return built;
}

}  // namespace slacker::testing
