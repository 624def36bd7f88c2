#include "backend/startup/startup_guess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/unit/backend/startup/elf_builder.h"
#include "tests/unit/backend/startup/startup_image.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using testing::ElfBuilder;
using ::testing::IsEmpty;
using testing::LayerBuilder;
using testing::Meta;
using testing::StartupImage;
using testing::StatusIs;
using ::testing::UnorderedElementsAreArray;

const Meta kExecutable = {.mode = 0755};

// A small world of programs and libraries. Every file is one of `Everything`.
LayerBuilder World() {
  ElfBuilder python{.interpreter = "/lib64/ld.so", .needed = {"libm.so", "libc.so"}};
  ElfBuilder shell{.interpreter = "/lib64/ld.so", .needed = {"libc.so"}};
  ElfBuilder origin{.needed = {"libmine.so"}, .runpath = "$ORIGIN/../lib"};
  ElfBuilder old_origin{.needed = {"libouter.so"}, .rpath = "/opt/rpath"};
  ElfBuilder outer{.needed = {"libinner.so"}};
  ElfBuilder foreign{.machine = 183};
  ElfBuilder plain{};
  LayerBuilder layer(4096);
  layer.Symlink("bin", "usr/bin").Symlink("lib64", "usr/lib64");
  layer.File("usr/bin/python3.11", python.Build(), kExecutable)
      .Symlink("usr/bin/python3", "python3.11")
      .File("usr/bin/sh", shell.Build(), kExecutable)
      .File("usr/bin/env", shell.Build(), kExecutable)
      .File("usr/bin/static", plain.Build(), kExecutable)
      .File("usr/bin/plain", "not a program")
      .File("usr/lib64/ld.so", plain.Build(), kExecutable)
      .File("usr/lib64/libc.so", ElfBuilder{.interpreter = "/x"}.Build())
      .File("usr/lib/libc.so", foreign.Build())
      .File("usr/lib64/libm.so", ElfBuilder{.needed = {"libc.so", "libm.so"}}.Build())
      .File("usr/lib64/unused.so", plain.Build());
  layer.File("opt/app/bin/tool", origin.Build(), kExecutable)
      .File("opt/app/lib/libmine.so", ElfBuilder{.content_bytes = 10}.Build())
      .File("opt/old", old_origin.Build(), kExecutable)
      .File("opt/rpath/libouter.so", outer.Build())
      .File("opt/rpath/libinner.so", ElfBuilder{.content_bytes = 20}.Build());
  layer.File("app/script", "#!/usr/bin/env -S A=1 python3 -u\nprint()", kExecutable)
      .File("app/shell", "#! /bin/sh -e\nexec \"$@\"", kExecutable)
      .File("app/chain", "#!/app/shell\n", kExecutable)
      .File("app/self", "#!/app/self\n", kExecutable)
      .File("app/data.json", "{}");
  layer.File("usr/lib/python3.11/encodings/__init__.py", "# source")
      .File("usr/lib/python3.11/encodings/__pycache__/__init__.cpython-311.pyc", "compiled")
      .File("usr/lib/python3.11/encodings/utf_8.py", "# only source")
      .File("usr/lib/python3.11/os.py", "# in the program itself");
  layer.File("opt/jdk/bin/java", plain.Build(), kExecutable)
      .File("opt/jdk/lib/jvm.cfg", "-server KNOWN")
      .File("opt/jdk/lib/server/libjvm.so", plain.Build())
      .File("opt/jdk/lib/modules", std::string(3 << 20, 'm'));
  layer.File("etc/passwd", "root").File("etc/group", "root").File("etc/hosts", "");
  return layer;
}

