// Writing to an NFS server that is full, read-only, forbids it, dies, or whose answers are lost.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "backend/base/clock.h"
#include "backend/temporary_name.h"
#include "tests/fault/nfs_fixture.h"
#include "tests/support/eventually.h"

namespace slacker::testing {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr nfs::Patience kLong = {seconds(60), seconds(60)};
constexpr size_t kTemporaryNameBytes = 37;

std::string Number(size_t value) {
  return std::string("\x00\x00\x00", 3) + static_cast<char>(value);
}

// What the request of this operation has in it, for the name that it ends with or begins with.
struct Requests {
  std::string create, link, rename, remove, make_directory, write, commit;
};
Requests RequestsOf(int version) {
  const std::string program("\x00\x01\x86\xa3", 4);
  if (version == 3) {
    const std::string call = program + Number(3);
    return {call + Number(8), call + Number(15), call + Number(14), call + Number(12),
            call + Number(9), call + Number(7),  call + Number(21)};
  }
  const std::string object = Number(6) + "object";
  const std::string temporary = Number(kTemporaryNameBytes) + ".tmp-";
  return {
      temporary,  // CLAIM_NULL's name, first of all requests with it
      Number(11) + object, Number(29) + temporary,
      Number(28),          Number(6) + Number(2) + Number(3) + "new",
      Number(38),          Number(5) + std::string(12, '\0'),
  };
}

class NfsWriteFaultTest : public NfsFaultTest {
 protected:
  using NfsFaultTest::NfsFaultTest;
  const Requests requests_ = RequestsOf(GetParam());
};

TEST_P(NfsWriteFaultTest, ObjectAppearsOnceWhenTheAnswerToItsNameIsLost) {
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay, kLong);
  relay.LoseAnswerTo(requests_.link);
  EXPECT_OK(backend->Put("object", "content"));
  EXPECT_TRUE(relay.AnswerLost());
  EXPECT_EQ(backend->ReadWhole("object", 100).value(), "content");
  EXPECT_THAT(Temporaries(), IsEmpty());
}

TEST_P(NfsWriteFaultTest, ReplaceSucceedsWhenItsAnswerIsLost) {
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay, kLong);
  ASSERT_OK(backend->Replace("object", "old"));
  relay.LoseAnswerTo(requests_.rename);
  EXPECT_OK(backend->Replace("object", "new"));
  EXPECT_TRUE(relay.AnswerLost());
  EXPECT_EQ(backend->ReadWhole("object", 100).value(), "new");
  EXPECT_THAT(Temporaries(), IsEmpty());
}

TEST_P(NfsWriteFaultTest, EveryOtherLostAnswerIsMadeUpFor) {
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay, kLong);
  for (const std::string& request :
       {requests_.create, requests_.write, requests_.commit, requests_.remove}) {
    relay.LoseAnswerTo(request);
    EXPECT_OK(backend->Put("object", "content"));
    EXPECT_TRUE(relay.AnswerLost());
    EXPECT_EQ(backend->ReadWhole("object", 100).value(), "content");
    relay.LoseAnswerTo(requests_.remove);
    EXPECT_OK(backend->Remove("object"));
    EXPECT_TRUE(relay.AnswerLost());
    EXPECT_THAT(backend->Stat("object"), StatusIs(absl::StatusCode::kNotFound));
  }
  relay.LoseAnswerTo(requests_.make_directory);
  EXPECT_OK(backend->Put("new/object", "content"));
  EXPECT_TRUE(relay.AnswerLost());
  EXPECT_THAT(Temporaries(), IsEmpty());
}

TEST_P(NfsWriteFaultTest, ServerThatDiesOverAndOverLosesNothingOfWhatIsWritten) {
  auto backend = Open("", kLong);
  const std::string content = ContentOf("a", 20 << 20);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 3; ++i) EXPECT_OK(backend->Put("packs/" + std::to_string(i), content));
    done = true;
  });
  for (int round = 0; round < 3 && !done; ++round) {
    EXPECT_TRUE(Eventually([&] { return done || !Temporaries().empty(); }));
    server_.Kill();
    server_.Start();
  }
  writer.join();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(backend->ReadWhole("packs/" + std::to_string(i), content.size()).value() ==
                content);
  }
  EXPECT_THAT(Temporaries(), IsEmpty());
}

TEST_P(NfsWriteFaultTest, ConnectionResetsLoseNothingOfWhatIsWritten) {
  TcpRelay relay(NfsServer::kPort);
  auto backend = OpenThrough(relay, kLong);
  const std::string content = ContentOf("a", 10 << 20);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_OK(backend->Put("packs/" + std::to_string(i), content));
      EXPECT_OK(backend->Replace("locations/x", content));
    }
    done = true;
  });
  size_t sent = relay.SentBytes();
  while (!done) {
    EXPECT_TRUE(Eventually([&] { return done || relay.SentBytes() > sent + (3 << 20); }));
    sent = relay.SentBytes();
    relay.ResetAll();
  }
  writer.join();
  EXPECT_TRUE(backend->ReadWhole("packs/2", content.size()).value() == content);
  EXPECT_TRUE(backend->ReadWhole("locations/x", content.size()).value() == content);
  EXPECT_THAT(Temporaries(), IsEmpty());
}

