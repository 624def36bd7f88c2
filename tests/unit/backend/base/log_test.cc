#include "backend/base/log.h"

#include <gmock/gmock.h>

namespace slacker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Logged() {
  ::testing::internal::CaptureStderr();
  Log(LogLevel::kWarning, "a pack is missing, ignoring", {{"pack", "a\nb"}, {"error", "gone"}});
  return ::testing::internal::GetCapturedStderr();
}

TEST(LogTest, ProgramsReadLinesOfJson) {
  EXPECT_THAT(Logged(), AllOf(StartsWith("{\"level\":\"warning\",\"msg\":\"a pack is missing, "),
                              HasSubstr("\"pack\":\"a\\nb\"")));
}

TEST(LogTest, PeopleReadText) {
  LogForPeople("tool");
  const std::string line = Logged();
  LogForPeople("");
  EXPECT_EQ(line, "tool: warning: a pack is missing, ignoring (pack: a?b, error: gone)\n");
}

}  // namespace
}  // namespace slacker
