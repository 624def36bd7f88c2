#include "cmd/hellobench/site/start_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "cmd/hellobench/site/pause_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;
using ::slacker::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kConfig[] = R"({"config": {"Entrypoint": ["/entry"], "Cmd": ["serve", "now"]}})";

TEST(StartWordsTest, WithoutAnythingOfTheTaskTheImageSaysWhatRuns) {
  ASSERT_OK_AND_ASSIGN(const auto words, StartWords({}, kConfig));
  EXPECT_THAT(words, ElementsAre("/entry", "serve", "now"));
}

TEST(StartWordsTest, ArgumentsAreBehindTheImagesEntrypoint) {
  Task task;
  task.arguments = {"help"};
  ASSERT_OK_AND_ASSIGN(const auto words, StartWords(task, kConfig));
  EXPECT_THAT(words, ElementsAre("/entry", "help"));
}

TEST(StartWordsTest, ACommandLeavesNothingOfTheImages) {
  Task task;
  task.command = {"/own"};
  task.environment = {{"A", "b c"}};
  ASSERT_OK_AND_ASSIGN(const auto words, StartWords(task, kConfig));
  EXPECT_THAT(words, ElementsAre("env", "A=b c", "/own"));
}

TEST(StartWordsTest, NothingToRunIsRefused) {
  for (const char* config :
       {"{}", R"({"config": null})", R"({"config": {"Cmd": null}})", "[]", ""}) {
    EXPECT_THAT(StartWords({}, config), StatusIs(absl::StatusCode::kInvalidArgument)) << config;
  }
}

// What a shell makes of the words.
std::string Output(const std::string& command) {
  FILE* const pipe = popen(command.c_str(), "r");
  std::string output;
  std::array<char, 4096> bytes{};
  for (size_t got = 0; (got = fread(bytes.data(), 1, bytes.size(), pipe)) > 0;) {
    output.append(bytes.data(), got);
  }
  EXPECT_EQ(pclose(pipe), 0) << command;
  return output;
}

TEST(StartWordsTest, MountedFoldersAreWrittenByteForByteBeforeTheStart) {
  TempDir directory;
  const std::string bytes("a 'quoted' \\100%s %%\n\0\xff\n", 24);
  std::filesystem::create_directories(directory / "from/deep");
  std::ofstream(directory / "from/deep/it's") << bytes;
  Task task;
  task.mounts = {{directory / "to", directory / "from"}};
  task.command = {"cat", directory / "to/deep/it's"};
  ASSERT_OK_AND_ASSIGN(const auto words, StartWords(task, kConfig));
  EXPECT_EQ(Output(Quoted(words)), bytes);
}

TEST(StartWordsTest, FoldersThatNoCommandLineHoldsAreRefused) {
  TempDir directory;
  std::ofstream(directory / "large") << std::string(40000, 'x');
  Task task;
  task.mounts = {{"/src", directory.path()}};
  EXPECT_THAT(StartWords(task, kConfig), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ReadImageConfigTest, FindsAnImageOfALayoutByItsName) {
  TempDir directory;
  ASSERT_OK(WritePauseImage(directory.path()));
  ASSERT_OK_AND_ASSIGN(const std::string config, ReadImageConfig(directory.path(), kPauseName));
  ASSERT_OK_AND_ASSIGN(const auto words, StartWords({}, config));
  EXPECT_THAT(words, ElementsAre("/pause"));
  EXPECT_THAT(ReadImageConfig(directory.path(), "none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(ReadImageConfig(directory / "none", kPauseName).ok());
}

}  // namespace
}  // namespace slacker::hellobench
