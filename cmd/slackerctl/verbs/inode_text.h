// Inodes of an image as ls, diff and JSON show them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "backend/view/image_view.h"

namespace slacker::ctl {

// "directory", "regular", "symlink", "character device", "block device", "fifo", "socket".
std::string TypeText(const Node& node);
// "drwxr-sr-t", as `ls -l` has it.
std::string ModeText(const Node& node);
// "0755".
std::string OctalMode(const Node& node);
// Type, mode, owner, size, time, links; target, device, extended attributes where there are any.
nlohmann::json InodeJson(const ImageView& view, const erofs::TreeInode& inode);

}  // namespace slacker::ctl
