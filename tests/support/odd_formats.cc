#include <utility>

#include "tests/support/odd_tars.h"
#include "tests/support/tar_builder.h"

namespace slacker::testing {
namespace {

TarBlock Dialect(std::string name, const std::string& magic) {
  TarBlock block = MakeBlock(std::move(name));
  block.magic = magic;
  return block;
}

void AddDialects(std::vector<OddTar>* tars) {
  const std::string utf8 = "d/\xc3\xa4\xe2\x82\xac";
  const std::string latin1 = "d/\xe4\xff\x80";
  const std::string longer = "l/" + std::string(150, 'x') + "/" + std::string(200, 'y');
  tars->push_back({"Empty", ""});
  tars->push_back({"OnlyZeros", TarBuilder().End()});
  tars->push_back({"OneBlockOfZeros", std::string(512, '\0')});
  tars->push_back({"NoEnd", TarBuilder().File("f", "abc").bytes()});
  tars->push_back({"Blocked", TarBuilder().File("f", "abc").End() + std::string(9216, '\0')});
  tars->push_back({"TrailingBytes", TarBuilder().File("f", "abc").End() + "rest" + Noise(5000)});
  tars->push_back({"ZerosBetween",
                   TarBuilder().File("f", "abc").Raw(std::string(512, '\0')).File("g", "x").End(),
                   Verdict::kRefused});
  tars->push_back({"V7", TarBuilder().Add(Dialect("f", kV7Magic), "abc").End()});
  tars->push_back({"V7Directory", TarBuilder()
                                      .Add([] {
                                        auto b = Dialect("d/", kV7Magic);
                                        b.type = '\0';
                                        b.mode = 0750;
                                        return b;
                                      }())
                                      .End()});
  tars->push_back({"V7DeviceHasNoNumbers", TarBuilder()
                                               .Add([] {
                                                 auto b = MakeDevice("c", '3', 1, 3);
                                                 b.magic = kV7Magic;
                                                 return b;
                                               }())
                                               .End()});
  tars->push_back({"OldFileType", TarBuilder().Add(MakeBlock("f", '\0'), "abc").End()});
  tars->push_back(
      {"RegularWithSlash", TarBuilder().Add(MakeBlock("f/"), "abc").End(), Verdict::kAmbiguous});
  tars->push_back({"UstarPrefix", TarBuilder()
                                      .Add(
                                          [] {
                                            auto b = MakeBlock("f");
                                            b.prefix = "p/q";
                                            return b;
                                          }(),
                                          "abc")
                                      .End()});
  tars->push_back({"Gnu", TarBuilder().Add(Dialect("f", kGnuMagic), "abc").End()});
  tars->push_back({"GnuPrefixOfOldGo", TarBuilder()
                                           .Add(
                                               [] {
                                                 auto b = Dialect("f", kGnuMagic);
                                                 b.prefix = "pre/fix";
                                                 return b;
                                               }(),
                                               "abc")
                                           .End()});
  tars->push_back({"Star", TarBuilder()
                               .Add(
                                   [] {
                                     auto b = MakeBlock("f");
                                     b.prefix = std::string(131, 'p');
                                     b.raw = {{508, std::string("tar\0", 4)}};
                                     return b;
                                   }(),
                                   "abc")
                               .End()});
  tars->push_back({"GnuLongName", TarBuilder().GnuLong('L', longer).File("short", "abc").End()});
  tars->push_back({"GnuLongLink", TarBuilder().GnuLong('K', longer).Symlink("s", "short").End()});
  tars->push_back({"GnuLongNameAndPath",
                   TarBuilder().GnuLong('L', "gnu").Pax({{"path", "pax"}}).File("f", "abc").End()});
  tars->push_back({"PaxPath", TarBuilder().Pax({{"path", longer}}).File("short", "abc").End()});
  tars->push_back(
      {"PaxUtf8", TarBuilder().Pax({{"path", utf8}, {"linkpath", utf8}}).Symlink("s", "x").End()});
  tars->push_back({"PaxLatin1", TarBuilder().Pax({{"path", latin1}}).File("short", "abc").End()});
  tars->push_back(
      {"PaxBinaryCharset",
       TarBuilder().Pax({{"hdrcharset", "BINARY"}, {"path", latin1}}).File("s", "abc").End()});
  tars->push_back({"HeaderLatin1", TarBuilder().File(latin1, "abc").End()});
  tars->push_back({"PaxNulInPath",
                   TarBuilder().Pax({{"path", std::string("a\0b", 3)}}).File("s", "").End(),
                   Verdict::kRefused});
  tars->push_back({"PaxMalformed",
                   TarBuilder().Add(MakeBlock("p", 'x'), "11 path=abc").File("s", "").End(),
                   Verdict::kRefused});
  tars->push_back(
      {"PaxGlobal", TarBuilder().Pax({{"comment", "0123"}}, 'g').File("f", "abc").End()});
  tars->push_back(
      {"PaxGlobalPathDoesNotStick",
       TarBuilder().Pax({{"path", "g/h"}, {"mtime", "5"}}, 'g').File("f", "abc").End()});
  tars->push_back(
      {"PaxGlobalAtEnd", TarBuilder().File("f", "abc").Pax({{"comment", "x"}}, 'g').End()});
  tars->push_back({"PaxGlobalReplaces",
                   TarBuilder().File("f", "abc").Add(MakeBlock("f", 'g')).File("g", "").End()});
  tars->push_back(
      {"PaxLostBeforeGlobal",
       TarBuilder().Pax({{"path", "a"}}).Pax({{"comment", "x"}}, 'g').File("f", "abc").End()});
  tars->push_back(
      {"PaxTwice",
       TarBuilder().Pax({{"path", "a"}}).Pax({{"mtime", "9.5"}}).File("f", "abc").End()});
  tars->push_back(
      {"PaxAtEnd", TarBuilder().File("f", "abc").Pax({{"path", "a"}}).End(), Verdict::kAmbiguous});
  tars->push_back(
      {"PaxSize", TarBuilder().Pax({{"size", "3"}}).Add(MakeBlock("f"), "abc", true).End()});
  tars->push_back({"SchilyRealsizeIsIgnored",
                   TarBuilder().Pax({{"SCHILY.realsize", "3"}}).File("f", "abc").End()});
  tars->push_back(
      {"SchilyDevIsIgnored",
       TarBuilder().Pax({{"SCHILY.devmajor", "9"}}).Add(MakeDevice("c", '3', 5, 1)).End()});
}

void AddNumbers(std::vector<OddTar>* tars) {
  tars->push_back({"Base256Ids", TarBuilder()
                                     .Add(
                                         [] {
                                           auto b = MakeBlock("f");
                                           b.uid = 3'000'000'000;
                                           b.gid = 70'000'000;
                                           return b;
                                         }(),
                                         "abc")
                                     .End()});
  tars->push_back({"MinusOneId", TarBuilder()
                                     .Add(
                                         [] {
                                           auto b = MakeBlock("f");
                                           b.uid = -1;
                                           b.gid = 5;
                                           return b;
                                         }(),
                                         "abc")
                                     .End()});
  tars->push_back(
      {"PaxIds", TarBuilder().Pax({{"uid", "4000000000"}, {"gid", "+7"}}).File("f", "abc").End()});
  tars->push_back(
      {"PaxBadId", TarBuilder().Pax({{"uid", "12x"}}).File("f", "abc").End(), Verdict::kRefused});
  tars->push_back({"NegativeTime", TarBuilder()
                                       .Add(
                                           [] {
                                             auto b = MakeBlock("f");
                                             b.mtime = -5;
                                             return b;
                                           }(),
                                           "abc")
                                       .End()});
  tars->push_back({"HugeTime", TarBuilder()
                                   .Add(
                                       [] {
                                         auto b = MakeBlock("f");
                                         b.mtime = int64_t{1} << 50;
                                         return b;
                                       }(),
                                       "abc")
                                   .End()});
  tars->push_back({"Base256Time", TarBuilder()
                                      .Add(
                                          [] {
                                            auto b = MakeBlock("f");
                                            b.mtime = 9'000'000'000;
                                            return b;
                                          }(),
                                          "abc")
                                      .End()});
  tars->push_back(
      {"PaxTime", TarBuilder().Pax({{"mtime", "1234567890.123456789123"}}).File("f", "abc").End()});
  tars->push_back(
      {"PaxTimeShort", TarBuilder().Pax({{"mtime", "1234567890.5"}}).File("f", "abc").End()});
  tars->push_back(
      {"PaxNegativeTime", TarBuilder().Pax({{"mtime", "-0.5"}}).File("f", "abc").End()});
  tars->push_back({"PaxBadTime", TarBuilder().Pax({{"mtime", "1.x"}}).File("f", "abc").End(),
                   Verdict::kRefused});
  tars->push_back({"PaxBadAtime", TarBuilder().Pax({{"atime", "now"}}).File("f", "abc").End(),
                   Verdict::kRefused});
  tars->push_back(
      {"SpecialBits",
       TarBuilder().File("f", "abc", 07777).Directory("d", 07755).File("g", "", 04755).End()});
  tars->push_back(
      {"ModeWithType", TarBuilder().File("f", "abc", 0100644).Directory("d", 040700).End()});
  tars->push_back({"SpacePadded", TarBuilder()
                                      .Add(
                                          [] {
                                            auto b = MakeBlock("f");
                                            b.raw = {{100, "  644  "}, {108, "   12  "}};
                                            return b;
                                          }(),
                                          "abc")
                                      .End()});
  tars->push_back({"BadMode",
                   TarBuilder()
                       .Add(
                           [] {
                             auto b = MakeBlock("f");
                             b.raw = {{100, "9999999"}};
                             return b;
                           }(),
                           "abc")
                       .End(),
                   Verdict::kRefused});
  tars->push_back({"BadChecksum",
                   TarBuilder()
                       .File("a", "")
                       .Add(
                           [] {
                             auto b = MakeBlock("f");
                             b.raw = {{148, "0000001"}};
                             return b;
                           }(),
                           "abc")
                       .End(),
                   Verdict::kRefused});
  tars->push_back({"NegativeSize",
                   TarBuilder()
                       .File("a", "")
                       .Add(
                           [] {
                             auto b = MakeBlock("f");
                             b.size = -512;
                             return b;
                           }(),
                           "", true)
                       .End(),
                   Verdict::kRefused});
  tars->push_back({"Devices", TarBuilder()
                                  .Add(MakeDevice("c", '3', 5, 1))
                                  .Add(MakeDevice("b", '4', 259, 70000))
                                  .Add(MakeBlock("p", '6'))
                                  .End()});
  tars->push_back(
      {"DeviceBitsCut", TarBuilder().Add(MakeDevice("c", '3', 0x12345, 0x1234567)).End()});
  tars->push_back({"DeviceTooLarge",
                   TarBuilder().Add(MakeDevice("c", '3', int64_t{1} << 33, 0)).End(),
                   Verdict::kRefused});
  tars->push_back(
      {"DeviceZeroIsWhiteout",
       TarBuilder().Add(MakeDevice("c", '3', 0, 0)).Add(MakeDevice("b", '4', 0, 0)).End()});
}

void AddTypes(std::vector<OddTar>* tars) {
  for (const char type : {'7', 'V', 'M', 'N', 'S', 'Z', 'D'}) {
    tars->push_back({std::string("Type") + type,
                     TarBuilder().File("a", "x").Add(MakeBlock("f", type), "abc").End(),
                     Verdict::kRefused});
  }
  tars->push_back(
      {"UnknownTypeOfWhiteout", TarBuilder().File("a", "x").Add(MakeBlock(".wh.b", 'Z')).End()});
  tars->push_back(
      {"WhiteoutWithContent", TarBuilder().File(".wh.b", Noise(5000)).File("c", "x").End()});
  tars->push_back({"DirectoryWithSize", TarBuilder()
                                            .Add(
                                                [] {
                                                  auto b = MakeBlock("d/", '5');
                                                  b.size = 5;
                                                  return b;
                                                }(),
                                                "", true)
                                            .File("a", "x")
                                            .End()});
  tars->push_back({"SymlinkWithSize", TarBuilder()
                                          .Add(
                                              [] {
                                                auto b = MakeBlock("s", '2');
                                                b.link_name = "t";
                                                b.size = 5;
                                                return b;
                                              }(),
                                              "", true)
                                          .File("a", "x")
                                          .End()});
  tars->push_back({"LinkWithSize", TarBuilder()
                                       .File("t", "abc")
                                       .Add(
                                           [] {
                                             auto b = MakeBlock("s", '1');
                                             b.link_name = "t";
                                             b.size = 3;
                                             return b;
                                           }(),
                                           "", true)
                                       .File("a", "x")
                                       .End()});
}

// Runs of data at 0, at 100000 and a hole to the end.
void AddSparse(std::vector<OddTar>* tars) {
  const std::string first = Noise(5000);
  const std::string second = Noise(1000);
  const std::string data = first + second;
  tars->push_back({"Sparse00", TarBuilder()
                                   .Pax({{"GNU.sparse.size", "300000"},
                                         {"GNU.sparse.numblocks", "3"},
                                         {"GNU.sparse.offset", "0"},
                                         {"GNU.sparse.numbytes", "5000"},
                                         {"GNU.sparse.offset", "100000"},
                                         {"GNU.sparse.numbytes", "1000"},
                                         {"GNU.sparse.offset", "300000"},
                                         {"GNU.sparse.numbytes", "0"}})
                                   .File("f", data)
                                   .File("g", "x")
                                   .End()});
  tars->push_back({"Sparse01", TarBuilder()
                                   .Pax({{"GNU.sparse.size", "300000"},
                                         {"GNU.sparse.numblocks", "3"},
                                         {"GNU.sparse.name", "real"},
                                         {"GNU.sparse.map", "0,5000,100000,1000,300000,0"}})
                                   .File("f", data)
                                   .File("g", "x")
                                   .End()});
  std::string map = "3\n0\n5000\n100000\n1000\n300000\n0\n";
  map.resize(512, '\0');
  tars->push_back({"Sparse10", TarBuilder()
                                   .Pax({{"GNU.sparse.major", "1"},
                                         {"GNU.sparse.minor", "0"},
                                         {"GNU.sparse.name", "real"},
                                         {"GNU.sparse.realsize", "300000"}})
                                   .File("f", map + data)
                                   .File("g", "x")
                                   .End()});
  std::string hole = "1\n300000\n0\n";
  hole.resize(512, '\0');
  tars->push_back({"SparseOnlyHole", TarBuilder()
                                         .Pax({{"GNU.sparse.major", "1"},
                                               {"GNU.sparse.minor", "0"},
                                               {"GNU.sparse.name", "real"},
                                               {"GNU.sparse.realsize", "300000"}})
                                         .File("f", hole)
                                         .File("g", "x")
                                         .End()});
  tars->push_back({"SparseMissesData",
                   TarBuilder()
                       .Pax({{"GNU.sparse.major", "1"},
                             {"GNU.sparse.minor", "0"},
                             {"GNU.sparse.name", "real"},
                             {"GNU.sparse.realsize", "300000"}})
                       .File("f", map + first)
                       .File("g", "x")
                       .End(),
                   Verdict::kRefused});
  tars->push_back(
      {"SparseUnknownVersion", TarBuilder()
                                   .Pax({{"GNU.sparse.major", "2"}, {"GNU.sparse.minor", "0"}})
                                   .File("f", data)
                                   .File("g", "x")
                                   .End()});
  tars->push_back({"SparseBeyondEnd",
                   TarBuilder()
                       .Pax({{"GNU.sparse.size", "3000"},
                             {"GNU.sparse.numblocks", "1"},
                             {"GNU.sparse.map", "0,6000"}})
                       .File("f", data)
                       .End(),
                   Verdict::kRefused});
}

void AddContents(std::vector<OddTar>* tars) {
  tars->push_back(
      {"ZeroContent",
       TarBuilder().File("f", std::string(100'000, '\0')).File("g", std::string(5, '\0')).End()});
  tars->push_back(
      {"ZeroChunks",
       TarBuilder().File("f", Noise(4096) + std::string(8192, '\0') + Noise(100)).End()});
  tars->push_back({"BlockSizes", TarBuilder()
                                     .File("a", Noise(511))
                                     .File("b", Noise(512))
                                     .File("c", Noise(513))
                                     .File("d", Noise(4096))
                                     .File("e", "")
                                     .End()});
  tars->push_back({"DirtyPadding", TarBuilder()
                                       .Add(
                                           [] {
                                             auto b = MakeBlock("f");
                                             b.size = 3;
                                             return b;
                                           }(),
                                           "abc" + Noise(509), true)
                                       .File("g", "x")
                                       .End()});
  tars->push_back({"Megabyte", TarBuilder().File("f", Noise(1 << 20)).End()});
}

}  // namespace

std::vector<OddTar> OddFormats() {
  std::vector<OddTar> tars;
  AddDialects(&tars);
  AddNumbers(&tars);
  AddTypes(&tars);
  AddSparse(&tars);
  AddContents(&tars);
  return tars;
}

}  // namespace slacker::testing
