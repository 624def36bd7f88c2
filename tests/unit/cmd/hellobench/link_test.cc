#include "cmd/hellobench/site/link.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace slacker::hellobench {
namespace {

using ::slacker::testing::StatusIs;

struct Good {
  std::string text;
  int64_t mbit, delay_ms;
};

class GoodLinkTest : public ::testing::TestWithParam<Good> {};

TEST_P(GoodLinkTest, IsRead) {
  ASSERT_OK_AND_ASSIGN(const Link link, ParseLink(GetParam().text));
  EXPECT_EQ(link.name, GetParam().text);
  EXPECT_EQ(link.mbit, GetParam().mbit);
  EXPECT_EQ(link.delay_ms, GetParam().delay_ms);
}

INSTANTIATE_TEST_SUITE_P(Forms, GoodLinkTest,
                         ::testing::Values(Good{"loopback", 0, 0}, Good{"1gbit", 1000, 0},
                                           Good{"200mbit", 200, 0}, Good{"200mbit-10ms", 200, 10},
                                           Good{"400gbit-10000ms", 400000, 10000},
                                           Good{"400000mbit", 400000, 0}));

class BadLinkTest : public ::testing::TestWithParam<std::string> {};

TEST_P(BadLinkTest, IsRefused) {
  EXPECT_THAT(ParseLink(GetParam()), StatusIs(absl::StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(Forms, BadLinkTest,
                         ::testing::Values("", "fast", "0mbit", "-1mbit", "1", "mbit", "1kbit",
                                           "401gbit", "400001mbit", "loopback-10ms", "1gbit-",
                                           "1gbit-0ms", "1gbit-10001ms", "1gbit-10", "1gbit-10ms ",
                                           "1 gbit", "1.5gbit", "99999999999999999999mbit",
                                           "1gbit10ms"));

}  // namespace
}  // namespace slacker::hellobench
