#include "backend/erofs/directory_layout.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "backend/base/check.h"

namespace slacker::erofs {

TableVector<TreeEntry> StoredEntries(const ImageTree& tree, uint32_t directory) {
  const TreeInode& inode = tree.inodes[directory];
  const std::span<const TreeEntry> children = tree.Children(inode);
  const auto by_name = [row = size_t{0}](const TreeEntry& a, const TreeEntry& b) mutable {
    TrimSpilledAround(row++);
    return a.name < b.name;
  };
  TableVector<TreeEntry> stored(children.size() + 2);
  const TreeEntry dots[] = {{".", directory}, {"..", inode.parent}};
  std::merge(children.begin(), children.end(), std::begin(dots), std::end(dots), stored.begin(),
             by_name);
  return stored;
}

TableVector<DirectoryBlock> PackDirectory(std::span<const TreeEntry> entries) {
  TableVector<DirectoryBlock> blocks(1);
  for (size_t i = 0; i < entries.size(); ++i) {
    TrimSpilledAt(i);
    const auto bytes = static_cast<uint32_t>(sizeof(DirectoryEntry) + entries[i].name.size());
    if (blocks.back().bytes + bytes > kBlockSize) {
      blocks.push_back({.first = static_cast<uint32_t>(i)});
    }
    ++blocks.back().count;
    blocks.back().bytes += bytes;
  }
  return blocks;
}

void WriteDirectoryBlock(const ImageTree& tree, std::span<const TreeEntry> entries,
                         std::span<const uint32_t> nids, char* out) {
  size_t name_offset = entries.size() * sizeof(DirectoryEntry);
  for (size_t i = 0; i < entries.size(); ++i) {
    const TreeEntry& entry = entries[i];
    const DirectoryEntry stored{
        .nid = nids[entry.inode],
        .name_offset = static_cast<uint16_t>(name_offset),
        .type = DirectoryEntryType(tree.inodes[entry.inode].node->type),
    };
    std::memcpy(out + i * sizeof stored, &stored, sizeof stored);
    std::memcpy(out + name_offset, entry.name.data(), entry.name.size());
    name_offset += entry.name.size();
  }
}

uint16_t ModeOf(const Node& node) {
  const auto with = [&node](mode_t type) {
    return static_cast<uint16_t>(type | (node.mode & 07777u));
  };
  switch (node.type) {
    case NodeType::kDirectory:
    case NodeType::kImplicitDirectory:
      return with(S_IFDIR);
    case NodeType::kRegular:
      return with(S_IFREG);
    case NodeType::kSymlink:
      return with(S_IFLNK);
    case NodeType::kCharDevice:
      return with(S_IFCHR);
    case NodeType::kBlockDevice:
      return with(S_IFBLK);
    case NodeType::kFifo:
      return with(S_IFIFO);
    case NodeType::kSocket:
      return with(S_IFSOCK);
  }
  SLACKER_CHECK(false, "ValidateLayer lets no other type through");
}

uint8_t DirectoryEntryType(NodeType type) {
  switch (type) {
    case NodeType::kRegular:
      return 1;
    case NodeType::kDirectory:
    case NodeType::kImplicitDirectory:
      return 2;
    case NodeType::kCharDevice:
      return 3;
    case NodeType::kBlockDevice:
      return 4;
    case NodeType::kFifo:
      return 5;
    case NodeType::kSocket:
      return 6;
    case NodeType::kSymlink:
      return 7;
  }
  SLACKER_CHECK(false, "ValidateLayer lets no other type through");
}

}  // namespace slacker::erofs
