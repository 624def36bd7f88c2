#include "backend/https/https_url.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace slacker::https {
namespace {

TEST(HttpsUrlTest, GoodUrlsAreReadAndWrittenBack) {
  const std::pair<const char*, const char*> cases[] = {
      {"https://images.example.com", "https://images.example.com"},
      {"https://images.example.com/", "https://images.example.com"},
      {"https://images.example.com:8443/a/b//", "https://images.example.com:8443/a/b"},
      {"https://[2001:db8::1]:8443/a%20b", "https://[2001:db8::1]:8443/a%20b"},
      {"http://127.0.0.1:8080/store", "http://127.0.0.1:8080/store"},
      {"http://localhost/store", "http://localhost/store"},
      {"http://[::1]:1/", "http://[::1]:1"},
  };
  for (const auto& [text, expected] : cases) {
    SCOPED_TRACE(text);
    const auto url = ParseUrl(text);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_EQ(url->ToString(), expected);
  }
}

TEST(HttpsUrlTest, BadUrlsAreInvalid) {
  const std::string cases[] = {
      "",
      "images.example.com",
      "ftp://images.example.com/",
      "HTTPS://images.example.com/",
      "https:images.example.com",
      "https://",
      "https:///a",
      "https://user@images.example.com/",
      "https://user:password@images.example.com/",
      "https://images.example.com:/",
      "https://images.example.com:0/",
      "https://images.example.com:65536/",
      "https://images.example.com:8x/",
      "https://images example.com/",
      "https://images.example.com/?a=b",
      "https://images.example.com?a=b",
      "https://images.example.com/#a",
      "https://images.example.com/a//b",
      "https://images.example.com/../b",
      "https://images.example.com/./b",
      "https://images.example.com/a b",
      "https://images.example.com/\r\nHost: other",
      "https://[::1/",
      "https://[]/",
      "https://[::1]x/",
      "http://images.example.com/",
      "http://127.0.0.1.example.com/",
      "http://10.0.0.1/",
      "https://images.example.com/" + std::string(1024, 'a'),
  };
  for (const std::string& text : cases) {
    EXPECT_THAT(ParseUrl(text), testing::StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(HttpsUrlTest, RedirectsAreJudged) {
  struct {
    const char* from;
    const char* to;
    Redirect expected;
  } const cases[] = {
      {"https://a/packs/x", "https://a/other", Redirect::kFollowWithinHost},
      {"https://a/packs/x", "https://a:444/packs/x", Redirect::kFollow},
      {"https://a/packs/x", "https://b/packs/x?signature=1", Redirect::kFollow},
      {"https://a/packs/x", "https://b/sign-in/", Redirect::kFollow},
      {"https://a/packs/x", "https://b@a/packs/x", Redirect::kFollow},
      {"http://127.0.0.1/packs/x", "https://127.0.0.1/packs/x", Redirect::kFollow},
      {"https://a/packs/x", "http://a/packs/x", Redirect::kRefuse},
      {"https://a/packs/x", "http://127.0.0.1/packs/x", Redirect::kRefuse},
      {"http://127.0.0.1/packs/x", "http://127.0.0.1/y", Redirect::kRefuse},
      {"https://a/packs/x", "file:///etc/passwd", Redirect::kRefuse},
      {"https://a/packs/x", "", Redirect::kRefuse},
      {"https://a/packs/x", "https://a/packs/x/", Redirect::kDirectory},
      {"https://a/packs/x", "http://b:80/packs/x/", Redirect::kDirectory},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(JudgeRedirect(test.from, test.to), test.expected) << test.from << " -> " << test.to;
  }
}

}  // namespace
}  // namespace slacker::https
