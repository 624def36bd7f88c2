#include "tests/support/tree_model.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "backend/base/digest.h"
#include "backend/base/unique_fd.h"

namespace slacker::testing {
namespace {

// The contents of files larger than this are left out of the comparison.
constexpr uint64_t kWholeHashLimit = 64 << 20;

bool IsDirectory(const Node& node) {
  return node.type == NodeType::kDirectory || node.type == NodeType::kImplicitDirectory;
}

uint32_t TypeBits(NodeType type) {
  switch (type) {
    case NodeType::kDirectory:
    case NodeType::kImplicitDirectory:
      return S_IFDIR;
    case NodeType::kRegular:
      return S_IFREG;
    case NodeType::kSymlink:
      return S_IFLNK;
    case NodeType::kCharDevice:
      return S_IFCHR;
    case NodeType::kBlockDevice:
      return S_IFBLK;
    case NodeType::kFifo:
      return S_IFIFO;
    case NodeType::kSocket:
      return S_IFSOCK;
  }
  return 0;
}

std::string ContentOf(const BuiltLayer& built, const File& file) {
  std::string content(file.size_bytes, '\0');
  for (uint32_t i = 0; i < file.chunk_count; ++i) {
    const Chunk& chunk = built.layer.chunks[file.first_chunk + i];
    const auto piece = built.blob.find(chunk.blob_offset);
    if (piece == built.blob.end()) continue;
    content.replace(uint64_t{chunk.index} * built.layer.chunk_size, piece->second.size(),
                    piece->second);
  }
  return content;
}

// An entry of the merged tree and the inode that it stands for.
struct Merged {
  ModelEntry entry;
  std::pair<size_t, uint32_t> inode;  // layer and node
};

ModelEntry EntryOf(const BuiltLayer& built, const Node& node) {
  ModelEntry entry{.mode = TypeBits(node.type) | node.mode,
                   .uid = node.uid,
                   .gid = node.gid,
                   .mtime_seconds = node.mtime_seconds,
                   .mtime_nanos = node.mtime_nanos,
                   .target = std::string(node.target),
                   .xattrs = {node.xattrs.begin(), node.xattrs.end()}};
  if (node.type == NodeType::kSymlink) entry.size = node.target.size();
  if (node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice) {
    entry.rdev_major = node.rdev_major;
    entry.rdev_minor = node.rdev_minor;
  }
  if (node.type == NodeType::kRegular) {
    if (node.file != kNone) entry.size = built.layer.files[node.file].size_bytes;
    if (entry.size <= kWholeHashLimit) {
      entry.content =
          Sha256::Of(node.file == kNone ? "" : ContentOf(built, built.layer.files[node.file]))
              .ToHex();
    }
  }
  return entry;
}

void RemoveBelow(std::map<std::string, Merged>* tree, const std::string& path) {
  if (path.empty()) {
    tree->erase(std::next(tree->begin()), tree->end());
  } else {
    tree->erase(tree->lower_bound(path + "/"), tree->lower_bound(path + "0"));  // '0' follows '/'
  }
}

void ApplyLayer(const BuiltLayer& built, size_t number, std::map<std::string, Merged>* tree) {
  std::vector<std::string> paths;
  for (const Entry& entry : built.layer.entries) {
    const std::string path = paths.empty() ? ""
                             : paths[entry.parent].empty()
                                 ? std::string(entry.name)
                                 : paths[entry.parent] + "/" + std::string(entry.name);
    paths.push_back(path);
    const auto lower = tree->find(path);
    const bool over_directory = lower != tree->end() && S_ISDIR(lower->second.entry.mode);
    const Node* node = entry.node == kNone ? nullptr : &built.layer.nodes[entry.node];
    if (over_directory && (node == nullptr || !IsDirectory(*node) || node->opaque)) {
      RemoveBelow(tree, path);
    }
    if (node == nullptr) {
      tree->erase(path);
      continue;
    }
    if (node->type == NodeType::kImplicitDirectory && over_directory) continue;
    (*tree)[path] = {EntryOf(built, *node), {number, entry.node}};
  }
}

std::string ReadWhole(int fd, uint64_t size) {
  std::string content(size, '\0');
  uint64_t done = 0;
  while (done < size) {
    const ssize_t got = pread(fd, content.data() + done, size - done, static_cast<off_t>(done));
    if (got <= 0) break;
    done += static_cast<uint64_t>(got);
  }
  content.resize(done);
  return content;
}

std::map<std::string, std::string> ReadXattrs(const std::string& path) {
  std::map<std::string, std::string> xattrs;
  std::string names(1024, '\0');
  ssize_t length = llistxattr(path.c_str(), names.data(), names.size());
  if (length < 0 && errno == ERANGE) {
    names.resize(65536);
    length = llistxattr(path.c_str(), names.data(), names.size());
  }
  EXPECT_GE(length, 0) << path << ": " << strerror(errno);
  names.resize(static_cast<size_t>(std::max<ssize_t>(length, 0)));
  std::istringstream list(names);
  for (std::string name; std::getline(list, name, '\0');) {
    std::string value(65536, '\0');
    const ssize_t size = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    EXPECT_GE(size, 0) << path << " " << name << ": " << strerror(errno);
    value.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
    xattrs[name] = value;
  }
  return xattrs;
}

ModelEntry ReadEntry(const std::string& path, const struct stat& st) {
  ModelEntry entry{.mode = st.st_mode,
                   .uid = st.st_uid,
                   .gid = st.st_gid,
                   .mtime_seconds = st.st_mtim.tv_sec,
                   .mtime_nanos = static_cast<uint32_t>(st.st_mtim.tv_nsec),
                   .nlink = static_cast<uint32_t>(st.st_nlink),
                   .xattrs = ReadXattrs(path)};
  if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) entry.size = static_cast<uint64_t>(st.st_size);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    entry.rdev_major = major(st.st_rdev);
    entry.rdev_minor = minor(st.st_rdev);
  }
  if (S_ISLNK(st.st_mode)) {
    std::string target(8192, '\0');
    const ssize_t size = readlink(path.c_str(), target.data(), target.size());
    EXPECT_GE(size, 0) << path << ": " << strerror(errno);
    entry.target = target.substr(0, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  }
  if (S_ISREG(st.st_mode) && entry.size <= kWholeHashLimit) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(fd.valid()) << path << ": " << strerror(errno);
    const std::string content = ReadWhole(fd.get(), entry.size);
    EXPECT_EQ(content.size(), entry.size) << path << ": " << strerror(errno);
    entry.content = Sha256::Of(content).ToHex();
  }
  return entry;
}

