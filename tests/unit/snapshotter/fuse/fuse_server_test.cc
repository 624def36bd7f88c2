// The protocol, request by request: a packet socket stands in for /dev/fuse. The kernel's own side
// is in tests/unit/snapshotter/attach.
#include "snapshotter/fuse/fuse_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "snapshotter/fuse/fuse_protocol.h"
#include "tests/support/eventually.h"
#include "tests/support/failing_poll.h"
#include "tests/support/fake_blob_source.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::FakeBlobSource;

constexpr uint64_t kBlobId = 7;
constexpr uint64_t kNode = kBlobId + 1;

class FuseServerTest : public ::testing::Test {
 protected:
  struct Answer {
    fuse_out_header header{};
    std::string body;
  };
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    kernel_.Reset(ends[0]);
    source_.Add(kBlobId, std::string(5000, 'x'));
    serving_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    server_ = std::make_unique<FuseServer>(UniqueFd(ends[1]), &source_, nullptr,
                                           UniqueFd(fcntl(serving_.get(), F_DUPFD_CLOEXEC, 0)));
    ASSERT_OK(server_->Start(1));
  }
  void Send(uint32_t opcode, uint64_t node, const std::string& body, uint64_t unique = 42) {
    fuse_in_header header{};
    header.len = static_cast<uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = unique;
    header.nodeid = node;
    std::string packet(reinterpret_cast<const char*>(&header), sizeof header);
    packet += body;
    ASSERT_EQ(send(kernel_.get(), packet.data(), packet.size(), 0),
              static_cast<ssize_t>(packet.size()));
  }
  Answer Receive() {
    std::string packet(1 << 16, '\0');
    const ssize_t size = recv(kernel_.get(), packet.data(), packet.size(), 0);
    Answer answer;
    EXPECT_GE(size, static_cast<ssize_t>(sizeof answer.header));
    std::memcpy(&answer.header, packet.data(), sizeof answer.header);
    EXPECT_EQ(answer.header.len, static_cast<uint32_t>(size));
    answer.body =
        packet.substr(sizeof answer.header, static_cast<size_t>(size) - sizeof answer.header);
    return answer;
  }
  Answer Ask(uint32_t opcode, uint64_t node, const std::string& body = "", uint64_t unique = 42) {
    Send(opcode, node, body, unique);
    Answer answer = Receive();
    EXPECT_EQ(answer.header.unique, unique);
    return answer;
  }
  template <typename T>
  static std::string Bytes(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  template <typename T>
  static T As(const Answer& answer) {
    T value{};
    EXPECT_EQ(answer.body.size(), sizeof value);
    std::memcpy(&value, answer.body.data(), std::min(answer.body.size(), sizeof value));
    return value;
  }
  static std::string ReadRequest(uint64_t offset, uint32_t size) {
    fuse_read_in in{};
    in.offset = offset;
    in.size = size;
    return Bytes(in);
  }

  testing::KernelLeakCheck leaks_{"/nonexistent"};
  FakeBlobSource source_;
  UniqueFd kernel_;
  UniqueFd serving_;
  std::unique_ptr<FuseServer> server_;
};

TEST_F(FuseServerTest, InitAgreesOnWhatLoopNeeds) {
  fuse_init_in in{};
  in.major = 7;
  in.minor = 45;
  const auto out = As<fuse_init_out>(Ask(FUSE_INIT, 0, Bytes(in)));
  EXPECT_EQ(out.major, 7U);
  EXPECT_EQ(out.minor, 40U);
  const uint64_t flags = uint64_t{out.flags2} << 32 | out.flags;
  for (const uint64_t flag :
       {uint64_t{FUSE_ASYNC_READ}, uint64_t{FUSE_ASYNC_DIO}, uint64_t{FUSE_MAX_PAGES},
        uint64_t{FUSE_INIT_EXT}, fuse::kHasResend}) {
    EXPECT_NE(flags & flag, 0U) << flag;
  }
  EXPECT_EQ(out.max_pages, 256U);
  EXPECT_GE(out.max_background, 64U);
}

