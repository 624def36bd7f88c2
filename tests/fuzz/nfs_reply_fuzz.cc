// An NFS server's reply. The first byte: which call it answers, and in which version of the protocol;
// the rest: the reply behind its number, put into one fragment. The call ends, well or not.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/mutex.h"
#include "backend/nfs/session.h"
#include "tests/support/scripted_rpc_server.h"

namespace {

using slacker::nfs::DirectoryPage;
using slacker::nfs::Done;
using slacker::nfs::DoneOnce;
using slacker::nfs::Entrance;
using slacker::nfs::Limits;
using slacker::nfs::Node;
using slacker::nfs::Protocol;
using slacker::nfs::Session;
using slacker::nfs::WritePart;
using slacker::testing::Fragment;
using slacker::testing::Xdr;

constexpr uint32_t kBytes = 1000;

void CheckHandle(const std::string& handle) {
  SLACKER_CHECK(!handle.empty() && handle.size() <= 128, "handles have the protocol's size");
}

// The server, and a session of each version with it. As long as the process.
class Server {
 public:
  Server() : server_([this](uint32_t xid) { return Reply(xid); }) {
    for (const int version : {3, 4}) {
      slacker::NfsTarget target;
      target.host = "127.0.0.1";
      target.port = target.mount_port = server_.port();
      target.version = version;
      auto session = Session::Open(target, {});
      SLACKER_CHECK(session.ok(), "libnfs calls our functions");
      (version == 3 ? v3_ : v4_) = *std::move(session);
    }
  }

  Session* session(bool v4) { return (v4 ? v4_ : v3_).get(); }
  // What the next call is answered with. Those behind it, as after "ask again", are refused.
  void Set(std::string reply) {
    slacker::MutexLock lock(&mutex_);
    reply_ = std::move(reply);
  }

 private:
  std::string Reply(uint32_t xid) {
    static const auto& kSystemError =
        *new std::string(Xdr().U32(1).U32(0).U32(0).U32(0).U32(5).bytes());
    slacker::MutexLock lock(&mutex_);
    return Fragment(Xdr().U32(xid).Raw(std::exchange(reply_, kSystemError)).bytes());
  }

  slacker::Mutex mutex_;
  std::string reply_ ABSL_GUARDED_BY(mutex_);
  slacker::testing::ScriptedRpcServer server_;
  std::unique_ptr<Session> v3_;
  std::unique_ptr<Session> v4_;
};

void Read(Session* session) {
  (void)session->AwaitOnce([session](DoneOnce done) {
    session->protocol()->Read(
        "file", 0, kBytes,
        [](const slacker::nfs::ReadPart& part) {
          SLACKER_CHECK(std::string(part.bytes).size() <= kBytes, "not more than was asked for");
        },
        [done](absl::Status status) { done(std::move(status), false); });
  });
}

void ReadDirectory(Session* session) {
  const auto page = session->Await<DirectoryPage>([session](Done<DirectoryPage> done) {
    session->protocol()->ReadDirectory("directory", 0, 0, std::move(done));
  });
  if (!page.ok()) return;
  for (const auto& entry : page->entries) {
    SLACKER_CHECK(entry.name != "." && entry.name != "..", "those are left out");
  }
}

void TakeNode(Session* session,
              void (Protocol::*ask)(const std::string&, const std::string&, Done<Node>)) {
  const auto node = session->Await<Node>([session, ask](Done<Node> done) {
    (session->protocol()->*ask)("directory", "name", std::move(done));
  });
  if (node.ok()) CheckHandle(node->handle);
}

void Ask(Session* session, int what) {
  Protocol* const protocol = session->protocol();
  switch (what) {
    case 0:
      Read(session);
      break;
    case 1:
      ReadDirectory(session);
      break;
    case 2:
      TakeNode(session, &Protocol::Lookup);
      break;
    case 3:
      TakeNode(session, &Protocol::CreateFile);
      break;
    case 4:
      if (const auto entrance = session->Await<Entrance>(
              [=](Done<Entrance> done) { protocol->Enter({"store"}, std::move(done)); });
          entrance.ok()) {
        CheckHandle(entrance->handle);
      }
      break;
    case 5:
      if (const auto limits = session->Await<Limits>(
              [=](Done<Limits> done) { protocol->GetLimits("root", std::move(done)); });
          limits.ok()) {
        SLACKER_CHECK(limits->read_bytes >= 512 && limits->read_bytes <= 1 << 20, "clamped");
      }
      break;
    case 6:
      if (const auto part = session->Await<WritePart>(
              [=](Done<WritePart> done) { protocol->Write("file", 0, "bytes", std::move(done)); });
          part.ok()) {
        SLACKER_CHECK(part->bytes > 0 && part->bytes <= 5, "not more than was given");
      }
      break;
    default:
      (void)session->AwaitOnce([=](DoneOnce done) {
        protocol->Rename("directory", "from", "directory", "to", std::move(done));
      });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto& server = *new Server;
  if (size == 0 || size > 1 << 20) return 0;
  server.Set(std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  Ask(server.session((data[0] & 8) != 0), data[0] & 7);
  return 0;
}
