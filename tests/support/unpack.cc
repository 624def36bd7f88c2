#include "tests/support/unpack.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "backend/base/unique_fd.h"
#include "tests/support/tree_model.h"

namespace slacker::testing {
namespace {

void ExpectDone(int result, const std::string& path) {
  EXPECT_EQ(result, 0) << path << ": " << strerror(errno);
}

void SetMetadata(const std::string& path, const ModelEntry& entry) {
  ExpectDone(lchown(path.c_str(), entry.uid, entry.gid), path);
  if (!S_ISLNK(entry.mode)) ExpectDone(chmod(path.c_str(), entry.mode & 07777), path);
  for (const auto& [name, value] : entry.xattrs) {
    ExpectDone(lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0), path);
  }
}

void SetTime(const std::string& path, const ModelEntry& entry) {
  const timespec time{entry.mtime_seconds, static_cast<long>(entry.mtime_nanos)};
  const timespec times[2] = {time, time};
  ExpectDone(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), path);
}

void WriteContent(const BuiltLayer& built, const Node& node, const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  EXPECT_TRUE(fd.valid()) << path << ": " << strerror(errno);
  if (node.file == kNone) return;
  const File& file = built.layer.files[node.file];
  ExpectDone(ftruncate(fd.get(), static_cast<off_t>(file.size_bytes)), path);
  for (uint32_t i = 0; i < file.chunk_count; ++i) {
    const Chunk& chunk = built.layer.chunks[file.first_chunk + i];
    const auto piece = built.blob.find(chunk.blob_offset);
    if (piece == built.blob.end()) continue;
    const auto offset = static_cast<off_t>(uint64_t{chunk.index} * built.layer.chunk_size);
    EXPECT_EQ(pwrite(fd.get(), piece->second.data(), piece->second.size(), offset),
              static_cast<ssize_t>(piece->second.size()))
        << path << ": " << strerror(errno);
  }
}

// Unpacks one layer over the layers below it, of which `below` is the visible tree.
void UnpackLayer(const BuiltLayer& built, const Model& below, const std::string& directory) {
  const Model metadata = ModelOfLayers({&built});
  std::vector<std::string> paths;
  std::map<uint32_t, std::string> first_of_node;
  std::map<std::string, ModelEntry> times;
  for (const Entry& item : built.layer.entries) {
    const std::string relative = paths.empty() ? ""
                                 : paths[item.parent].empty()
                                     ? std::string(item.name)
                                     : paths[item.parent] + "/" + std::string(item.name);
    paths.push_back(relative);
    const std::string path = relative.empty() ? directory : directory + "/" + relative;
    if (item.node == kNone) {
      ExpectDone(mknod(path.c_str(), S_IFCHR | 0600, makedev(0, 0)), path);
      continue;
    }
    const auto [first, is_first] = first_of_node.try_emplace(item.node, path);
    if (!is_first) {
      ExpectDone(link(first->second.c_str(), path.c_str()), path);
      continue;
    }
    const Node& node = built.layer.nodes[item.node];
    ModelEntry entry = metadata.at(relative);
    if (node.type == NodeType::kImplicitDirectory) {
      const auto lower = below.find(relative);
      if (lower != below.end() && S_ISDIR(lower->second.mode)) entry = lower->second;
    }
    if (S_ISDIR(entry.mode)) {
      ExpectDone(mkdir(path.c_str(), 0700), path);
    } else if (S_ISLNK(entry.mode)) {
      ExpectDone(symlink(std::string(node.target).c_str(), path.c_str()), path);
    } else if (S_ISREG(entry.mode)) {
      WriteContent(built, node, path);
    } else {
      ExpectDone(mknod(path.c_str(), entry.mode, makedev(entry.rdev_major, entry.rdev_minor)),
                 path);
    }
    SetMetadata(path, entry);
    if (node.opaque) {
      ExpectDone(lsetxattr(path.c_str(), "trusted.overlay.opaque", "y", 1, 0), path);
    }
    times[path] = entry;
  }
  // Last, since making an entry changes its directory's time.
  for (const auto& [path, entry] : times) SetTime(path, entry);
}

}  // namespace

void UnpackForOverlay(const std::vector<const BuiltLayer*>& layers, const std::string& directory) {
  std::filesystem::create_directory(directory + "/merged");
  std::filesystem::create_directory(directory + "/none");
  for (size_t i = 0; i < layers.size(); ++i) {
    Model below;
    if (i > 0) {
      const std::unique_ptr<TestMount> mounted = MountUnpacked(directory, i);
      below = ReadModel(directory + "/merged");
    }
    UnpackLayer(*layers[i], below, directory + "/" + std::to_string(i));
  }
}

std::unique_ptr<TestMount> MountUnpacked(const std::string& directory, size_t count) {
  // overlayfs wants at least two lower directories of a read-only mount; "none" is empty.
  std::string lower = "lowerdir=";
  for (size_t i = count; i > 0; --i) lower += directory + "/" + std::to_string(i - 1) + ":";
  return std::make_unique<TestMount>("overlay", "overlay", directory + "/merged",
                                     std::vector<std::string>{lower + directory + "/none"});
}

}  // namespace slacker::testing