TEST_F(FuseServerTest, AShortageOfMemoryDoesNotEndTheServing) {
  testing::FailPoll("fuse", ENOMEM, 2);
  for (int i = 0; testing::PollFailuresLeft() > 0; ++i) {
    ASSERT_LT(i, 3) << "each answer leads to a poll";
    EXPECT_EQ(Ask(FUSE_STATFS, 1).header.error, 0);
  }
  EXPECT_EQ(Ask(FUSE_STATFS, 1).header.error, 0);
}

TEST_F(FuseServerTest, AStopIsSeenInAShortageOfMemory) {
  testing::FailPoll("fuse", ENOMEM, 1 << 30);
  Send(FUSE_STATFS, 1, "");  // whatever comes of it
  EXPECT_TRUE(testing::Eventually([] { return testing::PollFailuresLeft() < 1 << 30; }));
  server_.reset();
  testing::FailPoll("fuse", 0, 0);
}

TEST_F(FuseServerTest, LookupKnowsCanonicalNamesOnly) {
  const auto entry = As<fuse_entry_out>(Ask(FUSE_LOOKUP, FUSE_ROOT_ID, std::string("7\0", 2)));
  EXPECT_EQ(entry.nodeid, kNode);
  EXPECT_EQ(entry.attr.size, 8192U);
  for (const char* name : {"8", "07", "+7", "7 ", "", "x", "0", "18446744073709551615",
                           "18446744073709551616", "../7"}) {
    EXPECT_EQ(Ask(FUSE_LOOKUP, FUSE_ROOT_ID, std::string(name) + '\0').header.error, -ENOENT)
        << name;
  }
  EXPECT_EQ(Ask(FUSE_LOOKUP, kNode, std::string("7\0", 2)).header.error, -ENOENT);
}

TEST_F(FuseServerTest, AttributesOfRootBlobAndNothing) {
  EXPECT_TRUE(S_ISDIR(As<fuse_attr_out>(Ask(FUSE_GETATTR, FUSE_ROOT_ID)).attr.mode));
  EXPECT_EQ(As<fuse_attr_out>(Ask(FUSE_GETATTR, kNode)).attr.size, 8192U);
  EXPECT_EQ(Ask(FUSE_GETATTR, 99).header.error, -ENOENT);
}

TEST_F(FuseServerTest, OpenCachesNothingAndNeedsNoFlush) {
  EXPECT_EQ(As<fuse_open_out>(Ask(FUSE_OPEN, kNode)).open_flags,
            uint32_t{FOPEN_DIRECT_IO | FOPEN_NOFLUSH});
}

TEST_F(FuseServerTest, ReadsAreWholeOrErrors) {
  EXPECT_EQ(Ask(FUSE_READ, kNode, ReadRequest(0, 8192)).body,
            std::string(5000, 'x') + std::string(3192, '\0'));
  EXPECT_EQ(Ask(FUSE_READ, kNode, ReadRequest(4096, 65536)).body.size(), 4096U);
  EXPECT_EQ(Ask(FUSE_READ, kNode, ReadRequest(8192, 4096)).body, "");
  EXPECT_EQ(Ask(FUSE_READ, 99, ReadRequest(0, 4096)).header.error, -EIO);
  EXPECT_EQ(Ask(FUSE_READ, kNode, "short").header.error, -EIO);
  for (const auto mode : {FakeBlobSource::Mode::kShort, FakeBlobSource::Mode::kFail}) {
    source_.SetMode(mode);
    const Answer answer = Ask(FUSE_READ, kNode, ReadRequest(0, 4096));
    EXPECT_EQ(answer.header.error, -EIO);
    EXPECT_EQ(answer.body, "");
  }
}

