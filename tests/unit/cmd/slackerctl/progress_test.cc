#include "cmd/slackerctl/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/support/fake_clock.h"

namespace slacker::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

PublishProgress At(size_t layers_done, uint64_t bytes) {
  PublishProgress progress;
  progress.layers = 3;
  progress.layers_done = layers_done;
  progress.download_bytes = 10 << 20;
  progress.downloaded_bytes = bytes;
  return progress;
}

class ProgressDisplayTest : public ::testing::Test {
 protected:
  std::ostringstream out_;
  std::ostringstream err_;
  testing::FakeClock clock_;
};

TEST_F(ProgressDisplayTest, ATerminalGetsOneLineThatIsWrittenAnewTenTimesASecond) {
  const Console console{out_, err_, true};
  ProgressDisplay display(&console, &clock_, "image");
  display.Update(At(0, 1 << 20));
  display.Update(At(0, 2 << 20));  // too soon
  clock_.Advance(std::chrono::seconds(2));
  display.Update(At(1, 4 << 20));
  EXPECT_THAT(err_.str(), Not(HasSubstr("\n")));
  EXPECT_THAT(err_.str(), Not(HasSubstr("downloaded 2.0 MiB")));
  EXPECT_THAT(err_.str(), HasSubstr("\rimage: layer 1/3, downloaded 4.0 MiB of 10 MiB"));
  EXPECT_THAT(err_.str(), HasSubstr("2.0 MiB/s"));
  display.Clear();
  EXPECT_TRUE(err_.str().ends_with(" \r"));
}

TEST_F(ProgressDisplayTest, AFileGetsALineForEveryLayer) {
  const Console console{out_, err_, false};
  ProgressDisplay display(&console, &clock_, "image");
  for (const size_t layer : {0U, 0U, 1U, 1U, 2U, 3U}) display.Update(At(layer, layer << 20));
  display.Clear();
  const std::string text = err_.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_THAT(text, Not(HasSubstr("\r")));
}

TEST_F(ProgressDisplayTest, ACheckOfAStoreTellsATerminalWhatItLooksAtAndAFileNothing) {
  for (const bool interactive : {false, true}) {
    const Console console{out_, err_, interactive};
    VerifyDisplay display(&console, &clock_);
    display.Update({"packs/", 3, 14, 5 << 20});
    EXPECT_EQ(err_.str(), interactive ? "\rpacks/: 3 of 14, 5.0 MiB read" : "");
    display.Clear();
  }
  EXPECT_TRUE(err_.str().ends_with(" \r"));
}

}  // namespace
}  // namespace slacker::ctl
