// Servers whose replies are made to break who decodes them: a call fails, and nothing else happens. And servers
// that ignore a call, or have forgotten their client.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "backend/nfs/libnfs_guard.h"
#include "backend/nfs/session.h"
#include "tests/support/scripted_rpc_server.h"
#include "tests/support/status_matchers.h"

namespace slacker::nfs {
namespace {

using ::slacker::testing::Accepted;
using ::slacker::testing::Fragment;
using ::slacker::testing::IsOk;
using ::slacker::testing::ScriptedRpcServer;
using ::slacker::testing::StatusIs;
using ::slacker::testing::Xdr;
using std::chrono::milliseconds;

constexpr auto kMalformed = absl::StatusCode::kInternal;
constexpr Patience kLong = {std::chrono::seconds(60), std::chrono::seconds(60),
                            std::chrono::seconds(300)};
constexpr uint32_t kReadBytes = 4096;

// Asks a server one thing.
using Ask = absl::Status (*)(Session* session);

absl::Status Enter(Session* session) {
  return session
      ->Await<Entrance>([&](Done<Entrance> done) { session->protocol()->Enter({"store"}, done); })
      .status();
}
absl::Status GetLimits(Session* session) {
  return session
      ->Await<Limits>([&](Done<Limits> done) { session->protocol()->GetLimits("root", done); })
      .status();
}
absl::Status Lookup(Session* session) {
  return session
      ->Await<Node>([&](Done<Node> done) { session->protocol()->Lookup("root", "a", done); })
      .status();
}
absl::Status Read(Session* session) {
  return session
      ->AwaitOnce([&](DoneOnce done) {
        session->protocol()->Read(
            "file", 0, kReadBytes,
            // All of it is looked at.
            [](const ReadPart& part) {
              EXPECT_EQ(std::string(part.bytes).find('?'), part.bytes.npos);
            },
            [done](absl::Status status) { done(std::move(status), false); });
      })
      .status;
}
absl::Status ReadDirectory(Session* session) {
  return session
      ->Await<DirectoryPage>(
          [&](Done<DirectoryPage> done) { session->protocol()->ReadDirectory("root", 0, 0, done); })
      .status();
}
absl::Status CreateFile(Session* session) {
  return session
      ->Await<Node>([&](Done<Node> done) { session->protocol()->CreateFile("root", "a", done); })
      .status();
}
absl::Status Write(Session* session) {
  return session
      ->Await<WritePart>(
          [&](Done<WritePart> done) { session->protocol()->Write("file", 0, "bytes", done); })
      .status();
}
absl::Status Remove(Session* session) {
  return session->AwaitOnce([&](DoneOnce done) { session->protocol()->Remove("root", "a", done); })
      .status;
}

std::unique_ptr<Session> Open(int version, uint16_t port, const Patience& patience = kLong) {
  NfsTarget target;
  target.host = "127.0.0.1";
  target.port = port;
  target.mount_port = port;
  target.path = {"store"};
  target.version = version;
  auto session = Session::Open(target, patience);
  EXPECT_OK(session);
  return *std::move(session);
}

// Parts of replies of version 3 (RFC 1813).
Xdr Attributes3() { return Xdr().U32(1).U32(1).U32(0644).U32(1).Zeros(84 - 12); }
Xdr Ok3() { return Xdr().U32(0); }
std::string Entry3(std::string_view name) {
  return Xdr().U32(1).U64(7).Opaque(name).U64(1).U32(0).U32(0).bytes();
}
std::string Page3(size_t entries) {
  Xdr page = Ok3().U32(0).Zeros(8);
  for (size_t i = 0; i < entries; ++i) page.Raw(Entry3("x"));
  return page.U32(0).U32(1).bytes();
}
std::string Read3(std::string_view bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  return Ok3().Raw(Attributes3().bytes()).U32(size).U32(1).Opaque(bytes).bytes();
}
// And of version 4 (RFC 7530): a compound that succeeded, with so many results.
Xdr Compound(uint32_t results) { return Xdr().U32(0).Opaque("").U32(results); }
constexpr uint32_t kGetAttr = 9;
constexpr uint32_t kGetHandle = 10;
constexpr uint32_t kLookup = 15;
constexpr uint32_t kPutHandle = 22;
constexpr uint32_t kReadFile = 25;
constexpr uint32_t kReadDir = 26;
constexpr uint32_t kSetClient = 35;
Xdr FileAttributes() {
  return Xdr()
      .U32(2)
      .U32(1 << 1 | 1 << 4 | 1 << 20)
      .U32(1 << 3)
      .Opaque(Xdr().U32(1).U64(5).U64(7).U32(1).bytes());
}
std::string Page4(size_t entries) {
  Xdr page = Compound(2).U32(kPutHandle).U32(0).U32(kReadDir).U32(0).Zeros(8);
  for (size_t i = 0; i < entries; ++i) page.U32(1).U64(1).Opaque("").U32(0).Opaque("");
  return page.U32(0).U32(1).bytes();
}
std::string Lookup4() {
  return Compound(4)
      .U32(kPutHandle)
      .U32(0)
      .U32(kLookup)
      .U32(0)
      .U32(kGetHandle)
      .U32(0)
      .Opaque("handle")
      .U32(kGetAttr)
      .U32(0)
      .Raw(FileAttributes().bytes())
      .bytes();
}
std::string Read4(std::string_view bytes) {
  return Compound(3)
      .U32(kPutHandle)
      .U32(0)
      .U32(kReadFile)
      .U32(0)
      .U32(1)
      .Opaque(bytes)
      .U32(kGetAttr)
      .U32(0)
      .U32(2)
      .U32(0)
      .U32(1 << 3)
      .Opaque(Xdr().U32(1).bytes())
      .bytes();
}

TEST(LibnfsGuardTest, LibnfsCallsOurFunctions) { EXPECT_OK(CheckGuard()); }

struct Sound {
  const char* name;
  int version;
  Ask ask;
  std::string results;
};

class SoundReplyTest : public ::testing::TestWithParam<Sound> {};

TEST_P(SoundReplyTest, IsTaken) {
  ScriptedRpcServer server(
      [](uint32_t xid) { return Fragment(Accepted(xid) + GetParam().results); });
  EXPECT_OK(GetParam().ask(Open(GetParam().version, server.port()).get()));
}

TEST_P(SoundReplyTest, IsTakenInFragments) {
  ScriptedRpcServer server([](uint32_t xid) {
    const std::string reply = Accepted(xid) + GetParam().results;
    return Fragment(reply.substr(0, 7), false) + Fragment(reply.substr(7, 14), false) +
           Fragment(reply.substr(21));
  });
  EXPECT_OK(GetParam().ask(Open(GetParam().version, server.port()).get()));
}

TEST_P(SoundReplyTest, IsMalformedWhereverItIsCut) {
  std::atomic<size_t> left = 0;
  ScriptedRpcServer server([&left](uint32_t xid) {
    return Fragment((Accepted(xid) + GetParam().results).substr(0, left));
  });
  const auto session = Open(GetParam().version, server.port());
  const std::string whole = Accepted(0) + GetParam().results;
  // Padding may be missing.
  const size_t needed = whole.find_last_not_of('\0') + 1;
  const size_t step = whole.size() < 1000 ? 1 : 97;
  // Where the end are zeros that count, the least is a word.
  for (left = 4; left + 4 < needed; left += step) {
    EXPECT_THAT(GetParam().ask(session.get()), StatusIs(kMalformed)) << "after " << left;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Replies, SoundReplyTest,
    ::testing::Values(
        Sound{"Mnt", 3, Enter, Ok3().Opaque("handle").U32(1).U32(1).bytes()},
        Sound{"Fsinfo", 3, GetLimits, Ok3().U32(0).Zeros(28).U64(1).U64(1).U32(1).U32(1).bytes()},
        Sound{"Lookup", 3, Lookup,
              Ok3().Opaque("handle").Raw(Attributes3().bytes()).Raw(Attributes3().bytes()).bytes()},
        Sound{"Read", 3, Read, Read3(std::string(kReadBytes, 'x'))},
        Sound{"ReadOddly", 3, Read, Read3("odd")}, Sound{"Page", 3, ReadDirectory, Page3(1800)},
        Sound{"Write", 3, Write, Ok3().U32(0).U32(0).U32(5).U32(0).Raw("verifier").bytes()},
        Sound{"Root", 4, Enter,
              Compound(2).U32(24).U32(0).U32(kGetHandle).U32(0).Opaque("handle").bytes()},
        Sound{"Lookup4", 4, Lookup, Lookup4()},
        Sound{"Read4", 4, Read, Read4(std::string(kReadBytes, 'x'))},
        Sound{"Page4", 4, ReadDirectory, Page4(2700)}),
    [](const auto& test) { return test.param.name; });

struct Hostile {
  const char* name;
  int version;
  Ask ask;
  std::string results;
};

class HostileReplyTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileReplyTest, IsMalformed) {
  ScriptedRpcServer server(
      [](uint32_t xid) { return Fragment(Accepted(xid) + GetParam().results); });
  const auto session = Open(GetParam().version, server.port());
  EXPECT_THAT(GetParam().ask(session.get()), StatusIs(kMalformed));
  EXPECT_THAT(GetParam().ask(session.get()), StatusIs(kMalformed)) << "the connection lives on";
}

// A reply that ends with a length, and eight bytes behind it.
Hostile Length(const char* name, int version, Ask ask, Xdr results, uint32_t length) {
  return {name, version, ask, results.U32(length).Raw("bytes...").bytes()};
}
Xdr Before4(uint32_t operation) { return Compound(2).U32(kPutHandle).U32(0).U32(operation).U32(0); }
Xdr BeforeName3() { return Ok3().U32(0).Zeros(8).U32(1).U64(7); }
Xdr BeforeData3() { return Ok3().Raw(Attributes3().bytes()).U32(8).U32(1); }

INSTANTIATE_TEST_SUITE_P(
    Lengths, HostileReplyTest,
    ::testing::Values(
        Length("Mnt31", 3, Enter, Ok3(), 0x80000000), Length("MntAll", 3, Enter, Ok3(), 0xffffffff),
        Length("MntLong", 3, Enter, Ok3(), 9),
        Length("FlavorsWrap", 3, Enter, Ok3().Opaque("handle"), 0x40000000),
        Length("FlavorsWrapToFew", 3, Enter, Ok3().Opaque("handle"), 0x40000001),
        Length("FlavorsAll", 3, Enter, Ok3().Opaque("handle"), 0xffffffff),
        Length("FlavorsLong", 3, Enter, Ok3().Opaque("handle"), 3),
        Length("Handle31", 3, Lookup, Ok3(), 0x80000000),
        Length("HandleBack", 3, Lookup, Ok3(), 0xfffffff8),
        Hostile{"HandleOfMoreThanItMay", 3, Lookup,
                Ok3().Opaque(std::string(65, 'x')).U32(0).U32(0).bytes()},
        Length("Data31", 3, Read, BeforeData3(), 0x80000000),
        Length("DataAll", 3, Read, BeforeData3(), 0xffffffff),
        Length("DataBehindTheEnd", 3, Read, BeforeData3(), 9),
        Length("Name31", 3, ReadDirectory, BeforeName3(), 0x80000000),
        Length("NameAll", 3, ReadDirectory, BeforeName3(), 0xffffffff),
        Length("NameBehindTheEnd", 3, ReadDirectory, BeforeName3(), 9),
        Length("Tag31", 4, Lookup, Xdr().U32(0), 0x80000000),
        Length("TagAll", 4, Lookup, Xdr().U32(0), 0xfffffffc),
        Length("ResultsWrap", 4, Lookup, Xdr().U32(0).Opaque(""), 0x20000000),
        Length("ResultsAll", 4, Lookup, Xdr().U32(0).Opaque(""), 0xffffffff),
        Length("ResultsNegative", 4, Lookup, Xdr().U32(0).Opaque(""), 0x80000000),
        Length("Handle4", 4, Lookup,
               Compound(3).U32(kPutHandle).U32(0).U32(kLookup).U32(0).U32(kGetHandle).U32(0),
               0x80000000),
        Length("Bitmap", 4, GetLimits, Before4(kGetAttr), 0x40000001),
        Length("BitmapBehindTheEnd", 4, GetLimits, Before4(kGetAttr), 3),
        Length("Attributes", 4, GetLimits, Before4(kGetAttr).U32(0), 0x80000000),
        Length("Data4", 4, Read, Before4(kReadFile).U32(1), 0x80000000),
        Length("Data4BehindTheEnd", 4, Read, Before4(kReadFile).U32(1), 9),
        Length("Name4", 4, ReadDirectory, Before4(kReadDir).Zeros(8).U32(1).U64(1), 0x80000000)),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Others, HostileReplyTest,
    ::testing::Values(
        // As deep a recursion as a message has room for.
        Hostile{"DeepPage", 3, ReadDirectory, Page3(26'000)},
        Hostile{"DeepPage4", 4, ReadDirectory, Page4(40'000)},
        // Results without end, of which each takes more memory than it has bytes.
        Hostile{"ManyResults", 4, Lookup, Compound(125'000).Zeros(1'000'000).bytes()},
        Hostile{"ManyRealResults", 4, Lookup,
                [] {
                  Xdr reply = Compound(125'000);
                  for (int i = 0; i < 125'000; ++i) reply.U32(kPutHandle).U32(0);
                  return reply.bytes();
                }()},
        Hostile{"UnknownOperation", 4, Lookup, Compound(1).U32(7777).U32(0).bytes()},
        Hostile{"OtherOperations", 4, Read, Lookup4()},
        Hostile{"FewerResults", 4, Lookup, Compound(1).U32(kPutHandle).U32(0).bytes()},
        Hostile{"NoClient", 4, CreateFile,
                Compound(1).U32(kSetClient).U32(10017).Opaque("net").U32(0x80000000).bytes()},
        Hostile{"OddDiscriminant", 3, Lookup, Ok3().Opaque("handle").U32(2).Zeros(84).bytes()},
        Hostile{"MoreThanWasAskedFor", 3, Read, Read3(std::string(kReadBytes + 1, 'x'))},
        Hostile{"MoreThanWasAskedFor4", 4, Read, Read4(std::string(kReadBytes + 1, 'x'))},
        Hostile{"MoreWrittenThanGiven", 3, Write,
                Ok3().U32(0).U32(0).U32(6).U32(0).Raw("verifier").bytes()}),
    [](const auto& test) { return test.param.name; });

struct Header {
  const char* name;
  absl::StatusCode code;
  std::string bytes;  // behind the call's number
};

class HostileHeaderTest : public ::testing::TestWithParam<Header> {};

TEST_P(HostileHeaderTest, FailsTheCall) {
  ScriptedRpcServer server(
      [](uint32_t xid) { return Fragment(Xdr().U32(xid).Raw(GetParam().bytes).bytes()); });
  const auto session = Open(3, server.port());
  EXPECT_THAT(Remove(session.get()), StatusIs(GetParam().code));
  EXPECT_THAT(Remove(session.get()), StatusIs(GetParam().code)) << "the connection lives on";
}

INSTANTIATE_TEST_SUITE_P(
    Headers, HostileHeaderTest,
    ::testing::Values(
        Header{"Nothing", kMalformed, ""},
        // libnfs' own decoder writes the second credential over the address of a function.
        Header{"ACall", kMalformed,
               Xdr()
                   .U32(0)
                   .U32(2)
                   .U32(100003)
                   .U32(3)
                   .U32(0)
                   .U32(0)
                   .Opaque("credential")
                   .U32(0)
                   .Opaque("a second one")
                   .bytes()},
        Header{"NeitherCallNorReply", kMalformed, Xdr().U32(2).Zeros(64).bytes()},
        Header{"NeitherAcceptedNorDenied", kMalformed, Xdr().U32(1).U32(2).Zeros(64).bytes()},
        Header{"Denied", absl::StatusCode::kPermissionDenied, Xdr().U32(1).U32(1).Zeros(8).bytes()},
        Header{"Verifier31", kMalformed,
               Xdr().U32(1).U32(0).U32(0).U32(0x80000000).Zeros(64).bytes()},
        Header{"VerifierAll", kMalformed,
               Xdr().U32(1).U32(0).U32(0).U32(0xfffffff4).Zeros(64).bytes()},
        Header{"VerifierTooLong", kMalformed,
               Xdr().U32(1).U32(0).U32(0).Opaque(std::string(401, 'x')).Zeros(64).bytes()},
        Header{"ServerFailed", kMalformed, Xdr().U32(1).U32(0).Zeros(8).U32(5).bytes()},
        Header{"OddOutcome", kMalformed, Xdr().U32(1).U32(0).Zeros(8).U32(6).Zeros(64).bytes()},
        Header{"OutcomeAll", kMalformed,
               Xdr().U32(1).U32(0).Zeros(8).U32(0xffffffff).Zeros(64).bytes()}),
    [](const auto& test) { return test.param.name; });

// What is no sequence of replies ends the connection, whatever libnfs still reads of it.
struct Stream {
  const char* name;
  std::string (*bytes)(uint32_t xid);
};

class HostileStreamTest : public ::testing::TestWithParam<Stream> {};

TEST_P(HostileStreamTest, BreaksTheConnection) {
  std::atomic<int> calls = 0;
  ScriptedRpcServer server([&calls](uint32_t xid) {
    // The call comes again over another connection.
    return calls++ == 0 ? GetParam().bytes(xid) : Fragment(Accepted(xid) + Ok3().Zeros(8).bytes());
  });
  const auto session = Open(3, server.port());
  EXPECT_OK(Remove(session.get()));
  EXPECT_EQ(calls, 2);
}

std::string Repeat(const std::string& what, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += what;
  return all;
}

INSTANTIATE_TEST_SUITE_P(
    Streams, HostileStreamTest,
    ::testing::Values(
        Stream{"TooLongAFragment", [](uint32_t) { return std::string("\xff\xff\xff\xff....", 8); }},
        Stream{"AnEmptyFragment", [](uint32_t) { return std::string("\x80\0\0\0....", 8); }},
        Stream{"AFragmentOfOneByte", [](uint32_t) { return Fragment("x"); }},
        Stream{"ManyFragments",
               [](uint32_t) { return Repeat(Fragment("x", false), kMaxFragments + 1); }},
        Stream{"LongFragments",
               [](uint32_t) { return Repeat(Fragment(std::string(64 << 10, 'x'), false), 18); }},
        // 90,000 entries, put together from fragments.
        Stream{"AVeryDeepPage",
               [](uint32_t xid) {
                 const std::string page = Accepted(xid) + Page3(90'000);
                 std::string all;
                 for (size_t i = 0; i < page.size(); i += 1 << 19) {
                   all += Fragment(page.substr(i, 1 << 19), i + (1 << 19) >= page.size());
                 }
                 return all;
               }},
        Stream{"AnswersToNobody",
               [](uint32_t xid) {
                 return Repeat(Fragment(Accepted(xid + 1) + std::string(1 << 20, 'x')), 33);
               }}),
    [](const auto& test) { return test.param.name; });

TEST(IgnoredCallTest, FailsInTheEndAlthoughOthersAreAnswered) {
  std::atomic<uint32_t> ignored = 0;  // the first call's number
  std::atomic<uint64_t> answered = 0;
  ScriptedRpcServer server([&](uint32_t xid) {
    uint32_t none = 0;
    if (ignored.compare_exchange_strong(none, xid) || ignored == xid) return std::string();
    ++answered;
    return Fragment(Accepted(xid) + Ok3().Zeros(8).bytes());
  });
  // The server is never silent for as long as its patience: only the last limit ends the call.
  const auto session = Open(3, server.port(), {kLong.reading, kLong.writing, milliseconds(500)});
  std::atomic<bool> ended = false;
  absl::Status status;
  std::thread waiting([&] {
    status = Remove(session.get());
    ended = true;
  });
  while (ignored == 0) std::this_thread::yield();
  while (!ended) EXPECT_OK(Remove(session.get()));
  waiting.join();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "no answer"));
  EXPECT_GT(answered, 0u);
  EXPECT_OK(Remove(session.get()));
}

// Answers of a server that knows this client no longer, and then does.
class ForgottenClientTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(ForgottenClientTest, MakesAFileAllTheSame) {
  constexpr uint32_t kConfirmClient = 36;
  constexpr uint32_t kOpen = 18;
  constexpr uint32_t kClose = 4;
  const std::string client = Compound(1).U32(kSetClient).U32(0).U64(1).Raw("verifier").bytes();
  const std::string confirmed = Compound(1).U32(kConfirmClient).U32(0).bytes();
  const std::string forgotten = Xdr()
                                    .U32(GetParam())
                                    .Opaque("")
                                    .U32(2)
                                    .U32(kPutHandle)
                                    .U32(0)
                                    .U32(kOpen)
                                    .U32(GetParam())
                                    .bytes();
  const std::string opened = Compound(4)
                                 .U32(kPutHandle)
                                 .U32(0)
                                 .U32(kOpen)
                                 .U32(0)
                                 .Zeros(16)  // the state
                                 .U32(1)
                                 .U64(1)
                                 .U64(2)  // the directory's change
                                 .U32(0)  // nothing to confirm
                                 .U32(0)  // attributes that were set
                                 .U32(0)  // no delegation
                                 .U32(kGetHandle)
                                 .U32(0)
                                 .Opaque("handle")
                                 .U32(kGetAttr)
                                 .U32(0)
                                 .Raw(FileAttributes().bytes())
                                 .bytes();
  const std::string closed =
      Compound(2).U32(kPutHandle).U32(0).U32(kClose).U32(0).Zeros(16).bytes();
  const std::vector<std::string> answers = {client,    confirmed, forgotten, client,
                                            confirmed, opened,    closed};
  std::atomic<size_t> calls = 0;
  ScriptedRpcServer server([&](uint32_t xid) {
    const size_t call = calls++;
    return Fragment(Accepted(xid) + answers[std::min(call, answers.size() - 1)]);
  });
  const auto session = Open(4, server.port());
  EXPECT_OK(CreateFile(session.get()));
  EXPECT_GE(calls, 6u) << "the server was asked once only";
}

INSTANTIATE_TEST_SUITE_P(Verdicts, ForgottenClientTest, ::testing::Values(10011, 10022),
                         [](const auto& test) {
                           return test.param == 10011 ? "Expired" : "StaleClientId";
                         });

}  // namespace
}  // namespace slacker::nfs
