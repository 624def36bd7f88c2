#include "backend/base/image_reference.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

const std::string kDigest = "sha256:" + std::string(64, 'a');

struct Case {
  std::string text, normal;
};

TEST(ImageReferenceTest, ShortFormsAreCompletedAsDockerDoes) {
  for (const Case& c : {
           Case{"nginx", "docker.io/library/nginx:latest"},
           Case{"nginx:1.25", "docker.io/library/nginx:1.25"},
           Case{"user/app", "docker.io/user/app:latest"},
           Case{"docker.io/nginx", "docker.io/library/nginx:latest"},
           Case{"index.docker.io/a/b", "docker.io/a/b:latest"},
           Case{"localhost/a", "localhost/a:latest"},
           Case{"localhost:5000/a:x", "localhost:5000/a:x"},
           Case{"127.1.2.3:80/a/b/c", "127.1.2.3:80/a/b/c:latest"},
           Case{"[::1]:5000/a", "[::1]:5000/a:latest"},
           Case{"quay.io/a/b_c__d-e--f.g", "quay.io/a/b_c__d-e--f.g:latest"},
           Case{"localhost.example.org/a", "localhost.example.org/a:latest"},
           Case{"quay.io:8443/a@" + kDigest, "quay.io:8443/a@" + kDigest},
           Case{"a:tag@" + kDigest, "docker.io/library/a:tag@" + kDigest},
       }) {
    ASSERT_OK_AND_ASSIGN(const ImageReference reference, ParseImageReference(c.text));
    EXPECT_EQ(reference.ToString(), c.normal);
  }
}

TEST(ImageReferenceTest, TheDigestWinsOverTheTag) {
  ASSERT_OK_AND_ASSIGN(const ImageReference reference, ParseImageReference("a:tag@" + kDigest));
  EXPECT_EQ(reference.TagOrDigest(), kDigest);
}

TEST(ImageReferenceTest, MalformedOnesAreRefused) {
  for (const std::string& text : {
           std::string(""),
           std::string("Nginx"),
           std::string("a:"),
           std::string("a:-x"),
           std::string("a//b"),
           std::string("/a"),
           std::string("a/"),
           std::string("a/../b"),
           std::string("a..b"),
           std::string("a___b"),
           std::string("-a"),
           std::string("a b"),
           std::string("a@sha256:12"),
           std::string("a@md5:") + std::string(64, 'a'),
           std::string("host:port/a"),
           std::string("h.x:123456/a"),
           std::string("[::x]:1/a"),
           std::string("user@h.x/a"),
           "a:" + std::string(129, 'x'),
           std::string(256, 'x'),
           std::string("a\r\nb"),
           std::string("x.y/a?b"),
           std::string("ev..il/a"),
       }) {
    EXPECT_THAT(ParseImageReference(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(ImageReferenceTest, OnlyLoopbackHostsAreLoopback) {
  for (const char* host :
       {"localhost", "localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:5"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host :
       {"128.0.0.1", "127.0.0.1.example.org", "[::2]", "10.0.0.1:127", "localhost.x"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

}  // namespace
}  // namespace slacker
