#include "cmd/reference/command_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class CommandReferenceTest : public ::testing::Test {
 protected:
  CommandReferenceTest() {
    CLI::App* verb = app_.add_subcommand("do", "Do 'it' [now]: quickly");
    verb->add_option("THING", thing_, ".starts with a dot, has a \\backslash")->required();
    verb->add_option("-n,--number", number_, "How many")->capture_default_str();
    verb->add_flag("--json", json_, "Write JSON");
    app_.add_subcommand("run", "Run it")
        ->add_option("HOW", thing_, "How")
        ->check(CLI::IsMember({"slow", "fast"}));
  }

  CLI::App app_{"Does things", "tool"};
  std::string thing_;
  int number_ = 7;
  bool json_ = false;
};

TEST_F(CommandReferenceTest, AManPageHasWhatHelpHas) {
  const std::string page = ManPage(app_, "1");
  EXPECT_THAT(page, HasSubstr(".TH TOOL 1 "));
  EXPECT_THAT(page, HasSubstr("\\fBtool do\\fR [\\fIoptions\\fR] \\fITHING\\fR\n"));
  EXPECT_THAT(page,
              HasSubstr("\\fB\\-n\\fR, \\fB\\-\\-number\\fR \\fIINT\\fR\nHow many (default: 7)"));
  EXPECT_THAT(page, HasSubstr("\n\\&.starts with a dot, has a \\ebackslash\n"));
  EXPECT_THAT(page, HasSubstr("\n.SS do\nDo \\(aqit\\(aq"));
}

TEST_F(CommandReferenceTest, CompletionsKnowVerbsAndTheirOptions) {
  EXPECT_THAT(BashCompletion(app_), HasSubstr("do) words='-h --help -n --number --json'"));
  EXPECT_THAT(ZshCompletion(app_), HasSubstr("'do:Do '\\''it'\\'' \\[now\\]\\: quickly'"));
  EXPECT_THAT(ZshCompletion(app_), HasSubstr("'1:action:(slow fast)' '*:argument:_files'"));
  EXPECT_THAT(FishCompletion(app_),
              HasSubstr("'__fish_seen_subcommand_from run' -a 'slow fast'\n"));
  EXPECT_THAT(FishCompletion(app_),
              HasSubstr("complete -c tool -n '__fish_seen_subcommand_from do' -s n -l number -r"));
}

// The files of this build.
TEST(ReferenceTest, EveryManPageRendersWithoutWarnings) {
  size_t pages = 0;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(SHARE) / "man")) {
    if (!entry.is_regular_file()) continue;
    ++pages;
    const testing::TempDir dir;
    const std::string command = "groff -ww -man -Tutf8 '" + entry.path().string() + "' > '" +
                                (dir / "page") + "' 2> '" + (dir / "warnings") + "'";
    EXPECT_EQ(std::system(command.c_str()), 0);
    EXPECT_EQ(ReadFile(dir / "warnings"), "") << entry.path();
    EXPECT_THAT(ReadFile(dir / "page"), HasSubstr("Display program version information"));
  }
  EXPECT_EQ(pages, 3u);
}

TEST(ReferenceTest, BashCompletesVerbsAndOptions) {
  const testing::TempDir dir;
  const std::string script = dir / "script";
  std::ofstream(script) << "source '" SHARE "/bash-completion/completions/slackerctl'\n"
                        << "COMP_WORDS=(slackerctl ins); COMP_CWORD=1; _slackerctl\n"
                        << "echo \"${COMPREPLY[*]}\"\n"
                        << "COMP_WORDS=(slackerctl trace r); COMP_CWORD=2; _slackerctl\n"
                        << "echo \"${COMPREPLY[*]}\"\n"
                        << "COMP_WORDS=(slackerctl ls --rec); COMP_CWORD=2; _slackerctl\n"
                        << "echo \"${COMPREPLY[*]}\"\n";
  ASSERT_EQ(std::system(("bash '" + script + "' > '" + (dir / "out") + "'").c_str()), 0);
  EXPECT_EQ(ReadFile(dir / "out"), "inspect\nrecord rm\n--recursive\n");
}

}  // namespace
}  // namespace slacker
