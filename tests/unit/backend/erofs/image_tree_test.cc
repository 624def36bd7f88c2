#include "backend/erofs/image_tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "backend/erofs/directory_layout.h"
#include "tests/support/layer_builder.h"

namespace slacker::erofs {
namespace {

using slacker::testing::BuiltLayer;
using slacker::testing::LayerBuilder;
using slacker::testing::Meta;

// "path type uid nlink" lines in the order of the tree, links after the first as "path = inode's
// first path". The uid tells which node the metadata are from.
void Render(const ImageTree& tree, uint32_t directory, const std::string& path,
            std::vector<std::string>* first, std::vector<std::string>* lines) {
  for (const TreeEntry& entry : tree.Children(tree.inodes[directory])) {
    const TreeInode& inode = tree.inodes[entry.inode];
    const std::string below = path + std::string(entry.name);
    std::string& known = (*first)[entry.inode];
    if (!known.empty()) {
      lines->push_back(below + " = " + known);
      continue;
    }
    known = below;
    const char type = "?rdcbpsl"[DirectoryEntryType(inode.node->type)];
    lines->push_back(below + " " + type + std::to_string(inode.node->uid) + " " +
                     std::to_string(inode.nlink));
    if (inode.is_directory) Render(tree, entry.inode, below + "/", first, lines);
  }
}

std::vector<std::string> Merge(const std::vector<LayerBuilder>& builders) {
  std::vector<BuiltLayer> built;
  for (LayerBuilder builder : builders) built.push_back(builder.Build("layer"));
  std::vector<const Layer*> layers;
  for (const BuiltLayer& layer : built) layers.push_back(&layer.layer);
  const ImageTree tree = MergeLayers(layers);
  std::vector<std::string> first(tree.inodes.size());
  std::vector<std::string> lines = {"/ d" + std::to_string(tree.inodes[0].node->uid) + " " +
                                    std::to_string(tree.inodes[0].nlink)};
  Render(tree, 0, "", &first, &lines);
  return lines;
}

Meta By(uint32_t uid) { return {.uid = uid}; }

struct MergeCase {
  std::string name;
  std::vector<LayerBuilder> layers;
  std::vector<std::string> expected;
};

class MergeTest : public ::testing::TestWithParam<MergeCase> {};

TEST_P(MergeTest, GivesTheTree) { EXPECT_EQ(Merge(GetParam().layers), GetParam().expected); }

// Depth first, unlike the walk that merges everything. `seen`: lazy inodes, and what they are.
void ExpectSame(const ImageTree& tree, uint32_t directory, LazyTree* lazy, uint32_t lazy_directory,
                std::map<uint32_t, uint32_t>* seen) {
  const auto children = tree.Children(tree.inodes[directory]);
  const auto lazily = lazy->Children(lazy_directory);
  const std::vector<TreeEntry> entries(lazily.begin(), lazily.end());
  ASSERT_EQ(entries.size(), children.size());
  for (size_t i = entries.size(); i-- > 0;) {
    EXPECT_EQ(entries[i].name, children[i].name);
    const TreeInode& inode = tree.inodes[children[i].inode];
    EXPECT_EQ(lazy->inode(entries[i].inode).node, inode.node);
    EXPECT_EQ(lazy->inode(entries[i].inode).layer, inode.layer);
    EXPECT_EQ(seen->emplace(entries[i].inode, children[i].inode).first->second, children[i].inode);
    if (inode.is_directory) ExpectSame(tree, children[i].inode, lazy, entries[i].inode, seen);
  }
}

TEST_P(MergeTest, GivesTheSameTreeLazily) {
  std::vector<BuiltLayer> built;
  for (LayerBuilder builder : GetParam().layers) built.push_back(builder.Build("layer"));
  std::vector<const Layer*> layers;
  for (const BuiltLayer& layer : built) layers.push_back(&layer.layer);
  const ImageTree tree = MergeLayers(layers);
  LazyTree lazy(layers);
  EXPECT_EQ(lazy.inode(0).node, tree.inodes[0].node);
  std::map<uint32_t, uint32_t> seen;
  ExpectSame(tree, 0, &lazy, 0, &seen);
  EXPECT_EQ(seen.size() + 1, tree.inodes.size());
  ExpectSame(tree, 0, &lazy, 0, &seen);  // what is merged stays as it is
}

LayerBuilder L() { return LayerBuilder(); }

std::vector<MergeCase> Cases() {
  return {
      {"NoLayers", {}, {"/ d0 2"}},
      {"FileOverFile", {L().File("f", "", By(1)), L().File("f", "", By(2))}, {"/ d0 2", "f r2 1"}},
      {"EntriesAreSortedBytewise",
       {L().File("b", "").File("\xff", "").File("a", "").File("-", "").File("bb", "")},
       {"/ d0 2", "- r0 1", "a r0 1", "b r0 1", "bb r0 1", "\xff r0 1"}},
      {"LongNamesWithACommonPrefixAreSorted",
       {L().File("prefix--c", "").File("prefix--", ""), L().File("prefix--b", "")},
       {"/ d0 2", "prefix-- r0 1", "prefix--b r0 1", "prefix--c r0 1"}},
      {"DirectoryOverDirectoryShowsBothWithUpperMetadata",
       {L().Dir("d", By(1)).File("d/a", "", By(1)), L().Dir("d", By(2)).File("d/b", "", By(2))},
       {"/ d0 3", "d d2 2", "d/a r1 1", "d/b r2 1"}},
      {"ImplicitDirectoryKeepsLowerMetadata",
       {L().Dir("d", By(1)), L().File("d/b", "", By(2))},
       {"/ d0 3", "d d1 2", "d/b r2 1"}},
      {"ImplicitDirectoryWithoutLowerHasTheDefault",
       {L().File("d/b", "", By(2))},
       {"/ d0 3", "d d0 2", "d/b r2 1"}},
      {"ImplicitDirectoryOverFileHasTheDefault",
       {L().File("d", "", By(1)), L().File("d/b", "", By(2))},
       {"/ d0 3", "d d0 2", "d/b r2 1"}},
      {"ImplicitDirectoryOverWhiteoutDoesNotSeeThroughIt",
       {L().Dir("d", By(1)).File("d/a", ""), L().Whiteout("d"), L().File("d/b", "", By(2))},
       {"/ d0 3", "d d0 2", "d/b r2 1"}},
      {"WhiteoutDeletesFile", {L().File("f", ""), L().Whiteout("f")}, {"/ d0 2"}},
      {"WhiteoutDeletesTree", {L().File("d/e/f", ""), L().Whiteout("d")}, {"/ d0 2"}},
      {"WhiteoutOfNothingIsNothing", {L().Whiteout("f")}, {"/ d0 2"}},
      {"WhiteoutBelowDirectory",
       {L().Dir("d", By(1)).File("d/a", "").File("d/b", ""), L().Whiteout("d/a")},
       {"/ d0 3", "d d1 2", "d/b r0 1"}},
      {"FileAfterWhiteoutIsBack",
       {L().File("f", "", By(1)), L().Whiteout("f"), L().File("f", "", By(3))},
       {"/ d0 2", "f r3 1"}},
      {"DirectoryAfterWhiteoutIsEmpty",
       {L().File("d/a", ""), L().Whiteout("d"), L().Dir("d", By(3))},
       {"/ d0 3", "d d3 2"}},
      {"NullDeviceIsAWhiteout",
       {L().File("f", ""), L().Device("f", NodeType::kCharDevice, 0, 0)},
       {"/ d0 2"}},
      {"BlockDeviceZeroIsNoWhiteout",
       {L().Device("f", NodeType::kBlockDevice, 0, 0)},
       {"/ d0 2", "f b0 1"}},
      {"OpaqueDirectoryHidesLowerEntries",
       {L().File("d/a", ""), L().Dir("d", By(2)).Opaque("d").File("d/b", "")},
       {"/ d0 3", "d d2 2", "d/b r0 1"}},
      {"OpaqueImplicitDirectoryKeepsLowerMetadata",
       {L().Dir("d", By(1)).File("d/a", ""), L().Opaque("d").File("d/b", "")},
       {"/ d0 3", "d d1 2", "d/b r0 1"}},
      {"DirectoryOverOpaqueShowsBoth",
       {L().File("d/a", ""), L().Opaque("d").File("d/b", ""), L().File("d/c", "")},
       {"/ d0 3", "d d0 2", "d/b r0 1", "d/c r0 1"}},
      {"OpaqueRootHidesNothing",
       {L().Dir("", By(1)).File("a", ""), L().Opaque("").File("b", "")},
       {"/ d1 2", "a r0 1", "b r0 1"}},
      {"FileOverDirectoryHidesTheTree",
       {L().File("d/a", ""), L().File("d", "", By(2))},
       {"/ d0 2", "d r2 1"}},
      {"DirectoryOverFileOverDirectoryIsEmpty",
       {L().File("d/a", ""), L().File("d", ""), L().Dir("d", By(3))},
       {"/ d0 3", "d d3 2"}},
      {"SymlinkOverDirectoryIsNotFollowed",
       {L().File("d/a", ""), L().Symlink("d", "e")},
       {"/ d0 2", "d l0 1"}},
      {"RootMetadataAreTheTopmostExplicit",
       {L().Dir("", By(1)), L().Dir("", By(2)), L().File("f", "")},
       {"/ d2 2", "f r0 1"}},
      {"LinksOfALayerShareAnInode",
       {L().File("a", "").Link("b", "a").Link("d/c", "a")},
       {"/ d0 3", "a r0 3", "b = a", "d d0 2", "d/c = a"}},
      {"RestOfALinkGroupKeepsTogether",
       {L().File("a", "", By(1)).Link("b", "a").Link("c", "a").Link("d", "a"),
        L().Whiteout("a").File("b", "", By(2))},
       {"/ d0 2", "b r2 1", "c r1 2", "d = c"}},
      {"LinkGroupsOfTwoLayersStayApart",
       {L().File("a", "", By(1)).Link("b", "a"), L().File("c", "", By(2)).Link("b", "c")},
       {"/ d0 2", "a r1 1", "b r2 2", "c = b"}},
      {"LinkCountOfDirectoriesCountsSubdirectories",
       {L().Dir("d/e").Dir("d/f").File("d/g", ""), L().Dir("d/h").Whiteout("d/e")},
       {"/ d0 3", "d d0 4", "d/f d0 2", "d/g r0 1", "d/h d0 2"}},
  };
}

INSTANTIATE_TEST_SUITE_P(All, MergeTest, ::testing::ValuesIn(Cases()),
                         [](const auto& test) { return test.param.name; });

TEST(ImageTreeTest, ParentsOfDirectoriesAreTheirDirectories) {
  const BuiltLayer built = LayerBuilder().Dir("a/b").Build("x");
  const ImageTree tree = MergeLayers({&built.layer});
  ASSERT_EQ(tree.inodes.size(), 3u);
  EXPECT_EQ(tree.inodes[0].parent, 0u);
  EXPECT_EQ(tree.inodes[1].parent, 0u);
  EXPECT_EQ(tree.inodes[2].parent, 1u);
}

// As mkdir(2) has it, and chmod(2) with 0755 behind it: the next directory below is root's again.
TEST(ImageTreeTest, DirectoriesThatNoTarNamesHaveTheGroupOfASetgidParent) {
  const BuiltLayer base = LayerBuilder()
                              .Dir("staff", {.mode = 02775, .gid = 50})
                              .Dir("plain", {.mode = 0775, .gid = 50})
                              .Build("base");
  const BuiltLayer top = LayerBuilder()
                             .ImplicitDir("staff")
                             .ImplicitDir("staff/made")
                             .ImplicitDir("staff/made/below")
                             .File("staff/made/below/f", "")
                             .ImplicitDir("plain")
                             .ImplicitDir("plain/made")
                             .File("plain/made/f", "")
                             .Build("top");
  ImageTree merged = MergeLayers({&base.layer, &top.layer});
  const ImageTree tree = std::move(merged);
  std::map<std::string, std::pair<uint32_t, uint32_t>> found;
  std::function<void(uint32_t, const std::string&)> walk = [&](uint32_t at, const std::string& up) {
    for (const TreeEntry& entry : tree.Children(tree.inodes[at])) {
      const TreeInode& inode = tree.inodes[entry.inode];
      found[up + std::string(entry.name)] = {inode.node->mode, inode.node->gid};
      if (inode.is_directory) walk(entry.inode, up + std::string(entry.name) + "/");
    }
  };
  walk(0, "");
  EXPECT_EQ(found["staff"], (std::pair<uint32_t, uint32_t>(02775, 50)));
  EXPECT_EQ(found["staff/made"], (std::pair<uint32_t, uint32_t>(0755, 50)));
  EXPECT_EQ(found["staff/made/below"], (std::pair<uint32_t, uint32_t>(0755, 0)));
  EXPECT_EQ(found["plain/made"], (std::pair<uint32_t, uint32_t>(0755, 0)));
}

TEST(ImageTreeTest, DeepTreeNeedsNoDeepStack) {
  LayerBuilder builder;
  std::string path = "d";
  for (int depth = 0; depth < 3000; ++depth, path += "/d") builder.Dir(path);
  const BuiltLayer built = builder.Build("deep");
  EXPECT_EQ(MergeLayers({&built.layer, &built.layer}).inodes.size(), 3001u);
}

}  // namespace
}  // namespace slacker::erofs
