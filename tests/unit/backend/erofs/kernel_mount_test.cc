// The kernel and fsck.erofs read what we write: each test mounts an image and compares the whole
// tree with the model of its layers.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "backend/base/unique_fd.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/erofs/mounted_image.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string Pattern(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

// Data ranges (begin, end) of a file in the mounted image, neighbours joined.
std::vector<std::pair<uint64_t, uint64_t>> DataRanges(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(fd.valid()) << path;
  constexpr uint32_t kExtents = 256;
  std::string buffer(sizeof(struct fiemap) + kExtents * sizeof(struct fiemap_extent), '\0');
  auto* map = reinterpret_cast<struct fiemap*>(buffer.data());
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_extent_count = kExtents;
  EXPECT_EQ(ioctl(fd.get(), FS_IOC_FIEMAP, map), 0) << path << ": " << strerror(errno);
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
    const struct fiemap_extent& extent = map->fm_extents[i];
    const uint64_t end = extent.fe_logical + extent.fe_length;
    if (!ranges.empty() && ranges.back().second == extent.fe_logical) {
      ranges.back().second = end;
    } else {
      ranges.emplace_back(extent.fe_logical, end);
    }
  }
  return ranges;
}

TEST(KernelMountTest, NoLayersGiveAnEmptyRoot) { ExpectImageMatches({}); }

TEST(KernelMountTest, EmptyLayerGivesAnEmptyRoot) {
  const BuiltLayer layer = LayerBuilder().Build("empty");
  ExpectImageMatches({&layer});
}

TEST(KernelMountTest, EveryTypeKeepsItsMetadata) {
  const Meta odd{.mode = 04755,
                 .uid = 4000000000,
                 .gid = 3999999999,
                 .mtime_seconds = -86400,
                 .mtime_nanos = 123456789};
  const Meta late{.mode = 01777, .mtime_seconds = 1LL << 34, .mtime_nanos = 999999999};
  LayerBuilder builder;
  builder.Dir("", {.mode = 0700, .uid = 7, .gid = 8, .mtime_seconds = 1, .mtime_nanos = 2})
      .Dir("dir", late)
      .File("dir/empty", "", odd)
      .File("dir/file", "hello", odd)
      .Symlink("dir/link", "../dir/file", {.uid = 5, .mtime_seconds = -1, .mtime_nanos = 1})
      .Symlink("dir/long", std::string(4095, 'x'))
      .Symlink("loop", "loop")
      .Device("dir/char", NodeType::kCharDevice, 4095, 1048575, {.mode = 0600})
      .Device("dir/block", NodeType::kBlockDevice, 8, 300, odd)
      .Special("dir/fifo", NodeType::kFifo, odd)
      .Special("dir/socket", NodeType::kSocket, {.mode = 02711})
      .File("implicit/below", "x");
  const BuiltLayer layer = builder.Build("types");
  ExpectImageMatches({&layer});
}

TEST(KernelMountTest, NamesOfEveryByteAndLengthAreKept) {
  LayerBuilder builder;
  for (int c = 1; c < 256; ++c) {
    if (c == '/') continue;
    if (c != '.') builder.File(std::string(1, static_cast<char>(c)), "x");
    builder.File(std::string("..") + static_cast<char>(c), "y");
    builder.File("long/" + std::string(255, static_cast<char>(c)), "z");
  }
  const BuiltLayer layer = builder.Build("names");
  ExpectImageMatches({&layer});
}

TEST(KernelMountTest, DirectoryOfEverySizeAroundABlockIsReadBack) {
  LayerBuilder builder;
  for (int entries = 0; entries < 40; ++entries) {
    const std::string directory = "d" + std::to_string(entries);
    builder.Dir(directory);
    for (int i = 0; i < entries; ++i) {
      builder.File(directory + "/" + std::string(200, 'n') + std::to_string(i), "");
    }
  }
  // "." and ".." take 27 bytes, 16 of these entries 4032, the last one 37: a block, exactly.
  for (int i = 0; i < 17; ++i) {
    builder.File("exact/" + std::string(i < 16 ? 240 : 25, static_cast<char>('a' + i)), "");
  }
  const BuiltLayer layer = builder.Build("directories");
  ExpectImageMatches({&layer});
}

TEST(KernelMountTest, DirectoryOf100000EntriesIsReadBack) {
  LayerBuilder builder;
  for (int i = 0; i < 100000; ++i) builder.File("big/file-" + std::to_string(i), "");
  const BuiltLayer layer = builder.Build("big");
  ExpectImageMatches({&layer});
}

TEST(KernelMountTest, ContentsOfSeveralLayersAreReadFromTheirBlobs) {
  LayerBuilder lower, upper(4096), unused;
  for (const size_t size :
       std::initializer_list<size_t>{1, 4095, 4096, 4097, 65535, 65536, 65537, 300000, 1 << 20}) {
    const auto seed = static_cast<uint32_t>(size);
    lower.File("lower/" + std::to_string(size), Pattern(size, seed));
    upper.File("upper/" + std::to_string(size), Pattern(size, seed + 1));
  }
  unused.File("gone", Pattern(5000, 3)).Symlink("kept", "there");
  upper.Whiteout("gone").File("lower/1", "replaced");
  const BuiltLayer layers[] = {lower.Build("1"), unused.Build("2"), upper.Build("3")};
  ExpectImageMatches({&layers[0], &layers[1], &layers[2]});
  const MountedImage mounted({&layers[0], &layers[1], &layers[2]});
  EXPECT_THAT(mounted.image().devices, ElementsAre(0, 2));
}