void ReadBelow(const std::string& root, const std::string& path, Model* model,
               std::map<std::pair<dev_t, ino_t>, std::string>* first_names) {
  const std::string full = path.empty() ? root : root + "/" + path;
  struct stat st;
  ASSERT_EQ(lstat(full.c_str(), &st), 0) << full << ": " << strerror(errno);
  ModelEntry entry = ReadEntry(full, st);
  entry.first_name = path;
  if (!S_ISDIR(st.st_mode)) {
    std::string& first = first_names->try_emplace({st.st_dev, st.st_ino}, path).first->second;
    first = std::min(first, path);
  }
  (*model)[path] = entry;
  if (!S_ISDIR(st.st_mode)) return;
  DIR* directory = opendir(full.c_str());
  ASSERT_NE(directory, nullptr) << full << ": " << strerror(errno);
  for (const dirent* item = readdir(directory); item != nullptr; item = readdir(directory)) {
    const std::string name = item->d_name;
    if (name == "." || name == "..") continue;
    const std::string below = path.empty() ? name : path + "/" + name;
    // In a directory that only one layer has, overlayfs lists whiteouts, which it then does not
    // find.
    if (item->d_type == DT_CHR && lstat((root + "/" + below).c_str(), &st) != 0) continue;
    ReadBelow(root, below, model, first_names);
    EXPECT_TRUE(item->d_type == DT_UNKNOWN || item->d_type == IFTODT((*model)[below].mode))
        << below << ": the directory entry's type is wrong";
  }
  closedir(directory);
}

std::string Describe(const ModelEntry& e) {
  std::ostringstream out;
  out << std::oct << e.mode << std::dec << " " << e.uid << ":" << e.gid << " mtime "
      << e.mtime_seconds << "." << e.mtime_nanos << " size " << e.size << " rdev " << e.rdev_major
      << ":" << e.rdev_minor << " nlink " << e.nlink << " first \"" << e.first_name << "\" -> \""
      << e.target << "\" content " << e.content.substr(0, 8) << " xattrs";
  for (const auto& [name, value] : e.xattrs) {
    out << " " << name << "=" << Sha256::Of(value).ToHex().substr(0, 8);
  }
  return out.str();
}

}  // namespace

Model ModelOfLayers(const std::vector<const BuiltLayer*>& layers) {
  std::map<std::string, Merged> tree;
  for (size_t i = 0; i < layers.size(); ++i) ApplyLayer(*layers[i], i, &tree);
  if (tree.empty()) tree[""].entry.mode = S_IFDIR | 0755;

  Model model;
  std::map<std::pair<size_t, uint32_t>, std::vector<std::string>> links;
  for (const auto& [path, merged] : tree) {
    model[path] = merged.entry;
    model[path].first_name = path;
    if (S_ISDIR(merged.entry.mode)) {
      model[path].nlink += 2;
      const size_t slash = path.rfind('/');
      if (!path.empty()) ++model[slash == std::string::npos ? "" : path.substr(0, slash)].nlink;
    } else {
      links[merged.inode].push_back(path);
    }
  }
  for (const auto& [inode, paths] : links) {
    for (const std::string& path : paths) {
      model[path].nlink = static_cast<uint32_t>(paths.size());
      model[path].first_name = paths.front();
    }
  }
  return model;
}

Model ReadModel(const std::string& root) {
  Model model;
  std::map<std::pair<dev_t, ino_t>, std::string> first_names;
  ReadBelow(root, "", &model, &first_names);
  for (auto& [path, entry] : model) {
    struct stat st;
    const std::string full = path.empty() ? root : root + "/" + path;
    if (S_ISDIR(entry.mode) || lstat(full.c_str(), &st) != 0) continue;
    entry.first_name = first_names[{st.st_dev, st.st_ino}];
  }
  return model;
}

std::vector<std::string> Differences(const Model& expected, const Model& actual) {
  std::vector<std::string> lines;
  for (const auto& [path, entry] : expected) {
    const auto other = actual.find(path);
    if (other == actual.end()) {
      lines.push_back("missing: " + path);
    } else if (!(other->second == entry)) {
      lines.push_back(path + "\n    expected " + Describe(entry) + "\n    actual   " +
                      Describe(other->second));
    }
  }
  for (const auto& [path, entry] : actual) {
    if (!expected.contains(path)) lines.push_back("unexpected: " + path);
  }
  if (lines.size() > 20) lines.resize(20);
  return lines;
}

}  // namespace slacker::testing