TEST_P(NfsWriteFaultTest, ReadOnlyExportIsPermissionDenied) {
  ASSERT_OK(Open()->Put("packs/a", "x"));
  server_.Kill();
  NfsServer::Options options;
  options.read_only = true;
  server_.Configure(options);
  server_.Start();
  auto backend = Open("", kLong, MissingStore::kCreate);  // it is there: nothing is made
  EXPECT_THAT(backend->Put("packs/b", "x"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(backend->Put("new/b", "x"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(backend->Replace("packs/a", "y"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(backend->Remove("packs/a"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(backend->Read("packs/a", 0, 1).value(), "x");
  EXPECT_THAT(backend->List("").value(), ElementsAre("packs/a"));
}

TEST_P(NfsWriteFaultTest, StrangerMayReadButNotWrite) {
  ASSERT_OK(Open()->Put("packs/a", "x"));
  auto stranger = Open("&uid=4711&gid=4711");
  EXPECT_THAT(stranger->Put("packs/b", "x"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(stranger->Replace("packs/a", "y"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(stranger->Remove("packs/a"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(stranger->Read("packs/a", 0, 1).value(), "x");
  // Files belong to whom the URL names.
  ASSERT_EQ(chown(OnDisk("packs").c_str(), 4711, 4711), 0);
  EXPECT_TRUE(Eventually([&] { return stranger->Put("packs/b", "x").ok(); }));
  struct stat info {};
  ASSERT_EQ(stat(OnDisk("packs/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 4711u);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
}

TEST_P(NfsWriteFaultTest, TemporaryFilesOfTheDeadAreSweptAfterADay) {
  auto backend = Open();
  ASSERT_OK(backend->Put("packs/a", "x"));
  const std::string old = OnDisk("packs/" + NewTemporaryName());
  const std::string young = OnDisk("packs/" + NewTemporaryName());
  for (const std::string& path : {old, young}) std::ofstream(path) << "half";
  const int64_t now = SystemClock().WallNanos() / 1'000'000'000;
  const timespec times[2] = {{now, 0}, {now - kTemporaryLifeSeconds - 60, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, old.c_str(), times, 0), 0);
  server_.Kill();  // what was done beside it is seen at once
  server_.Start();
  EXPECT_THAT(Open("", kLong, MissingStore::kFail)->List("").value(), ElementsAre("packs/a"));
  EXPECT_TRUE(std::filesystem::exists(old)) << "only publishers sweep";
  backend = Open();
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_TRUE(std::filesystem::exists(young));
}

TEST_P(NfsWriteFaultTest, WriterThatIsGivenUpLeavesNothing) {
  auto backend = Open();
  ASSERT_OK_AND_ASSIGN(auto writer, backend->Create("packs/a"));
  ASSERT_OK(writer->Append("half"));
  EXPECT_THAT(Temporaries(), SizeIs(1));
  writer.reset();
  EXPECT_TRUE(Eventually([&] { return Temporaries().empty(); }));
}

class NfsFullTest : public NfsWriteFaultTest {
 protected:
  static NfsServer::Options Small() {
    NfsServer::Options options;
    options.capacity_bytes = 8 << 20;
    return options;
  }
  NfsFullTest() : NfsWriteFaultTest(Small()) {}
};

TEST_P(NfsFullTest, FullServerIsResourceExhaustedUntilSomethingIsRemoved) {
  auto backend = Open();
  ASSERT_OK(backend->Put("packs/a", ContentOf("a", 5 << 20)));
  const std::string content = ContentOf("b", 5 << 20);
  EXPECT_THAT(backend->Put("packs/b", content), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(backend->Replace("packs/a", content), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(backend->List("").value(), ElementsAre("packs/a"));
  EXPECT_TRUE(backend->ReadWhole("packs/a", 5 << 20).value() == ContentOf("a", 5 << 20));
  EXPECT_TRUE(Eventually([&] { return Temporaries().empty(); }));
  ASSERT_OK(backend->Remove("packs/a"));
  EXPECT_TRUE(Eventually([&] { return backend->Put("packs/b", content).ok(); }));
  EXPECT_TRUE(backend->ReadWhole("packs/b", 5 << 20).value() == content);
}

std::string NameOfVersion(const ::testing::TestParamInfo<int>& info) {
  return "Version" + std::to_string(info.param);
}
INSTANTIATE_TEST_SUITE_P(Versions, NfsWriteFaultTest, ::testing::Values(3, 4), NameOfVersion);
INSTANTIATE_TEST_SUITE_P(Versions, NfsFullTest, ::testing::Values(3, 4), NameOfVersion);

}  // namespace
}  // namespace slacker::testing