TEST_F(FuseServerTest, AnswersComeInAnyOrder) {
  source_.SetMode(FakeBlobSource::Mode::kHold);
  Send(FUSE_READ, kNode, ReadRequest(0, 4096), 1);
  ASSERT_TRUE(source_.WaitUntilHeld(1));
  EXPECT_EQ(Ask(FUSE_GETATTR, kNode, "", 2).header.error, 0);
  source_.Release();
  EXPECT_EQ(Receive().header.unique, 1U);
}

TEST_F(FuseServerTest, ReadHeldBeyondTheServersEndIsStillAnswered) {
  source_.SetMode(FakeBlobSource::Mode::kHold);
  Send(FUSE_READ, kNode, ReadRequest(0, 4096), 1);
  ASSERT_TRUE(source_.WaitUntilHeld(1));
  server_.reset();
  source_.Release();
  EXPECT_EQ(Receive().body.size(), 4096U);
}

TEST_F(FuseServerTest, ItServesOnceAReadHasItsBytesAndSaysSoOnce) {
  (void)Ask(FUSE_GETATTR, kNode);
  source_.SetMode(FakeBlobSource::Mode::kFail);
  EXPECT_EQ(Ask(FUSE_READ, kNode, ReadRequest(0, 4096)).header.error, -EIO);
  source_.SetMode(FakeBlobSource::Mode::kAnswer);
  eventfd_t times = 0;
  EXPECT_NE(eventfd_read(serving_.get(), &times), 0);
  for (int i = 0; i < 3; ++i) (void)Ask(FUSE_READ, kNode, ReadRequest(0, 4096));
  EXPECT_TRUE(testing::Eventually([&] { return eventfd_read(serving_.get(), &times) == 0; }));
  (void)Ask(FUSE_READ, kNode, ReadRequest(0, 4096));
  (void)Ask(FUSE_GETATTR, kNode);  // its only thread is done with the read
  EXPECT_EQ(times, 1U);
  EXPECT_NE(eventfd_read(serving_.get(), &times), 0);
}

TEST_F(FuseServerTest, CancelledReadIsLeftToTheNextServer) {
  source_.SetMode(FakeBlobSource::Mode::kCancel);
  Send(FUSE_READ, kNode, ReadRequest(0, 4096), 1);
  EXPECT_EQ(Ask(FUSE_FLUSH, kNode, "", 2).header.unique, 2U);  // the read had no answer before it
  EXPECT_EQ(server_->counters().errors, 0U);
}

TEST_F(FuseServerTest, ResentRequestKeepsItsName) {
  (void)Ask(FUSE_READ, kNode, ReadRequest(0, 4096), fuse::kUniqueResend | 5);
  EXPECT_EQ(server_->counters().resent, 1U);
  ASSERT_OK(server_->RequestResend());
  const Answer notification = Receive();
  EXPECT_EQ(notification.header.unique, 0U);
  EXPECT_EQ(notification.header.error, fuse::kNotifyResend);
}

// The kernel that cannot send again: what a server leaves is in its slots.
class FuseServerWithSlotsTest : public FuseServerTest {
 protected:
  void SetUp() override {
    FuseServerTest::SetUp();
    server_.reset();
    Start();
  }
  // Ends the server, and starts one on a new connection: two of one socket would share its packets.
  void Start() {
    server_.reset();
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    kernel_.Reset(ends[0]);
    ASSERT_OK_AND_ASSIGN(auto slots, fuse::RequestSlots::Create());
    memory_.Reset(dup(slots->memory().get()));
    server_ = std::make_unique<FuseServer>(UniqueFd(ends[1]), &source_, std::move(slots));
    ASSERT_OK(server_->Start(2));
  }

  UniqueFd memory_;  // of the newest server
};