std::vector<std::string> Everything() {
  return {"/usr/bin/python3.11",
          "/usr/bin/sh",
          "/usr/bin/env",
          "/usr/bin/static",
          "/usr/bin/plain",
          "/usr/lib64/ld.so",
          "/usr/lib64/libc.so",
          "/usr/lib/libc.so",
          "/usr/lib64/libm.so",
          "/usr/lib64/unused.so",
          "/opt/app/bin/tool",
          "/opt/app/lib/libmine.so",
          "/opt/old",
          "/opt/rpath/libouter.so",
          "/opt/rpath/libinner.so",
          "/app/script",
          "/app/shell",
          "/app/chain",
          "/app/self",
          "/app/data.json",
          "/usr/lib/python3.11/encodings/__init__.py",
          "/usr/lib/python3.11/encodings/__pycache__/__init__.cpython-311.pyc",
          "/usr/lib/python3.11/encodings/utf_8.py",
          "/usr/lib/python3.11/os.py",
          "/opt/jdk/bin/java",
          "/opt/jdk/lib/jvm.cfg",
          "/opt/jdk/lib/server/libjvm.so",
          "/opt/jdk/lib/modules",
          "/etc/passwd",
          "/etc/group"};
}

const std::vector<std::string> kPython = {
    "/usr/bin/python3.11",
    "/usr/lib64/ld.so",
    "/usr/lib64/libc.so",
    "/usr/lib64/libm.so",
    "/usr/lib/python3.11/encodings/__pycache__/__init__.cpython-311.pyc",
    "/usr/lib/python3.11/encodings/utf_8.py"};
const std::vector<std::string> kShell = {"/usr/bin/sh", "/usr/lib64/ld.so", "/usr/lib64/libc.so"};

struct Case {
  const char* name;
  StartCommand command;
  std::vector<std::string> expected;  // beside /etc/passwd and /etc/group
};

class StartupGuessTest : public ::testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { image_ = std::make_unique<StartupImage>(std::vector{World()}); }
  static void TearDownTestSuite() { image_.reset(); }

  // One for all: nothing changes it.
  static std::unique_ptr<StartupImage> image_;
};
std::unique_ptr<StartupImage> StartupGuessTest::image_;

