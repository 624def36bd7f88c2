// Real servers that stand still for ten seconds, as one whose disk hangs or whose virtual machine is
// moved does, with many reads in flight: with the default options that is waited for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "backend/https/https_backend.h"
#include "tests/fault/nfs_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/nginx_process.h"

namespace slacker::testing {
namespace {

constexpr size_t kReads = 64;
constexpr uint32_t kReadBytes = 8 << 10;
constexpr std::chrono::seconds kPause{10};

// The servers side by side, so that the pause is waited for once. All serve one directory.
class PausedServersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const int version : {3, 4}) {
      stores_.push_back(OpenNfs(version, &nfs_relay_[version - 3]));
    }
    ASSERT_OK(OpenNfs(3, nullptr)->Put("packs/a", content_));
    stores_.push_back(HttpsBackend::Open(nginx_.Url(), {.ca_file = certificates_.ca()}).value());
    for (const auto& store : stores_) ASSERT_OK(store->Read("packs/a", 0, 1)) << store->Url();
  }
  static std::unique_ptr<NfsBackend> OpenNfs(int version, const TcpRelay* relay) {
    const std::string by = relay == nullptr ? "" : "&nfsport=" + std::to_string(relay->port());
    return NfsBackend::Open(ParseNfsUrl(NfsServer::Url(version, "/store", by)).value(),
                            MissingStore::kCreate)
        .value();
  }
  void StartReads(ReadBackend* store, PendingReads* reads) {
    for (size_t i = 0; i < kReads; ++i) reads->Add(store, "packs/a", i * kReadBytes, kReadBytes);
  }
  void ExpectAllRight(const std::string& store, PendingReads* reads) const {
    for (size_t i = 0; i < kReads; ++i) {
      const absl::StatusOr<std::string> bytes = reads->Get(i);
      ASSERT_OK(bytes) << store << ", read " << i;
      EXPECT_TRUE(*bytes == content_.substr(i * kReadBytes, kReadBytes)) << store << ", read " << i;
    }
  }

  const std::string content_ = ContentOf("a", kReads* kReadBytes);
  TempDir directory_;
  NfsServer nfs_{directory_.path()};
  TcpRelay nfs_relay_[2] = {TcpRelay(NfsServer::kPort), TcpRelay(NfsServer::kPort)};
  TestCertificates certificates_{directory_ / "certificates"};
  // So slow that all reads are under way at once; the pause counts as time that has gone.
  NginxProcess nginx_{{.directory = directory_ / "nginx",
                       .root = nfs_.export_directory() + "/store",
                       .certificates = &certificates_,
                       .directives = "limit_rate 1k;\nlimit_rate_after 1;"}};
  std::vector<std::unique_ptr<ReadBackend>> stores_;
};

TEST_F(PausedServersTest, TenSecondsAreWaitedForByAllReadsInFlight) {
  std::vector<PendingReads> reads(stores_.size());
  nfs_.Pause();
  for (size_t i = 0; i < stores_.size(); ++i) StartReads(stores_[i].get(), &reads[i]);
  for (TcpRelay& relay : nfs_relay_) {
    ASSERT_TRUE(Eventually([&] { return AllReadsSent(relay, kReads, kReadBytes); }));
  }
  ASSERT_TRUE(Eventually([this] { return nginx_.UnderWay() == kReads; }));
  nginx_.Suspend();
  std::this_thread::sleep_for(kPause);  // what is waited for is that so much time passes
  for (const PendingReads& pending : reads) EXPECT_FALSE(pending.Ended());
  nfs_.Resume();
  nginx_.Resume();
  for (size_t i = 0; i < stores_.size(); ++i) ExpectAllRight(stores_[i]->Url(), &reads[i]);

  for (const auto& store : stores_) {
    PendingReads again;
    StartReads(store.get(), &again);
    ExpectAllRight(store->Url(), &again);
  }
}

}  // namespace
}  // namespace slacker::testing
