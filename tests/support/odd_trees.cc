#include <utility>

#include "tests/support/odd_tars.h"
#include "tests/support/tar_builder.h"

namespace slacker::testing {
namespace {

void AddNames(std::vector<OddTar>* tars) {
  tars->push_back(
      {"RootEntry",
       TarBuilder().Directory("./", 0700).File("./f", "abc").Directory("/").Directory("..").End()});
  tars->push_back({"Escapes", TarBuilder()
                                  .File("../../a", "1")
                                  .File("/b", "2")
                                  .File("c/../../d", "3")
                                  .File("e//f/./g", "4")
                                  .End()});
  tars->push_back({"ThroughSymlink", TarBuilder()
                                         .Directory("d")
                                         .Symlink("s", "d")
                                         .File("s/f", "abc")
                                         .Symlink("t", "/d")
                                         .File("t/g", "")
                                         .End()});
  tars->push_back({"EscapeThroughSymlink", TarBuilder()
                                               .Symlink("s", "../../../x")
                                               .File("s/f", "abc")
                                               .Symlink("u", "/../y/../z")
                                               .File("u/f", "")
                                               .End()});
  tars->push_back({"SymlinkChain", TarBuilder()
                                       .Directory("p/q")
                                       .Symlink("a", "p/q")
                                       .Symlink("b", "a/../r")
                                       .File("b/f", "abc")
                                       .End()});
  tars->push_back({"SymlinkLoop",
                   TarBuilder().Symlink("a", "b").Symlink("b", "a").File("a/f", "abc").End(),
                   Verdict::kRefused});
  tars->push_back(
      {"DanglingSymlinkParent", TarBuilder().Symlink("a", "nowhere/x").File("a/f", "abc").End()});
  tars->push_back(
      {"FileAsParent", TarBuilder().File("a", "1").File("a/f", "abc").End(), Verdict::kRefused});
  tars->push_back(
      {"ImplicitParents", TarBuilder().File("a/b/c/f", "abc").Directory("a/b", 0700).End()});
  tars->push_back(
      {"Name255", TarBuilder().Pax({{"path", std::string(255, 'n')}}).File("s", "abc").End()});
  tars->push_back({"Name256",
                   TarBuilder().Pax({{"path", std::string(256, 'n')}}).File("s", "abc").End(),
                   Verdict::kRefused});
  tars->push_back(
      {"Whiteout255",
       TarBuilder().Pax({{"path", ".wh." + std::string(255, 'n')}}).File("s", "").End()});
  tars->push_back({"OddNames", TarBuilder()
                                   .File(" ", "1")
                                   .File("a\nb", "2")
                                   .File("c\\d", "3")
                                   .File("-", "4")
                                   .File("...", "5")
                                   .End()});
  tars->push_back({"EmptyName", TarBuilder().File("a", "x").File("", "abc").File("b", "y").End()});
  tars->push_back({"EmptyTarget", TarBuilder().Symlink("s", "").End(), Verdict::kRefused});
  tars->push_back(
      {"LongTarget",
       TarBuilder().Pax({{"linkpath", std::string(4095, 't')}}).Symlink("s", "x").End()});
  tars->push_back({"TooLongTarget",
                   TarBuilder().Pax({{"linkpath", std::string(4096, 't')}}).Symlink("s", "x").End(),
                   Verdict::kRefused});
}

void AddReplacements(std::vector<OddTar>* tars) {
  tars->push_back({"FileTwice", TarBuilder().File("f", Noise(9000)).File("f", "abc", 0600).End()});
  tars->push_back({"DirectoryTwice",
                   TarBuilder().Directory("d", 0700).File("d/f", "1").Directory("d", 0711).End()});
  tars->push_back(
      {"DirectoryToFile", TarBuilder().Directory("d").File("d/f", "1").File("d", "2").End()});
  tars->push_back({"DirectoryToFileBelow",
                   TarBuilder().Directory("d").Directory("d/e").File("d", "2").End(),
                   Verdict::kRefused});
  tars->push_back(
      {"FileToDirectory", TarBuilder().File("d", "1").Directory("d").File("d/f", "2").End()});
  tars->push_back({"BackAndForth", TarBuilder()
                                       .Directory("d")
                                       .File("d/f", "1")
                                       .File("d", "2")
                                       .Directory("d", 0700)
                                       .File("d/g", "3")
                                       .End()});
  tars->push_back(
      {"DirectoryToSymlink",
       TarBuilder().Directory("d").Directory("e").Symlink("d", "e").File("d/f", "1").End()});
  tars->push_back({"DirectoryToDangling", TarBuilder().Directory("d").Symlink("d", "x").End(),
                   Verdict::kRefused});
  tars->push_back(
      {"SymlinkToDirectory",
       TarBuilder().Directory("e").Symlink("d", "e").Directory("d").File("d/f", "1").End()});
  tars->push_back(
      {"LinkThenReplaced", TarBuilder().File("a", "1").Link("b", "a").File("a", "2").End()});
}

void AddLinks(std::vector<OddTar>* tars) {
  tars->push_back(
      {"Links",
       TarBuilder().File("a", "1").Link("b", "a").Link("d/c", "./b").Link("e", "/a").End()});
  tars->push_back({"LinkChangesMetadata", TarBuilder()
                                              .File("a", "1")
                                              .Add([] {
                                                auto b = MakeBlock("b", '1');
                                                b.link_name = "a";
                                                b.mode = 0751;
                                                b.uid = 7;
                                                b.mtime = 77;
                                                return b;
                                              }())
                                              .End()});
  tars->push_back(
      {"LinkToSymlink", TarBuilder().File("t", "1").Symlink("a", "t").Link("b", "a").End()});
  tars->push_back({"LinkThroughSymlink", TarBuilder()
                                             .File("d/t", "1")
                                             .Symlink("s", "d")
                                             .Link("b", "s/t")
                                             .Link("c", "../../s/../d/t")
                                             .End()});
  tars->push_back({"LinkToLowerLayer", TarBuilder().Link("b", "a").End(), Verdict::kRefused});
  tars->push_back(
      {"LinkToDirectory", TarBuilder().Directory("a").Link("b", "a").End(), Verdict::kRefused});
  tars->push_back(
      {"LinkToItself", TarBuilder().File("a", "1").Link("a", "a").End(), Verdict::kRefused});
  tars->push_back(
      {"LinkToDevice", TarBuilder().Add(MakeDevice("c", '3', 5, 1)).Link("b", "c").End()});
  tars->push_back({"LinkToWhiteout", TarBuilder().File(".wh.c", "").Link("b", "c").End()});
  tars->push_back({"LinkDropsCapability",
                   TarBuilder()
                       .Pax({{"SCHILY.xattr.security.capability",
                              std::string("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)},
                             {"SCHILY.xattr.user.a", "1"}})
                       .File("a", "1")
                       .Pax({{"SCHILY.xattr.user.b", "2"}})
                       .Link("b", "a")
                       .End()});
}

void AddWhiteouts(std::vector<OddTar>* tars) {
  tars->push_back({"Whiteouts", TarBuilder().File(".wh.a", "").File("d/.wh.b", "").End()});
  tars->push_back({"WhiteoutThenFile", TarBuilder().File(".wh.a", "").File("a", "1").End()});
  tars->push_back({"WhiteoutThenDirectory",
                   TarBuilder().File(".wh.a", "").Directory("a").File("a/f", "1").End()});
  tars->push_back(
      {"FileThenWhiteout", TarBuilder().File("a", "1").File(".wh.a", "").End(), Verdict::kRefused});
  tars->push_back(
      {"WhiteoutTwice", TarBuilder().File(".wh.a", "").File(".wh.a", "").End(), Verdict::kRefused});
  tars->push_back({"WhiteoutAsParent", TarBuilder().File(".wh.a", "").File("a/f", "").End(),
                   Verdict::kRefused});
  tars->push_back({"WhiteoutOfNothing", TarBuilder().File("d/.wh.", "").End(), Verdict::kRefused});
  tars->push_back({"WhiteoutOfDot", TarBuilder().File("d/.wh..", "").End(), Verdict::kRefused});
  tars->push_back({"WhiteoutOfDotDot", TarBuilder().File("d/.wh...", "").End(), Verdict::kRefused});
  tars->push_back({"OpaqueFirst",
                   TarBuilder().Directory("d").File("d/.wh..wh..opq", "").File("d/f", "1").End()});
  tars->push_back({"OpaqueLast",
                   TarBuilder().Directory("d").File("d/f", "1").File("d/.wh..wh..opq", "").End()});
  tars->push_back({"OpaqueRoot", TarBuilder().File(".wh..wh..opq", "").File("f", "1").End()});
  tars->push_back({"OpaqueImplicit", TarBuilder().File("x/y/.wh..wh..opq", "").End()});
  tars->push_back({"OpaqueDirectoryReplaced",
                   TarBuilder().File("d/.wh..wh..opq", "").File("d", "1").Directory("d").End()});
  tars->push_back({"AufsNames", TarBuilder()
                                    .Directory(".wh..wh.plnk")
                                    .File(".wh..wh.aufs", "")
                                    .File(".wh..wh.orph/x", "1")
                                    .End()});
  tars->push_back({"WhiteoutThroughSymlink", TarBuilder()
                                                 .Directory("d")
                                                 .Symlink("s", "d")
                                                 .File("s/.wh.a", "")
                                                 .File("s/.wh..wh..opq", "")
                                                 .End()});
}

void AddXattrs(std::vector<OddTar>* tars) {
  const std::string binary("\0\xff\n=\0", 5);
  tars->push_back({"Xattrs", TarBuilder()
                                 .Pax({{"SCHILY.xattr.user.b", binary},
                                       {"SCHILY.xattr.user.a", "1"},
                                       {"SCHILY.xattr.security.x", ""}})
                                 .File("f", "abc")
                                 .End()});
  tars->push_back({"XattrsOnDirectory", TarBuilder()
                                            .Pax({{"SCHILY.xattr.user.a", "1"}})
                                            .Directory("d")
                                            .Pax({{"SCHILY.xattr.user.b", "2"}})
                                            .Directory("d")
                                            .End()});
  tars->push_back(
      {"XattrTwice", TarBuilder()
                         .Pax({{"SCHILY.xattr.user.a", "1"}, {"SCHILY.xattr.user.a", "2"}})
                         .File("f", "")
                         .End()});
  tars->push_back({"XattrTrusted", TarBuilder()
                                       .Pax({{"SCHILY.xattr.trusted.overlay.opaque", "y"},
                                             {"SCHILY.xattr.trusted.x", "y"}})
                                       .Directory("d")
                                       .End()});
  tars->push_back({"XattrUnknownSpace",
                   TarBuilder()
                       .Pax({{"SCHILY.xattr.foo.bar", "y"}, {"SCHILY.xattr.system.z", "1"}})
                       .File("f", "")
                       .End()});
  tars->push_back({"XattrUserOnSymlink",
                   TarBuilder()
                       .Pax({{"SCHILY.xattr.user.a", "y"}, {"SCHILY.xattr.security.a", "z"}})
                       .Symlink("s", "t")
                       .Pax({{"SCHILY.xattr.user.a", "y"}})
                       .Add(MakeBlock("p", '6'))
                       .End()});
  tars->push_back({"XattrEmptyName", TarBuilder().Pax({{"SCHILY.xattr.", "y"}}).File("f", "").End(),
                   Verdict::kRefused});
  tars->push_back(
      {"XattrOtherDialects", TarBuilder()
                                 .Pax({{"LIBARCHIVE.xattr.user.a", "eA"},
                                       {"SCHILY.acl.access", "user::rw-,group::r--,other::r--"},
                                       {"RHT.security.selinux", "x"}})
                                 .File("f", "")
                                 .End()});
}

}  // namespace

std::vector<OddTar> OddTrees() {
  std::vector<OddTar> tars;
  AddNames(&tars);
  AddReplacements(&tars);
  AddLinks(&tars);
  AddWhiteouts(&tars);
  AddXattrs(&tars);
  return tars;
}

std::vector<OddTar> OddTars() {
  std::vector<OddTar> tars = OddFormats();
  for (OddTar& tar : OddTrees()) tars.push_back(std::move(tar));
  return tars;
}

}  // namespace slacker::testing
