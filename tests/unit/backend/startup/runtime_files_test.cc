#include "backend/startup/runtime_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slacker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::Not;

auto Paths(auto matcher) { return Field("paths", &RuntimeFile::paths, matcher); }

TEST(RuntimeFilesTest, PythonReadsAModuleCompiledOrElseItself) {
  EXPECT_THAT(RuntimeFilesOf("/usr/local/bin/python3.9"),
              Contains(Paths(ElementsAre("/usr/local/lib/python3.9/__pycache__/os.cpython-39.pyc",
                                         "/usr/local/lib/python3.9/os.py"))));
}

TEST(RuntimeFilesTest, FromPython311OnMostOfThemAreInTheProgram) {
  const auto files = RuntimeFilesOf("/usr/bin/python3.11");
  EXPECT_THAT(files, Not(Contains(Paths(Contains("/usr/lib/python3.11/os.py")))));
  EXPECT_THAT(files, Contains(Paths(Contains("/usr/lib/python3.11/encodings/utf_8.py"))));
}

TEST(RuntimeFilesTest, OfJavasModulesTheBeginning) {
  const auto files = RuntimeFilesOf("/opt/jdk/bin/java");
  ASSERT_THAT(files, Contains(Paths(ElementsAre("/opt/jdk/lib/modules"))));
  for (const RuntimeFile& file : files) {
    EXPECT_EQ(file.bytes < 1 << 30, file.paths[0] == "/opt/jdk/lib/modules") << file.paths[0];
  }
}

TEST(RuntimeFilesTest, OtherProgramsHaveNone) {
  for (const char* program : {"", "/", "python3.11/", "/usr/bin/python", "/usr/bin/python2.7",
                              "/usr/bin/python3.x", "/usr/bin/python3.-1", "/usr/bin/python3.99x",
                              "/usr/bin/python3.99999999999999999999", "/usr/bin/javac"}) {
    EXPECT_THAT(RuntimeFilesOf(program), IsEmpty()) << program;
  }
}

}  // namespace
}  // namespace slacker
