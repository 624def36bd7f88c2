// The blocks of an EROFS directory.
#pragma once

#include <cstdint>
#include <span>

#include "backend/erofs/erofs_format.h"
#include "backend/erofs/image_tree.h"

namespace slacker::erofs {

// The entries of a directory as they are stored: "." and ".." among the others, ascending.
TableVector<TreeEntry> StoredEntries(const ImageTree& tree, uint32_t directory);

// A run of stored entries that share a block.
struct DirectoryBlock {
  uint32_t first = 0, count = 0;
  uint32_t bytes = 0;  // at most kBlockSize
};

// Fills blocks greedily. Every block but the last counts as kBlockSize bytes of the directory's
// size.
TableVector<DirectoryBlock> PackDirectory(std::span<const TreeEntry> entries);

// Writes the entries of one block to `out`, which has as many bytes as PackDirectory said.
// `nids` gives the NID of each inode of `tree`.
void WriteDirectoryBlock(const ImageTree& tree, std::span<const TreeEntry> entries,
                         std::span<const uint32_t> nids, char* out);

// Permission bits and file type as in st_mode; the type as in a directory entry.
uint16_t ModeOf(const Node& node);
uint8_t DirectoryEntryType(NodeType type);

}  // namespace slacker::erofs
