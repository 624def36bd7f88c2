#include "tests/support/odd_tars.h"
#include "tests/support/tar_builder.h"

namespace slacker::testing {

std::vector<OddTar> OddNumbers() {
  std::vector<OddTar> tars;
  tars.push_back({"Base256Ids", TarBuilder()
                                    .Add(
                                        [] {
                                          auto b = MakeBlock("f");
                                          b.uid = 3'000'000'000;
                                          b.gid = 70'000'000;
                                          return b;
                                        }(),
                                        "abc")
                                    .End()});
  tars.push_back({"MinusOneId", TarBuilder()
                                    .Add(
                                        [] {
                                          auto b = MakeBlock("f");
                                          b.uid = -1;
                                          b.gid = 5;
                                          return b;
                                        }(),
                                        "abc")
                                    .End()});
  tars.push_back(
      {"PaxIds", TarBuilder().Pax({{"uid", "4000000000"}, {"gid", "+7"}}).File("f", "abc").End()});
  tars.push_back(
      {"PaxBadId", TarBuilder().Pax({{"uid", "12x"}}).File("f", "abc").End(), Verdict::kRefused});
  tars.push_back({"NegativeTime", TarBuilder()
                                      .Add(
                                          [] {
                                            auto b = MakeBlock("f");
                                            b.mtime = -5;
                                            return b;
                                          }(),
                                          "abc")
                                      .End()});
  tars.push_back({"HugeTime", TarBuilder()
                                  .Add(
                                      [] {
                                        auto b = MakeBlock("f");
                                        b.mtime = int64_t{1} << 50;
                                        return b;
                                      }(),
                                      "abc")
                                  .End()});
  tars.push_back({"Base256Time", TarBuilder()
                                     .Add(
                                         [] {
                                           auto b = MakeBlock("f");
                                           b.mtime = 9'000'000'000;
                                           return b;
                                         }(),
                                         "abc")
                                     .End()});
  tars.push_back(
      {"PaxTime", TarBuilder().Pax({{"mtime", "1234567890.123456789123"}}).File("f", "abc").End()});
  tars.push_back(
      {"PaxTimeShort", TarBuilder().Pax({{"mtime", "1234567890.5"}}).File("f", "abc").End()});
  tars.push_back({"PaxNegativeTime", TarBuilder().Pax({{"mtime", "-0.5"}}).File("f", "abc").End()});
  tars.push_back({"PaxBadTime", TarBuilder().Pax({{"mtime", "1.x"}}).File("f", "abc").End(),
                  Verdict::kRefused});
  tars.push_back({"PaxBadAtime", TarBuilder().Pax({{"atime", "now"}}).File("f", "abc").End(),
                  Verdict::kRefused});
  tars.push_back(
      {"SpecialBits",
       TarBuilder().File("f", "abc", 07777).Directory("d", 07755).File("g", "", 04755).End()});
  tars.push_back(
      {"ModeWithType", TarBuilder().File("f", "abc", 0100644).Directory("d", 040700).End()});
  tars.push_back({"SpacePadded", TarBuilder()
                                     .Add(
                                         [] {
                                           auto b = MakeBlock("f");
                                           b.raw = {{100, "  644  "}, {108, "   12  "}};
                                           return b;
                                         }(),
                                         "abc")
                                     .End()});
  tars.push_back({"BadMode",
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
  tars.push_back({"BadChecksum",
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
  tars.push_back({"NegativeSize",
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
  tars.push_back({"Devices", TarBuilder()
                                 .Add(MakeDevice("c", '3', 5, 1))
                                 .Add(MakeDevice("b", '4', 259, 70000))
                                 .Add(MakeBlock("p", '6'))
                                 .End()});
  tars.push_back(
      {"DeviceBitsCut", TarBuilder().Add(MakeDevice("c", '3', 0x12345, 0x1234567)).End()});
  tars.push_back({"DeviceTooLarge",
                  TarBuilder().Add(MakeDevice("c", '3', int64_t{1} << 33, 0)).End(),
                  Verdict::kRefused});
  tars.push_back(
      {"DeviceZeroIsWhiteout",
       TarBuilder().Add(MakeDevice("c", '3', 0, 0)).Add(MakeDevice("b", '4', 0, 0)).End()});
  return tars;
}

}  // namespace slacker::testing
