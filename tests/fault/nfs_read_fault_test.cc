// Reading from an NFS server that dies, hangs, cuts connections, refuses, or loses what is read.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/fault/nfs_fixture.h"
#include "tests/support/eventually.h"

namespace slacker::testing {
namespace {

using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::SizeIs;

constexpr size_t kReads = 64;
constexpr uint32_t kReadBytes = 128 << 10;
constexpr nfs::Patience kLong = {seconds(60), seconds(60)};
constexpr nfs::Patience kShort = {seconds(2), seconds(3)};

// The header of a call of this procedure, from the program on.
std::string CallOf(int version, char procedure) {
  return std::string("\x00\x01\x86\xa3\x00\x00\x00", 7) + static_cast<char>(version) +
         std::string("\x00\x00\x00", 3) + procedure;
}

// A server's answers to OPEN: NFS4ERR_GRACE, NFS4ERR_EXPIRED, NFS4ERR_STALE_CLIENTID.
const std::string kOpenInGrace("\x00\x00\x00\x12\x00\x00\x27\x1d", 8);
const std::string kOpenExpired("\x00\x00\x00\x12\x00\x00\x27\x1b", 8);
const std::string kOpenByAStranger("\x00\x00\x00\x12\x00\x00\x27\x26", 8);

class NfsReadFaultTest : public NfsFaultTest {
 protected:
  using NfsFaultTest::NfsFaultTest;

  const std::string content_ = ContentOf("a", kReads* kReadBytes);

  void StartReads(Backend* backend, PendingReads* reads) const {
    for (size_t i = 0; i < kReads; ++i) reads->Add(backend, "packs/a", i * kReadBytes, kReadBytes);
  }
  void ExpectAllRight(PendingReads* reads) const {
    for (size_t i = 0; i < kReads; ++i) {
      ASSERT_OK_AND_ASSIGN(const std::string bytes, reads->Get(i));
      EXPECT_TRUE(bytes == content_.substr(i * kReadBytes, kReadBytes)) << "read " << i;
    }
  }
};

TEST_P(NfsReadFaultTest, ReadsInFlightSurviveTheDeathOfTheServer) {
  ASSERT_OK(Open()->Put("packs/a", content_));
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay, kLong);
  ASSERT_OK(backend->Read("packs/a", 0, 1));
  PendingReads reads;
  server_.Pause();  // so that all of them are in flight
  StartReads(backend.get(), &reads);
  ASSERT_TRUE(Eventually([&] { return AllReadsSent(relay, kReads, kReadBytes); }));
  server_.Kill();
  server_.Start();
  ExpectAllRight(&reads);
}

TEST_P(NfsReadFaultTest, NothingWrongIsReadWhileTheServerDiesOverAndOver) {
  auto backend = Open("", kLong);
  ASSERT_OK(backend->Put("packs/a", content_));
  std::atomic<bool> stop = false;
  std::atomic<int> right = 0;
  std::vector<std::thread> readers;
  for (size_t reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&, reader] {
      for (size_t i = reader; !stop; i += 7) {
        const size_t at = i % kReads * kReadBytes;
        const auto bytes = backend->Read("packs/a", at, kReadBytes);
        ASSERT_OK(bytes);
        ASSERT_TRUE(*bytes == content_.substr(at, kReadBytes));
        ++right;
      }
    });
  }
  for (int round = 0; round < 3; ++round) {
    const int before = right;
    ASSERT_TRUE(Eventually([&] { return right > before + 20; }));
    server_.Kill();
    server_.Start();
  }
  const int before = right;
  EXPECT_TRUE(Eventually([&] { return right > before; }));
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