TEST(KernelMountTest, LayerThatAppearsTwiceHasOneDevice) {
  const BuiltLayer base = LayerBuilder().File("a", "first").File("b", "kept").Build("base");
  const BuiltLayer middle = LayerBuilder().File("a", "second").Whiteout("b").Build("middle");
  const MountedImage mounted({&base, &middle, &base});
  EXPECT_THAT(mounted.image().devices, ElementsAre(2));
  ExpectImageMatches({&base, &middle, &base});
}

TEST(KernelMountTest, HolesStayHoles) {
  constexpr uint64_t kChunk = 64 * 1024;
  LayerBuilder builder(kChunk);
  builder.SparseFile("all", 5 * kChunk + 17, {})
      .SparseFile("begin", 8 * kChunk, {{7 * kChunk + 5, "data"}})
      .SparseFile("middle", 6 * kChunk, {{0, "a"}, {4 * kChunk, Pattern(2 * kChunk, 1)}})
      .SparseFile("end", 6 * kChunk + 1, {{0, Pattern(kChunk, 2)}})
      .SparseFile("odd", 9 * kChunk, {{kChunk, "x"}, {3 * kChunk, "y"}, {8 * kChunk, "z"}})
      .SparseFile("huge", 5ULL << 30, {{1ULL << 32, "beyond four gibibytes"}});
  const BuiltLayer layer = builder.Build("sparse");
  ExpectImageMatches({&layer});

  const MountedImage mounted({&layer});
  const auto ranges = [&](const std::string& name) {
    return DataRanges(mounted.root() + "/" + name);
  };
  EXPECT_THAT(ranges("all"), ElementsAre());
  EXPECT_THAT(ranges("begin"), ElementsAre(Pair(7 * kChunk, 8 * kChunk)));
  EXPECT_THAT(ranges("middle"), ElementsAre(Pair(0, kChunk), Pair(4 * kChunk, 6 * kChunk)));
  EXPECT_THAT(ranges("end"), ElementsAre(Pair(0, kChunk)));
  EXPECT_THAT(ranges("odd"), ElementsAre(Pair(kChunk, 2 * kChunk), Pair(3 * kChunk, 4 * kChunk),
                                         Pair(8 * kChunk, 9 * kChunk)));
  EXPECT_THAT(ranges("huge"), ElementsAre(Pair(1ULL << 32, (1ULL << 32) + kChunk)));
}

