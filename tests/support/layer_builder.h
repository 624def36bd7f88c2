// Builds layers in memory for tests, in the shape that a tar reader produces, and the blobs that
// belong to them. Paths have no leading '/'; "" is the root. A parent that was not added becomes an
// implicit directory. Adding a path again replaces what it was. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "backend/record/layer.h"

namespace slacker::testing {

// What a node has beside its type; the members' names are those of Node.
struct Meta {
  uint16_t mode = 0755;
  uint32_t uid = 0, gid = 0;
  int64_t mtime_seconds = 0;
  uint32_t mtime_nanos = 0;
  std::vector<Xattr> xattrs = {};  // sorted by name
};

struct BuiltLayer {
  Layer layer;                           // with blob offsets
  std::map<uint64_t, std::string> blob;  // what of the blob is not zero, by offset
};

class LayerBuilder {
 public:
  explicit LayerBuilder(uint32_t chunk_size = 64 * 1024) {
    layer_.chunk_size = chunk_size;
    Root();
  }

  // A directory that has entries must stay one.
  LayerBuilder& Dir(const std::string& path, const Meta& meta = {});
  LayerBuilder& ImplicitDir(const std::string& path);
  // Marks a directory (added as an implicit one if it is not there) as opaque.
  LayerBuilder& Opaque(const std::string& path);
  LayerBuilder& File(const std::string& path, std::string_view content, const Meta& meta = {});
  // A file of `size` bytes that is zero but for `pieces` (offset, bytes). Chunks without a piece
  // are holes, or stored zeros when `holes` is false.
  LayerBuilder& SparseFile(const std::string& path, uint64_t size,
                           const std::map<uint64_t, std::string>& pieces, bool holes = true,
                           const Meta& meta = {});
  LayerBuilder& Symlink(const std::string& path, const std::string& target, const Meta& meta = {});
  LayerBuilder& Device(const std::string& path, NodeType type, uint32_t major, uint32_t minor,
                       const Meta& meta = {});
  LayerBuilder& Special(const std::string& path, NodeType type, const Meta& meta = {});
  // A second name for the file at `target`, which must be there.
  LayerBuilder& Link(const std::string& path, const std::string& target);
  LayerBuilder& Whiteout(const std::string& path);

  // The diff ID is derived from `name`.
  BuiltLayer Build(std::string_view name);

 private:
  struct Content {
    uint64_t size = 0;
    std::map<uint32_t, std::string> chunks = {};  // by index; stored ones only
  };

  void Root();
  uint32_t AddNode(NodeType type, const Meta& meta);
  uint32_t EntryAt(const std::string& path, uint32_t node);
  uint32_t ParentOf(const std::string& path);

  Layer layer_;
  std::vector<Content> contents_;  // by file
  std::map<std::string, uint32_t> entry_by_path_;
};

}  // namespace slacker::testing