TEST_P(NfsReadFaultTest, SilentServerIsUnavailableAndWorkResumes) {
  auto backend = Open("", kShort);
  ASSERT_OK(backend->Put("packs/a", content_));
  PendingReads reads;
  server_.Pause();
  StartReads(backend.get(), &reads);
  for (size_t i = 0; i < kReads; ++i) {
    EXPECT_THAT(reads.Get(i), StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_THAT(backend->Stat("packs/none"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(backend->Put("packs/b", "x"), StatusIs(absl::StatusCode::kUnavailable));
  server_.Resume();
  PendingReads again;
  StartReads(backend.get(), &again);
  ExpectAllRight(&again);
  EXPECT_OK(backend->Put("packs/b", "x"));
}

// How long a server that is paused is waited for: paused_servers_test.
TEST_P(NfsReadFaultTest, ReadsAreOnTheirWayAtOnceByAllConnections) {
  ASSERT_OK(Open()->Put("packs/a", content_));
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay, kLong);
  ASSERT_OK(backend->Read("packs/a", 0, 1));
  PendingReads reads;
  server_.Pause();
  StartReads(backend.get(), &reads);
  EXPECT_TRUE(Eventually([&] { return AllReadsSent(relay, kReads, kReadBytes); }));
  EXPECT_EQ(relay.ConnectionsWith(GetParam() == 3 ? CallOf(3, 6) : CallOf(4, 1)), 4u);
  server_.Resume();
  ExpectAllRight(&reads);
}

TEST_P(NfsReadFaultTest, ConnectionResetsAreNotNoticed) {
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay, kLong);
  ASSERT_OK(backend->Put("packs/a", content_));
  for (int round = 0; round < 5; ++round) {
    PendingReads reads;
    StartReads(backend.get(), &reads);
    ASSERT_OK(reads.Get(static_cast<size_t>(round)));  // others are on their way
    relay.ResetAll();
    for (size_t i = 0; i < kReads; ++i) {
      if (i == static_cast<size_t>(round)) continue;
      ASSERT_OK_AND_ASSIGN(const std::string bytes, reads.Get(i));
      ASSERT_TRUE(bytes == content_.substr(i * kReadBytes, kReadBytes)) << "read " << i;
    }
  }
}

TEST_P(NfsReadFaultTest, AbsentServerIsUnavailableAndWorkBeginsWithIt) {
  ASSERT_OK(Open()->Put("packs/a", content_));
  server_.Kill();
  auto backend = Open("", kShort, MissingStore::kAllow);
  EXPECT_THAT(backend->Read("packs/a", 0, 1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(backend->List(""), StatusIs(absl::StatusCode::kUnavailable));
  server_.Start();
  EXPECT_TRUE(Eventually([&] { return backend->Read("packs/a", 0, 1).ok(); }));
  EXPECT_TRUE(backend->ReadWhole("packs/a", content_.size()).value() == content_);
}

TEST_P(NfsReadFaultTest, RemovedObjectIsNotFoundAndNeverWrong) {
  auto backend = Open();
  ASSERT_OK(backend->Put("packs/a", content_));
  ASSERT_OK(backend->Put("packs/b", content_));
  ASSERT_OK(Open()->Remove("packs/a"));                     // another client
  ASSERT_TRUE(std::filesystem::remove(OnDisk("packs/b")));  // somebody on the server
  for (const std::string name : {"packs/a", "packs/b"}) {
    EXPECT_TRUE(Eventually([&] {
      const auto bytes = backend->Read(name, kReadBytes, kReadBytes);
      if (bytes.ok()) {
        EXPECT_TRUE(*bytes == content_.substr(kReadBytes, kReadBytes));
      } else {
        EXPECT_THAT(bytes, StatusIs(absl::StatusCode::kNotFound));
      }
      return !bytes.ok();
    })) << name;
  }
}

TEST_P(NfsReadFaultTest, ReplacedObjectIsReadInOneContent) {
  constexpr size_t kSize = 3 << 20;  // several requests
  auto backend = Open();
  auto other = Open();
  const std::string contents[] = {std::string(kSize, 'a'), std::string(kSize, 'b')};
  ASSERT_OK(other->Replace("locations/x", contents[0]));
  for (int round = 1; round <= 4; ++round) {
    ASSERT_OK(backend->Read("locations/x", 0, 1));
    PendingReads reads;
    for (int i = 0; i < 8; ++i) reads.Add(backend.get(), "locations/x", 0, kSize);
    ASSERT_OK(other->Replace("locations/x", contents[round % 2]));
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_THAT(reads.Get(i).value(), AnyOf(contents[0], contents[1]));
    }
    EXPECT_TRUE(Eventually(
        [&] { return backend->Read("locations/x", 0, kSize).value() == contents[round % 2]; }));
  }
}

TEST_P(NfsReadFaultTest, StoreThatWasMovedAwayIsUnavailableUntilItIsBack) {
  auto backend = Open();
  ASSERT_OK(backend->Put("packs/a", "x"));
  ASSERT_OK(backend->Read("packs/a", 0, 1));
  backend.reset();
  server_.Kill();
  const std::string store = server_.export_directory() + "/store";
  std::filesystem::rename(store, store + "-away");
  server_.Start();
  backend = Open("", kShort, MissingStore::kAllow);
  EXPECT_THAT(backend->Read("packs/a", 0, 1), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(backend->Put("packs/a", "y"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(NfsBackend::Open(ParseNfsUrl(NfsServer::Url(GetParam(), "/store")).value(),
                               MissingStore::kFail),
              StatusIs(absl::StatusCode::kUnavailable));
  std::filesystem::rename(store + "-away", store);
  EXPECT_TRUE(Eventually([&] { return backend->Read("packs/a", 0, 1).ok(); }));
}

TEST_P(NfsReadFaultTest, ReplacedStoreDirectoryIsFoundAgain) {
  auto backend = Open();
  ASSERT_OK(backend->Put("packs/a", "old"));
  ASSERT_EQ(backend->Read("packs/a", 0, 3).value(), "old");
  // As a restored back-up: every handle is stale.
  server_.Kill();
  std::filesystem::rename(server_.export_directory() + "/store", directory_ / "old");
  std::filesystem::remove_all(directory_ / "old");
  server_.Start();
  ASSERT_OK(Open()->Put("packs/a", "new"));
  EXPECT_TRUE(Eventually([&] {
    const auto bytes = backend->Read("packs/a", 0, 3);
    return bytes.ok() && *bytes == "new";
  }));
}

TEST_P(NfsReadFaultTest, ForbiddenReadIsPermissionDenied) {
  ASSERT_OK(Open()->Put("packs/a", "x"));
  ASSERT_EQ(chmod(OnDisk("packs/a").c_str(), 0600), 0);
  auto stranger = Open("&uid=4711&gid=4711", {}, MissingStore::kAllow);
  EXPECT_THAT(stranger->Read("packs/a", 0, 1), StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_EQ(chmod(OnDisk("packs/a").c_str(), 0644), 0);
  EXPECT_OK(stranger->Read("packs/a", 0, 1));
  ASSERT_EQ(chmod(OnDisk("packs").c_str(), 0700), 0);
  EXPECT_TRUE(Eventually(
      [&] { return absl::IsPermissionDenied(stranger->Read("packs/a", 0, 1).status()); }));
}

class NfsLeaseTest : public NfsReadFaultTest {
 protected:
  static constexpr int kLeaseSeconds = 3;
  NfsLeaseTest() : NfsReadFaultTest(NfsServer::Options{kLeaseSeconds, /*grace_seconds=*/6}) {}
};

TEST_P(NfsLeaseTest, IdleForTwiceTheLeaseReadsAndWritesAtOnce) {
  TcpRelay relay(NfsServer::kPort);
  // Nothing that needs a recovery fits into this.
  auto backend = OpenThrough(relay, {seconds(2), seconds(2)});
  ASSERT_OK(backend->Put("packs/a", content_));
  ASSERT_OK(backend->Read("packs/a", 0, 1));
  const size_t sent = relay.SentBytes();
  // What is waited for is that so much time passes.
  std::this_thread::sleep_for(2 * seconds(kLeaseSeconds) + seconds(1));
  EXPECT_EQ(relay.SentBytes(), sent) << "the node was not idle";
  EXPECT_EQ(backend->Read("packs/a", 0, kReadBytes).value(), content_.substr(0, kReadBytes));
  EXPECT_OK(backend->Put("packs/b", "x"));
  // Version 3 has no clients that a server could forget.
  if (GetParam() == 4) {
    EXPECT_GE(relay.Answered(kOpenExpired) + relay.Answered(kOpenByAStranger), 1u);
  }
  EXPECT_EQ(backend->Read("packs/b", 0, 1).value(), "x");
}

TEST_P(NfsLeaseTest, GracePeriodOfARestartedServerIsWaitedFor) {
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay, kLong);
  ASSERT_OK(backend->Put("packs/a", content_));
  server_.Kill();
  server_.Start();
  EXPECT_OK(backend->Put("packs/b", "x"));
  // Version 3 has no state that a server could wait for.
  if (GetParam() == 4) {
    EXPECT_GE(relay.Answered(kOpenInGrace), 1u);
  }
  EXPECT_TRUE(backend->ReadWhole("packs/a", content_.size()).value() == content_);
}

class NfsSmallReadsTest : public NfsReadFaultTest {
 protected:
  static constexpr uint32_t kMost = 16 << 10;
  NfsSmallReadsTest() : NfsReadFaultTest(NfsServer::Options{.max_read_bytes = kMost}) {}
};

TEST_P(NfsSmallReadsTest, NoReadIsLargerThanTheServerAllows) {
  ASSERT_OK(Open()->Put("packs/a", content_));
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay);
  EXPECT_EQ(backend->Read("packs/a", kReadBytes, kReadBytes).value(),
            content_.substr(kReadBytes, kReadBytes));
  for (uint32_t at = 0; at < kReadBytes; at += kMost) {
    EXPECT_EQ(relay.Seen(ReadCall(kReadBytes + at, kMost)), 1u) << at;
  }
  PendingReads reads;
  StartReads(backend.get(), &reads);
  ExpectAllRight(&reads);
}

std::string NameOfVersion(const ::testing::TestParamInfo<int>& info) {
  return "Version" + std::to_string(info.param);
}
INSTANTIATE_TEST_SUITE_P(Versions, NfsReadFaultTest, ::testing::Values(3, 4), NameOfVersion);
INSTANTIATE_TEST_SUITE_P(Versions, NfsLeaseTest, ::testing::Values(3, 4), NameOfVersion);
INSTANTIATE_TEST_SUITE_P(Versions, NfsSmallReadsTest, ::testing::Values(3, 4), NameOfVersion);

}  // namespace
}  // namespace slacker::testing
