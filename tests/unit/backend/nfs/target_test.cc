#include "backend/nfs/target.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::ElementsAre;
using testing::StatusIs;

TEST(NfsTargetTest, ShortestUrlTakesDefaults) {
  ASSERT_OK_AND_ASSIGN(const NfsTarget target, ParseNfsUrl("nfs://server/export"));
  EXPECT_EQ(target.url, "nfs://server/export");
  EXPECT_EQ(target.host, "server");
  EXPECT_EQ(target.port, 2049);
  EXPECT_EQ(target.mount_port, 0);
  EXPECT_THAT(target.path, ElementsAre("export"));
  EXPECT_EQ(target.version, 3);
  EXPECT_EQ(target.uid, getuid());
  EXPECT_EQ(target.gid, getgid());
}

TEST(NfsTargetTest, OptionsAreTaken) {
  ASSERT_OK_AND_ASSIGN(const NfsTarget target,
                       ParseNfsUrl("nfs://10.0.0.1/a/b/c/?version=4&uid=7&gid=2147483647"));
  EXPECT_THAT(target.path, ElementsAre("a", "b", "c"));
  EXPECT_EQ(target.version, 4);
  EXPECT_EQ(target.uid, 7u);
  EXPECT_EQ(target.gid, 2147483647u);
}

TEST(NfsTargetTest, PortIsThatOfBothProtocols) {
  ASSERT_OK_AND_ASSIGN(const NfsTarget target, ParseNfsUrl("nfs://server:65535/x"));
  EXPECT_EQ(target.port, 65535);
  EXPECT_EQ(target.mount_port, 65535);
}

TEST(NfsTargetTest, OwnPortsOfTheProtocolsWin) {
  ASSERT_OK_AND_ASSIGN(const NfsTarget target,
                       ParseNfsUrl("nfs://server:1/x?nfsport=2&mountport=3"));
  EXPECT_EQ(target.port, 2);
  EXPECT_EQ(target.mount_port, 3);
}

TEST(NfsTargetTest, Ipv6AddressStandsInBrackets) {
  ASSERT_OK_AND_ASSIGN(const NfsTarget target, ParseNfsUrl("nfs://[fd00::1]:99/x"));
  EXPECT_EQ(target.host, "fd00::1");
  EXPECT_EQ(target.port, 99);
  ASSERT_OK_AND_ASSIGN(const NfsTarget without_port, ParseNfsUrl("nfs://[::1]/x"));
  EXPECT_EQ(without_port.host, "::1");
  EXPECT_EQ(without_port.port, 2049);
}

class BadNfsUrlTest : public ::testing::TestWithParam<std::string> {};

TEST_P(BadNfsUrlTest, IsInvalidArgument) {
  EXPECT_THAT(ParseNfsUrl(GetParam()), StatusIs(absl::StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(
    Urls, BadNfsUrlTest,
    ::testing::Values("", "nfs:", "nfs:/x", "http://h/x", "nfs:///x", "nfs://h", "nfs://h/",
                      "nfs://h//x", "nfs://h/x//y", "nfs://h/./x", "nfs://h/x/..", "nfs://h:/x",
                      "nfs://h:0/x", "nfs://h:65536/x", "nfs://h:1x/x", "nfs://:1/x",
                      "nfs://fd00::1/x", "nfs://[::1/x", "nfs://[::1]1/x", "nfs://[]/x",
                      "nfs://h/x?version=2", "nfs://h/x?version=5", "nfs://h/x?version",
                      "nfs://h/x?uid=-1", "nfs://h/x?uid=2147483648",
                      "nfs://h/x?uid=", "nfs://h/x?readahead=1", "nfs://h/x?=1",
                      "nfs://h/x?nfsport=0", std::string("nfs://h/a\0b", 11),
                      "nfs://h/" + std::string(256, 'a'), "nfs://h/" + std::string(1100, '/')));

}  // namespace
}  // namespace slacker