std::vector<std::string> And(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_P(StartupGuessTest, HasWhatTheStartTouchesAndNothingElse) {
  StartCommand command = GetParam().command;
  command.environment.push_back("PATH=/nowhere:/app:/usr/bin");
  ASSERT_OK_AND_ASSIGN(const auto runs, GuessStartup(image_->files(), command));
  std::vector<std::string> expected = And(GetParam().expected, {"/etc/passwd", "/etc/group"});
  std::sort(expected.begin(), expected.end());
  expected.erase(std::unique(expected.begin(), expected.end()), expected.end());
  EXPECT_THAT(image_->CoveredBy(runs, Everything()), UnorderedElementsAreArray(expected));
}

INSTANTIATE_TEST_SUITE_P(
    Commands, StartupGuessTest,
    ::testing::Values(
        Case{"Nothing", {}, {}}, Case{"ByPath", {.command = {"python3"}}, kPython},
        Case{"ByName", {.entrypoint = {"/bin/python3"}}, kPython},
        Case{"Static", {.entrypoint = {"static"}}, {"/usr/bin/static"}},
        Case{"NotExecutableOnPath", {.entrypoint = {"plain"}}, {}},
        Case{"Missing", {.entrypoint = {"missing"}}, {}},
        Case{"Relative",
             {.entrypoint = {"bin/tool"}, .working_directory = "/opt/app"},
             {"/opt/app/bin/tool", "/opt/app/lib/libmine.so"}},
        Case{"Origin",
             {.entrypoint = {"/opt/app/bin/tool"}},
             {"/opt/app/bin/tool", "/opt/app/lib/libmine.so"}},
        Case{"RpathIsInherited",
             {.entrypoint = {"/opt/old"}},
             {"/opt/old", "/opt/rpath/libouter.so", "/opt/rpath/libinner.so"}},
        Case{"LibraryPath",
             {.entrypoint = {"static"}, .environment = {"LD_LIBRARY_PATH=/opt/rpath"}},
             {"/usr/bin/static"}},
        Case{
            "EnvScript", {.entrypoint = {"script"}}, And(kPython, {"/app/script", "/usr/bin/env"})},
        Case{"ShellScriptRunsTheCommand",
             {.entrypoint = {"/app/shell"}, .command = {"python3", "/app/data.json"}},
             And(And(kPython, kShell), {"/app/shell", "/app/data.json"})},
        Case{"ScriptOfAScript",
             {.entrypoint = {"chain"}},
             And(kShell, {"/app/chain", "/app/shell"})},
        Case{"JavaAndTheBeginningOfItsModules",
             {.entrypoint = {"/opt/jdk/bin/java"}},
             {"/opt/jdk/bin/java", "/opt/jdk/lib/jvm.cfg", "/opt/jdk/lib/server/libjvm.so"}},
        Case{"ItsOwnInterpreter", {.entrypoint = {"self"}}, {"/app/self"}},
        Case{"ShellForm",
             {.command = {"/bin/sh", "-c", "A=b exec python3 /app/data.json"}},
             And(kPython, kShell)},
        Case{"ShellFormThatIsTooClever", {.command = {"sh", "-c", "$X python3"}}, kShell}),
    [](const auto& named) { return std::string(named.param.name); });

TEST(StartupGuessOrderTest, UsersComeFirstThenTheProgramItsLinkerItsCacheAndItsLibraries) {
  StartupImage image({World().File("etc/ld.so.cache", "damaged")});
  ASSERT_OK_AND_ASSIGN(const auto runs,
                       GuessStartup(image.files(), {.entrypoint = {"/bin/python3"}}));
  std::vector<std::string> order;
  for (const ChunkRun& run : runs) {
    for (uint32_t i = 0; i < run.count; ++i) {
      const auto covered =
          image.CoveredBy({{run.layer, run.first + i, 1}}, And(Everything(), {"/etc/ld.so.cache"}));
      order.insert(order.end(), covered.begin(), covered.end());
    }
  }
  EXPECT_THAT(order,
              ElementsAre("/etc/passwd", "/etc/group", "/usr/bin/python3.11", "/usr/lib64/ld.so",
                          "/etc/ld.so.cache", "/usr/lib64/libm.so", "/usr/lib64/libc.so",
                          "/usr/lib/python3.11/encodings/__pycache__/__init__.cpython-311.pyc",
                          "/usr/lib/python3.11/encodings/utf_8.py"));
}

TEST(StartupGuessLimitTest, OfElfFilesOnlyWhatIsMappedAndNoMoreThanTheLimitInAll) {
  ElfBuilder program{.content_bytes = 10'000, .unmapped_bytes = 100'000};
  LayerBuilder layer(4096);
  layer.File("a", program.Build(), kExecutable);
  layer.SparseFile("huge", 3 * kMaxGuessBytes, {{0, ElfBuilder{.content_bytes = 10}.Build()}},
                   false, kExecutable);
  StartupImage image({layer});
  ASSERT_OK_AND_ASSIGN(auto runs, GuessStartup(image.files(), {.entrypoint = {"/a"}}));
  uint32_t chunks = 0;
  for (const ChunkRun& run : runs) chunks += run.count;
  EXPECT_EQ(chunks, 3U);
}

TEST(StartupGuessErrorTest, WhatTheImageLacksIsNoErrorWhatCannotBeReadIs) {
  StartupImage image({World()});
  image.FailReads(DataLoss("broken"));
  EXPECT_THAT(GuessStartup(image.files(), {.entrypoint = {"/bin/python3"}}),
              StatusIs(absl::StatusCode::kDataLoss));
  StartupImage empty({LayerBuilder(4096)});
  ASSERT_OK_AND_ASSIGN(const auto runs, GuessStartup(empty.files(), {.entrypoint = {"/bin/sh"}}));
  EXPECT_THAT(runs, IsEmpty());
}

TEST(GuessIdTest, DependsOnEveryPartOfTheCommand) {
  const StartCommand base{{"a"}, {"b"}, {"C=d"}, "/e"};
  std::vector<Digest> ids = {GuessId(base)};
  StartCommand other = base;
  other.entrypoint = {"a", "b"};
  other.command = {};
  ids.push_back(GuessId(other));
  other = base;
  other.environment = {};
  ids.push_back(GuessId(other));
  other = base;
  other.working_directory = "/";
  ids.push_back(GuessId(other));
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
  EXPECT_EQ(GuessId(base), GuessId(StartCommand{{"a"}, {"b"}, {"C=d"}, "/e"}));
}

}  // namespace
}  // namespace slacker
