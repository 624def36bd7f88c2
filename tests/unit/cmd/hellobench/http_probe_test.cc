#include "cmd/hellobench/run/http_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/status_matchers.h"
#include "tests/unit/cmd/hellobench/local_server.h"

namespace slacker::hellobench {
namespace {

using std::chrono::milliseconds;

// Asks until the first answer; a test that never gets one ends by its time limit.
void AwaitAnswer(HttpProbe& probe) {
  while (true) {
    const auto answered = probe.Poll(milliseconds(10));
    ASSERT_OK(answered);
    if (*answered) return;
  }
}

TEST(HttpProbeTest, AnAnswerOfAnyKindIsOne) {
  for (const char* answer : {"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 500 Sorry\r\n\r\n"}) {
    const LocalServer server(answer);
    EXPECT_TRUE(Listens(server.port()).value());
    HttpProbe probe(server.port(), "/");
    AwaitAnswer(probe);
  }
}

TEST(HttpProbeTest, NobodyIsNoAnswerAndNoError) {
  const uint16_t port = FreePort();
  EXPECT_FALSE(Listens(port).value());
  HttpProbe probe(port, "/");
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(probe.Poll(milliseconds(10)).value());
}

TEST(HttpProbeTest, AnotherProtocolIsNoAnswer) {
  const LocalServer server("SSH-2.0-x\r\n");
  HttpProbe probe(server.port(), "/");
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(probe.Poll(milliseconds(1000)).value());
}

TEST(HttpProbeTest, SilenceLastsTheLimitAndTheQuestionWaits) {
  const LocalServer server("");
  HttpProbe probe(server.port(), "/");
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(probe.Poll(milliseconds(10)).value());
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(30));
}

}  // namespace
}  // namespace slacker::hellobench
