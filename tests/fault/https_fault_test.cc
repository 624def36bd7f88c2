// What HttpsBackend does when a real nginx dies, hangs, or loses its files: nothing wrong is read,
// each failure has its code, and the same backend goes on when the server does.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>

#include "backend/https/https_backend.h"
#include "tests/support/eventually.h"
#include "tests/support/nginx_process.h"
#include "tests/support/pending_reads.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tcp_relay.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

constexpr absl::StatusCode kUnavailable = absl::StatusCode::kUnavailable;
constexpr size_t kReads = 64;
constexpr size_t kFirstBytes = 8 << 10;   // come at once
constexpr size_t kOtherBytes = 48 << 10;  // need a second

// Many reads of an object, of which the first is answered when the others are under way.
class HttpsFaultTest : public ::testing::TestWithParam<bool> {
 protected:
  HttpsFaultTest() : HttpsFaultTest("limit_rate 40k;\nlimit_rate_after 10k;") {}
  explicit HttpsFaultTest(std::string directives)
      : nginx_({.directory = directory_ / "nginx",
                .root = directory_ / "store",
                .certificates = &certificates_,
                .http2 = GetParam(),
                .directives = std::move(directives)}) {}
  void SetUp() override {
    object_.resize(kReads * kOtherBytes);
    for (size_t i = 0; i < object_.size(); ++i) object_[i] = static_cast<char>(i * 37 >> 8);
    std::filesystem::create_directories(directory_ / "store/packs");
    Write("packs/a", object_);
  }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(directory_ / ("store/" + name)) << content;
  }
  std::unique_ptr<HttpsBackend> Open(std::chrono::milliseconds deadline) {
    return OpenAt(nginx_.Url(), deadline);
  }
  std::unique_ptr<HttpsBackend> OpenAt(const std::string& url, std::chrono::milliseconds deadline) {
    HttpsOptions options;
    options.ca_file = certificates_.ca();
    options.deadline = deadline;
    options.min_bytes_per_second = 1 << 30;
    return HttpsBackend::Open(url, options).value();
  }
  static size_t SizeOf(size_t read) { return read == 0 ? kFirstBytes : kOtherBytes; }

  // All reads at once; `on_first` is called when the first has its answer. Each is right or has
  // `code`; returns how many have it.
  size_t ReadAll(HttpsBackend& backend, absl::StatusCode code,
                 const std::function<void()>& on_first = {}) {
    std::vector<std::promise<absl::StatusOr<std::string>>> answers(kReads);
    std::promise<void> first;
    std::atomic<bool> any = false;
    for (size_t i = 0; i < kReads; ++i) {
      backend.ReadAsync("packs/a", i * kOtherBytes, SizeOf(i), [&, i](auto bytes) {
        if (!any.exchange(true)) first.set_value();
        answers[i].set_value(std::move(bytes));
      });
    }
    if (on_first) {
      first.get_future().wait();
      on_first();
    }
    size_t failed = 0;
    for (size_t i = 0; i < kReads; ++i) {
      const absl::StatusOr<std::string> bytes = answers[i].get_future().get();
      if (bytes.ok()) {
        EXPECT_TRUE(*bytes == object_.substr(i * kOtherBytes, SizeOf(i))) << i;
      } else {
        EXPECT_THAT(bytes, StatusIs(code));
        ++failed;
      }
    }
    return failed;
  }

  // Asks again, as nodes do, until all is answered.
  bool BecomesWell(HttpsBackend& backend) {
    for (int i = 0; i < 50; ++i) {
      if (ReadAll(backend, kUnavailable) == 0) return true;
    }
    return false;
  }

  TempDir directory_;
  std::string object_;
  TestCertificates certificates_{directory_ / "certificates"};
  NginxProcess nginx_;
};

TEST_P(HttpsFaultTest, ReadsUnderWayOfAServerThatIsKilledAreUnavailable) {
  const auto backend = Open(std::chrono::seconds(60));
  EXPECT_GT(ReadAll(*backend, kUnavailable, [this] { nginx_.Kill(); }), 0u);
  EXPECT_EQ(ReadAll(*backend, kUnavailable), kReads);  // refused
  nginx_.Start();
  EXPECT_EQ(ReadAll(*backend, kUnavailable), 0u);
}

TEST_P(HttpsFaultTest, AServerThatIsRestartedAtOnceIsAskedAgain) {
  const auto backend = Open(std::chrono::seconds(60));
  (void)ReadAll(*backend, kUnavailable, [this] {
    nginx_.Kill();
    nginx_.Start();
  });
  EXPECT_TRUE(BecomesWell(*backend));
}