TEST(KernelMountTest, FileOverFourGibibytesIsReadBack) {
  constexpr uint64_t kSize = (4ULL << 30) + 12345;
  LayerBuilder builder(256 * 1024);
  builder.File("before", "before")
      .SparseFile("large", kSize, {{0, "first"}, {(4ULL << 30) - 2, "over"}, {kSize - 4, "last"}},
                  /*holes=*/false);
  const BuiltLayer layer = builder.Build("large");
  const MountedImage mounted({&layer});
  const UniqueFd fd(open((mounted.root() + "/large").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd.valid());
  struct stat st;
  ASSERT_EQ(fstat(fd.get(), &st), 0);
  EXPECT_EQ(static_cast<uint64_t>(st.st_size), kSize);
  const auto read_at = [&](uint64_t offset, size_t size) {
    std::string bytes(size, '\0');
    EXPECT_EQ(pread(fd.get(), bytes.data(), size, static_cast<off_t>(offset)),
              static_cast<ssize_t>(size));
    return bytes;
  };
  EXPECT_EQ(read_at(0, 6), std::string("first\0", 6));
  EXPECT_EQ(read_at((4ULL << 30) - 3, 6), std::string("\0over\0", 6));
  EXPECT_EQ(read_at(kSize - 5, 5), std::string("\0last", 5));
  EXPECT_THAT(DataRanges(mounted.root() + "/large"),
              ElementsAre(Pair(0, (kSize + 4095) / 4096 * 4096)));
}

// The form of POSIX ACLs in system.posix_acl_access: version 2, then tag, permissions and ID.
std::string Acl(uint32_t named_user) {
  std::string acl("\2\0\0\0", 4);
  const auto add = [&acl](uint16_t tag, uint16_t permissions, uint32_t id) {
    acl.append(reinterpret_cast<const char*>(&tag), sizeof tag);
    acl.append(reinterpret_cast<const char*>(&permissions), sizeof permissions);
    acl.append(reinterpret_cast<const char*>(&id), sizeof id);
  };
  constexpr uint32_t kNoId = 0xFFFFFFFF;
  add(0x01, 7, kNoId);
  add(0x02, 5, named_user);
  add(0x04, 5, kNoId);
  add(0x10, 5, kNoId);
  add(0x20, 5, kNoId);
  return acl;
}

TEST(KernelMountTest, XattrsInlineSharedAndLongAreKept) {
  const std::string capability("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  LayerBuilder builder;
  builder
      .Dir("d", {.xattrs = {{"security.selinux", "label"},
                            {"system.posix_acl_access", Acl(1000)},
                            {"system.posix_acl_default", Acl(1001)},
                            {"trusted.t", "t"},
                            {"user.empty", ""}}})
      .File("d/cap", "x", {.xattrs = {{"security.capability", capability}}})
      .File("d/long", "y", {.xattrs = {{"user.long", Pattern(65535, 9)}}})
      .File("d/long2", "z", {.xattrs = {{"user.long", Pattern(65535, 9)}, {"user.own", "own"}}})
      .File("d/name", "", {.xattrs = {{"user." + std::string(250, 'n'), Pattern(1000, 4)}}})
      .Symlink("d/link", std::string(3990, 'l'), {.xattrs = {{"trusted.of_link", Pattern(900, 2)}}})
      .Special("d/fifo", NodeType::kFifo, {.xattrs = {{"security.x", Pattern(500, 1)}}});
  for (int i = 0; i < 300; ++i) {
    const std::string number = std::to_string(i);
    builder.File("many/" + number, "",
                 {.xattrs = {{"security.selinux", "label"}, {"user.number", number}}});
  }
  Meta crowded;
  for (int i = 100; i < 400; ++i) {
    crowded.xattrs.emplace_back("user." + std::to_string(i), "same");
  }
  builder.File("crowded1", "1", crowded).File("crowded2", "2", crowded);
  const BuiltLayer layer = builder.Build("xattrs");
  ExpectImageMatches({&layer});
}

TEST(KernelMountTest, XattrsOfUnknownNamespacesAreLeftOut) {
  const BuiltLayer layer =
      LayerBuilder()
          .File("f", "", {.xattrs = {{"system.nfs4_acl", "x"}, {"user.", "y"}, {"user.a", "z"}}})
          .Build("unknown");
  const MountedImage mounted({&layer});
  EXPECT_THAT(ReadModel(mounted.root())["f"].xattrs, ElementsAre(Pair("user.a", "z")));
}

TEST(KernelMountTest, HardLinksAreOneInode) {
  const BuiltLayer lower = LayerBuilder()
                               .File("a", "linked")
                               .Link("b", "a")
                               .Link("d/c", "a")
                               .Link("d/gone", "a")
                               .Special("fifo", NodeType::kFifo)
                               .Link("fifo2", "fifo")
                               .Build("lower");
  const BuiltLayer upper =
      LayerBuilder().File("b", "replaced").Link("e", "b").Whiteout("d/gone").Build("upper");
  ExpectImageMatches({&lower, &upper});
}

// More than 16 bits hold, in which inodes without 32 would count them.
TEST(KernelMountTest, SeventyThousandLinksAndSubdirectoriesAreCounted) {
  constexpr uint32_t kCount = 70'000;
  LayerBuilder builder;
  builder.File("linked", "content").Dir("links").Dir("directories");
  for (uint32_t i = 1; i < kCount; ++i) builder.Link("links/" + std::to_string(i), "linked");
  for (uint32_t i = 0; i < kCount; ++i) builder.Dir("directories/" + std::to_string(i));
  const BuiltLayer layer = builder.Build("links");
  const MountedImage mounted({&layer});
  struct stat st {};
  for (const char* name : {"/linked", "/links/1", "/links/69999"}) {
    ASSERT_EQ(stat((mounted.root() + name).c_str(), &st), 0) << name;
    EXPECT_EQ(st.st_nlink, kCount) << name;
  }
  ASSERT_EQ(stat((mounted.root() + "/directories").c_str(), &st), 0);
  EXPECT_EQ(st.st_nlink, kCount + 2);
}

TEST(KernelMountTest, SixtyLayersAreMerged) {
  std::vector<BuiltLayer> layers;
  for (int i = 0; i < 60; ++i) {
    const std::string number = std::to_string(i);
    LayerBuilder builder;
    builder.File("all/" + number, "of layer " + number).File("top", number);
    if (i % 3 == 2) builder.Whiteout("all/" + std::to_string(i - 1));
    layers.push_back(builder.Build(number));
  }
  std::vector<const BuiltLayer*> pointers;
  for (const BuiltLayer& layer : layers) pointers.push_back(&layer);
  ExpectImageMatches(pointers);
}

TEST(KernelMountTest, DumpShowsSuperblockAndInodes) {
  const BuiltLayer layer = LayerBuilder().File("f", "content").Build("dump");
  const MountedImage mounted({&layer});
  const std::string super = mounted.Dump("-s");
  EXPECT_THAT(super, HasSubstr("sb_csum"));
  EXPECT_THAT(super, HasSubstr("mtime"));
  EXPECT_THAT(super, HasSubstr("chunked_file"));
  EXPECT_THAT(super, HasSubstr("device_table"));
  EXPECT_THAT(mounted.Dump("--path=/f"), HasSubstr("7"));
}

}  // namespace
}  // namespace slacker::testing