TEST_F(FuseServerWithSlotsTest, UnansweredReadsAreAnsweredByTheSuccessor) {
  source_.SetMode(FakeBlobSource::Mode::kHold);
  Send(FUSE_READ, kNode, ReadRequest(0, 4096), 2);
  Send(FUSE_READ, kNode, ReadRequest(4096, 4096), 4);
  ASSERT_TRUE(source_.WaitUntilHeld(2));
  const UniqueFd left = std::move(memory_);
  source_.SetMode(FakeBlobSource::Mode::kAnswer);
  Start();
  ASSERT_OK(server_->TakeOver(left, fuse::RequestSlots::Predecessor::kGone));
  std::set<uint64_t> answered;
  for (int i = 0; i < 2; ++i) {
    const Answer answer = Receive();
    EXPECT_EQ(answer.body.size(), 4096U);
    answered.insert(answer.header.unique);
  }
  EXPECT_EQ(answered, (std::set<uint64_t>{2, 4}));
  EXPECT_EQ(server_->counters().resent, 2U);
}

TEST_F(FuseServerWithSlotsTest, ReadThatIsLeftToTheNextServerStaysInItsSlot) {
  source_.SetMode(FakeBlobSource::Mode::kCancel);
  Send(FUSE_READ, kNode, ReadRequest(0, 4096), 2);
  EXPECT_EQ(Ask(FUSE_FLUSH, kNode, "", 4).header.unique, 4U);
  ASSERT_TRUE(testing::Eventually([this] { return source_.reads() == 1; }));
  const UniqueFd left = std::move(memory_);
  source_.SetMode(FakeBlobSource::Mode::kAnswer);
  Start();
  ASSERT_OK(server_->TakeOver(left, fuse::RequestSlots::Predecessor::kGone));
  EXPECT_EQ(Receive().header.unique, 2U);
}

TEST_F(FuseServerWithSlotsTest, NothingIsLeftOfWhatNeedsNoAnswerOrHasOne) {
  EXPECT_EQ(Ask(FUSE_READ, kNode, ReadRequest(0, 8192), 2).body.size(), 8192U);
  EXPECT_EQ(Ask(FUSE_LOOKUP, FUSE_ROOT_ID, std::string(1000, '7') + '\0', 4).header.error, -ENOENT);
  EXPECT_EQ(Ask(FUSE_SETATTR, kNode, std::string(3000, 'x'), 6).header.error, -ENOSYS);
  Send(FUSE_FORGET, kNode, std::string(8, '\0'), 8);
  for (uint64_t unique = 10; unique < 10 + 4 * fuse::RequestSlots::kSlots; unique += 2) {
    ASSERT_EQ(Ask(FUSE_GETATTR, kNode, "", unique).header.error, 0);
  }
  const UniqueFd left = std::move(memory_);
  Start();
  ASSERT_OK(server_->TakeOver(left, fuse::RequestSlots::Predecessor::kGone));
  EXPECT_EQ(server_->counters().resent, 0U);
}

TEST_F(FuseServerTest, UnknownIsENOSYSAndForgetHasNoAnswer) {
  EXPECT_EQ(Ask(FUSE_INTERRUPT, 0).header.error, -ENOSYS);
  EXPECT_EQ(Ask(FUSE_SETATTR, kNode).header.error, -ENOSYS);
  Send(FUSE_FORGET, kNode, std::string(8, '\0'), 9);
  EXPECT_EQ(Ask(FUSE_RELEASE, kNode, "", 10).header.error, 0);
  EXPECT_EQ(Ask(FUSE_FLUSH, kNode, "", 11).header.error, 0);
  EXPECT_EQ(As<fuse_statfs_out>(Ask(FUSE_STATFS, FUSE_ROOT_ID)).st.bsize, 4096U);
}

TEST_F(FuseServerTest, PacketShorterThanAHeaderIsIgnored) {
  ASSERT_EQ(send(kernel_.get(), "abc", 3, 0), 3);
  EXPECT_EQ(Ask(FUSE_FLUSH, kNode).header.error, 0);
}

}  // namespace
}  // namespace slacker