// All reads are under way at once, for several seconds, by way of a relay.
class HttpsResetTest : public HttpsFaultTest {
 protected:
  static constexpr size_t kBytes = 20 << 10;
  HttpsResetTest() : HttpsFaultTest("limit_rate 2k;\nlimit_rate_after 1;") {}

  void StartReads(PendingReads* reads) {
    for (size_t i = 0; i < kReads; ++i) {
      reads->Add(backend_.get(), "packs/a", i * kOtherBytes, kBytes);
    }
    ASSERT_TRUE(Eventually([this] { return nginx_.UnderWay() == kReads; }));
  }
  // Each is right or UNAVAILABLE; returns how many are that.
  size_t Failed(PendingReads* reads) const {
    size_t failed = 0;
    for (size_t i = 0; i < kReads; ++i) {
      const absl::StatusOr<std::string> bytes = reads->Get(i);
      if (bytes.ok()) {
        EXPECT_TRUE(*bytes == object_.substr(i * kOtherBytes, kBytes)) << i;
      } else {
        EXPECT_THAT(bytes, StatusIs(kUnavailable));
        ++failed;
      }
    }
    return failed;
  }

  TcpRelay relay_{static_cast<uint16_t>(nginx_.port())};
  const std::unique_ptr<HttpsBackend> backend_ =
      OpenAt("https://127.0.0.1:" + std::to_string(relay_.port()), std::chrono::seconds(60));
};

TEST_P(HttpsResetTest, ConnectionsThatAreResetOnceAreNotNoticed) {
  PendingReads reads;
  StartReads(&reads);
  relay_.ResetAll();
  EXPECT_EQ(Failed(&reads), 0u);
}

TEST_P(HttpsResetTest, ConnectionsThatAreResetOverAndOverAreUnavailableAndWorkResumes) {
  PendingReads reads;
  StartReads(&reads);
  EXPECT_TRUE(Eventually([&] {
    relay_.ResetAll();
    return reads.Ended();
  }));
  EXPECT_EQ(Failed(&reads), kReads);
  PendingReads again;
  StartReads(&again);
  EXPECT_EQ(Failed(&again), 0u);
}

// One that hangs for less: paused_servers_test.
TEST_P(HttpsFaultTest, AServerThatHangsBeyondTheDeadlineIsUnavailable) {
  const auto backend = Open(std::chrono::seconds(3));
  nginx_.Suspend();
  EXPECT_EQ(ReadAll(*backend, kUnavailable), kReads);
  nginx_.Resume();
  EXPECT_TRUE(BecomesWell(*backend));
}

TEST_P(HttpsFaultTest, AFileThatIsRemovedIsNotFoundUntilItIsBack) {
  const auto backend = Open(std::chrono::seconds(60));
  const std::string path = directory_ / "store/packs/a";
  size_t failed =
      ReadAll(*backend, absl::StatusCode::kNotFound, [&] { std::filesystem::remove(path); });
  EXPECT_LT(failed, kReads);
  EXPECT_EQ(ReadAll(*backend, absl::StatusCode::kNotFound), kReads);
  std::filesystem::remove_all(directory_ / "store");
  EXPECT_EQ(ReadAll(*backend, absl::StatusCode::kNotFound), kReads);
  std::filesystem::create_directories(directory_ / "store/packs");
  Write("packs/a", object_);
  EXPECT_EQ(ReadAll(*backend, kUnavailable), 0u);
}

TEST_P(HttpsFaultTest, AFileThatIsCutShortUnderAReadGivesNoWrongByte) {
  const auto backend = Open(std::chrono::seconds(60));
  std::promise<absl::StatusOr<std::string>> answer;
  backend->ReadAsync("packs/a", 0, object_.size(),
                     [&](auto bytes) { answer.set_value(std::move(bytes)); });
  EXPECT_OK(backend->Read("packs/a", 0, 1));
  std::filesystem::resize_file(directory_ / "store/packs/a", 1);
  const auto bytes = answer.get_future().get();
  if (bytes.ok()) {
    EXPECT_TRUE(object_.starts_with(*bytes)) << bytes->size();
  } else {
    EXPECT_THAT(bytes, StatusIs(kUnavailable));
  }
  EXPECT_EQ(backend->Read("packs/a", 0, 10).value(), object_.substr(0, 1));
}

const auto kNameOf = [](const auto& test) { return std::string(test.param ? "Http2" : "Http1"); };
INSTANTIATE_TEST_SUITE_P(All, HttpsFaultTest, ::testing::Bool(), kNameOf);
INSTANTIATE_TEST_SUITE_P(All, HttpsResetTest, ::testing::Bool(), kNameOf);

}  // namespace
}  // namespace slacker::testing
