#include "backend/https/https_backend.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <future>

#include "tests/support/eventually.h"
#include "tests/support/failing_poll.h"
#include "tests/support/http_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/thread_limit.h"

namespace slacker {
namespace {

using testing::HttpAnswer;
using testing::HttpRequest;
using testing::HttpServer;
using testing::StatusIs;
using Then = testing::HttpAnswer::Then;

constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;
constexpr absl::StatusCode kInternal = absl::StatusCode::kInternal;
constexpr char kObject[] = "0123456789";

HttpsOptions Quick() {
  HttpsOptions options;
  options.deadline = std::chrono::milliseconds(300);
  options.min_bytes_per_second = 1 << 30;
  return options;
}

std::unique_ptr<HttpsBackend> Open(const HttpServer& server, const HttpsOptions& options = {}) {
  auto backend = HttpsBackend::Open("http://" + server.Host() + "/store", options);
  EXPECT_OK(backend);
  return *std::move(backend);
}

// A right answer for kObject.
HttpAnswer Serve(const HttpRequest& request) {
  const auto range = request.headers.find("range");
  if (range == request.headers.end()) return HttpAnswer{.body = kObject};
  unsigned first = 0;
  unsigned last = 0;
  EXPECT_EQ(std::sscanf(range->second.c_str(), "bytes=%u-%u", &first, &last), 2);
  const std::string part = std::string(kObject).substr(first, last - first + 1);
  return HttpAnswer{.status = 206,
                    .headers = {"Content-Range: bytes " + std::to_string(first) + "-" +
                                std::to_string(first + part.size() - 1) + "/10"},
                    .body = part};
}

TEST(HttpsBackendTest, RequestsAreWhatTheyShouldBe) {
  HttpServer server(Serve);
  const auto backend = Open(server);
  EXPECT_EQ(backend->Url(), "http://" + server.Host() + "/store");
  EXPECT_TRUE(backend->IsNetwork());
  EXPECT_EQ(backend->Read("packs/a", 2, 3).value(), "234");
  EXPECT_EQ(backend->Stat("packs/a").value().size_bytes, 10u);
  EXPECT_EQ(backend->Read("packs/a", 2, 0).value(), "");
  const std::vector<HttpRequest> requests = server.Requests();
  ASSERT_EQ(requests.size(), 3u);
  for (const HttpRequest& request : requests) {
    EXPECT_EQ(request.path, "/store/packs/a");
    EXPECT_EQ(request.headers.at("accept-encoding"), "identity");
    EXPECT_FALSE(request.headers.contains("authorization"));
  }
  EXPECT_EQ(requests[0].method, "GET");
  EXPECT_EQ(requests[0].headers.at("range"), "bytes=2-4");
  EXPECT_EQ(requests[1].method, "HEAD");
  EXPECT_EQ(requests[2].method, "HEAD");
}

TEST(HttpsBackendTest, AShortageOfMemoryDoesNotEndTheTransfersForEver) {
  HttpServer server(Serve);
  auto backend = Open(server);
  // Where a connection is just made, that fails; everywhere else libcurl's loop does.
  const auto read_until = [&](int left) {
    return testing::Eventually([&, left] {
      const absl::Status read = backend->Read("packs/a", 0, 1).status();
      EXPECT_TRUE(read.ok() || absl::IsUnavailable(read)) << read;
      return testing::PollFailuresLeft() <= left;
    });
  };
  testing::FailPoll("slk-https", ENOMEM, 5);
  EXPECT_TRUE(read_until(0));
  EXPECT_EQ(backend->Read("packs/a", 2, 3).value(), "234");
  testing::FailPoll("slk-https", ENOMEM, 1 << 30);
  EXPECT_TRUE(read_until((1 << 30) - 5));
  backend.reset();
  testing::FailPoll("slk-https", 0, 0);
}

TEST(HttpsBackendTest, WithoutThreadsThereIsNoBackend) {
  for (const int left : {0, 1, https::TransferLoop::kCallbackThreads}) {
    const testing::ThreadLimit limit(left);
    EXPECT_THAT(HttpsBackend::Open("http://127.0.0.1/store", {}).status(),
                StatusIs(absl::StatusCode::kResourceExhausted))
        << left;
  }
}

TEST(HttpsBackendTest, WhatMayBeReplacedIsRevalidated) {
  HttpServer server(Serve);
  const auto backend = Open(server);
  for (const char* name : {"records/a", "tars/a", "packs/a", "packs/a.idx", "locations/a",
                           "manifests/a/b", "grants/a/b/c", "boot/a", "images/a"}) {
    EXPECT_OK(backend->Read(name, 0, 1));
    EXPECT_OK(backend->Stat(name));
  }
  const std::vector<HttpRequest> requests = server.Requests();
  ASSERT_EQ(requests.size(), 18u);
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto found = requests[i].headers.find("cache-control");
    const std::string value = found == requests[i].headers.end() ? "" : found->second;
    EXPECT_EQ(value, i < 8 ? "" : "no-cache") << requests[i].path;
  }
}

TEST(HttpsBackendTest, AServerWithoutRangesIsReadAllTheSame) {
  HttpServer server([](const HttpRequest&) { return HttpAnswer{.body = kObject}; });
  const auto backend = Open(server);
  EXPECT_EQ(backend->Read("packs/a", 2, 3).value(), "234");
  EXPECT_EQ(backend->Read("packs/a", 8, 30).value(), "89");
  EXPECT_EQ(backend->Read("packs/a", 10, 3).value(), "");
}

TEST(HttpsBackendTest, AnEndlessBodyIsCutOff) {
  HttpServer server([](const HttpRequest& request) {
    return HttpAnswer{.status = request.path.ends_with("error") ? 404 : 200,
                      .body = std::string(1 << 16, 'x'),
                      .then = Then::kRepeat,
                      .content_length = false};
  });
  const auto backend = Open(server);
  EXPECT_EQ(backend->Read("packs/a", 1 << 20, 5).value(), "xxxxx");
  EXPECT_THAT(backend->Read("packs/a", (64 << 20) + 1, 5), StatusIs(kInternal, "ranges"));
  EXPECT_THAT(backend->Read("packs/error", 0, 5), StatusIs(absl::StatusCode::kNotFound));
}

TEST(HttpsBackendTest, AnEndlessRangeIsAnError) {
  HttpServer server([](const HttpRequest&) {
    return HttpAnswer{.status = 206,
                      .headers = {"Content-Range: bytes 0-4/10"},
                      .body = std::string(1 << 16, 'x'),
                      .then = Then::kRepeat,
                      .content_length = false};
  });
  EXPECT_THAT(Open(server)->Read("packs/a", 0, 5), StatusIs(kInternal, "more bytes"));
}

TEST(HttpsBackendTest, ABodyThatIsCutShortIsTriedAgain) {
  std::atomic<int> calls{0};
  HttpServer server([&calls](const HttpRequest& request) {
    HttpAnswer answer = Serve(request);
    if (calls++ < 2) answer.send_bytes = 1;
    return answer;
  });
  EXPECT_EQ(Open(server)->Read("packs/a", 2, 3).value(), "234");
  EXPECT_EQ(calls, 3);
}

TEST(HttpsBackendTest, ABodyThatIsAlwaysCutShortIsUnavailable) {
  HttpServer server([](const HttpRequest& request) {
    HttpAnswer answer = Serve(request);
    answer.send_bytes = 1;
    return answer;
  });
  EXPECT_THAT(Open(server)->Read("packs/a", 2, 3), StatusIs(kUnavailable));
  EXPECT_EQ(server.Requests().size(), 3u);
}

TEST(HttpsBackendTest, ABodyWithoutLengthThatIsCutShortIsUnavailable) {
  HttpServer server([](const HttpRequest& request) {
    HttpAnswer answer = Serve(request);
    answer.send_bytes = 1;
    answer.content_length = false;
    return answer;
  });
  EXPECT_THAT(Open(server)->Read("packs/a", 2, 3), StatusIs(kUnavailable, "cut short"));
}

TEST(HttpsBackendTest, AConnectionThatBreaksIsTriedAgain) {
  std::atomic<int> calls{0};
  HttpServer server([&calls](const HttpRequest& request) {
    HttpAnswer answer = Serve(request);
    if (calls++ < 2) {
      answer.send_bytes = 0;
      answer.then = Then::kReset;
    }
    return answer;
  });
  EXPECT_EQ(Open(server)->Read("packs/a", 2, 3).value(), "234");
}

TEST(HttpsBackendTest, AnErrorOfTheServerIsNotTriedAgain) {
  HttpServer server([](const HttpRequest&) { return HttpAnswer{.status = 503}; });
  const auto backend = Open(server);
  EXPECT_THAT(backend->Read("packs/a", 2, 3), StatusIs(kUnavailable, "503"));
  EXPECT_THAT(backend->Stat("packs/a"), StatusIs(kUnavailable, "503"));
  EXPECT_EQ(server.Requests().size(), 2u);
}

TEST(HttpsBackendTest, AHangingServerIsGivenUp) {
  HttpServer server([](const HttpRequest& request) {
    HttpAnswer answer = Serve(request);
    answer.send_bytes = request.path.ends_with("b") ? 1 : 0;
    answer.then = Then::kHang;
    return answer;
  });
  const auto backend = Open(server, Quick());
  EXPECT_THAT(backend->Read("packs/a", 2, 3), StatusIs(kUnavailable));
  EXPECT_THAT(backend->Read("packs/b", 2, 3), StatusIs(kUnavailable));
}

TEST(HttpsBackendTest, NobodyListeningIsUnavailable) {
  std::string host;
  { host = HttpServer(Serve).Host(); }
  ASSERT_OK_AND_ASSIGN(const auto backend, HttpsBackend::Open("http://" + host, {}));
  EXPECT_THAT(backend->Read("packs/a", 0, 1), StatusIs(kUnavailable));
  EXPECT_THAT(backend->Stat("packs/a"), StatusIs(kUnavailable));
}

TEST(HttpsBackendTest, SomethingElseListeningIsAnError) {
  HttpServer server(Serve);
  ASSERT_OK_AND_ASSIGN(const auto backend, HttpsBackend::Open("https://" + server.Host(), Quick()));
  EXPECT_THAT(backend->Read("packs/a", 0, 1), StatusIs(kUnavailable));
}

TEST(HttpsBackendTest, RedirectsToPlainHttpAreNotFollowed) {
  HttpServer other(Serve);
  HttpServer server([&other](const HttpRequest& request) {
    const std::string slash = request.path.ends_with("directory") ? "/" : "";
    return HttpAnswer{.status = 302,
                      .headers = {"Location: http://" + other.Host() + request.path + slash}};
  });
  const auto backend = Open(server);
  EXPECT_THAT(backend->Read("packs/a", 0, 1), StatusIs(kInternal, "not followed"));
  EXPECT_THAT(backend->Read("packs/directory", 0, 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(backend->Stat("packs/directory"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(other.Requests().size(), 0u);
}

TEST(HttpsBackendTest, TheTokenIsReadAnewForEachRequest) {
  const testing::TempDir directory;
  HttpsOptions options;
  options.token_file = directory / "token";
  HttpServer server(Serve);
  EXPECT_THAT(HttpsBackend::Open("http://" + server.Host(), options),
              StatusIs(kInternal, "token"));  // ENOENT
  std::ofstream(options.token_file) << "one\n";
  const auto backend = Open(server, options);
  EXPECT_OK(backend->Read("packs/a", 0, 1));
  std::ofstream(options.token_file) << "two\n";
  EXPECT_OK(backend->Stat("packs/a"));
  std::filesystem::remove(options.token_file);
  EXPECT_THAT(backend->Read("packs/a", 0, 1), StatusIs(kUnavailable, options.token_file));
  const std::vector<HttpRequest> requests = server.Requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].headers.at("authorization"), "Bearer one");
  EXPECT_EQ(requests[1].headers.at("authorization"), "Bearer two");
}

TEST(HttpsBackendTest, OpenChecksItsOptions) {
  const auto open = [](HttpsOptions options) {
    return HttpsBackend::Open("https://127.0.0.1:1", std::move(options)).status();
  };
  EXPECT_OK(open({}));
  EXPECT_THAT(open({.ca_file = "/none"}), StatusIs(kInternal, "/none"));
  EXPECT_THAT(open({.client_certificate = "/dev/null"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(open({.client_key = "/dev/null"}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(open({.client_certificate = "/dev/null", .client_key = "/none"}),
              StatusIs(kInternal, "/none"));
  EXPECT_THAT(HttpsBackend::Open("http://example.com", {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(HttpsBackendTest, TransfersBeyondTheLimitWaitForTheirTurn) {
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  HttpServer server([&](const HttpRequest& request) {
    const int mine = ++now;
    for (int seen = most; seen < mine && !most.compare_exchange_weak(seen, mine);) {
    }
    // Until the others have come, or are seen not to.
    for (int i = 0; i < 1000 && now < 3 && most < 3; ++i) std::this_thread::yield();
    --now;
    return Serve(request);
  });
  const auto backend = Open(server, {.max_transfers = 3});
  std::vector<std::promise<absl::StatusOr<std::string>>> answers(50);
  for (auto& answer : answers) {
    backend->ReadAsync("packs/a", 0, 10,
                       [&answer](auto bytes) { answer.set_value(std::move(bytes)); });
  }
  for (auto& answer : answers) EXPECT_EQ(answer.get_future().get().value(), kObject);
  EXPECT_LE(most, 3);
  EXPECT_EQ(server.Requests().size(), 50u);
}

TEST(HttpsBackendTest, ClosingAnswersWhatIsUnderWay) {
  std::promise<void> asked;
  std::atomic<bool> first{true};
  HttpServer server([&](const HttpRequest& request) {
    if (first.exchange(false)) asked.set_value();
    HttpAnswer answer = Serve(request);
    answer.send_bytes = 0;
    answer.then = Then::kHang;
    return answer;
  });
  auto backend = Open(server, {.max_transfers = 2});
  std::atomic<int> closed{0};
  std::atomic<int> late{0};
  for (int i = 0; i < 5; ++i) {
    backend->ReadAsync("packs/a", 0, 10, [&, raw = backend.get()](const auto& bytes) {
      if (bytes.status().code() == kUnavailable) ++closed;
      raw->ReadAsync("packs/a", 0, 10, [&late](const auto& again) {
        if (again.status().code() == kUnavailable) ++late;
      });
    });
  }
  asked.get_future().wait();
  backend.reset();
  EXPECT_EQ(closed, 5);
  EXPECT_EQ(late, 5);
}

}  // namespace
}  // namespace slacker
