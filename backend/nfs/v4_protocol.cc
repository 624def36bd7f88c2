// NFS version 4.0; how it makes files is in v4_create.h.
#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/base/status.h"
#include "backend/nfs/protocols.h"
#include "backend/nfs/v4_compound.h"
#include "backend/nfs/v4_create.h"

namespace slacker::nfs {
namespace {

using v4::MakeCall;
using v4::Operations;
using v4::Results;
using v4::WireName;

constexpr int kConnections = 4;
// What libnfs takes in one reply.
constexpr uint64_t kMaxReadBytes = 1 << 20;
constexpr uint64_t kMaxWriteBytes = 3 << 10;  // and what it encodes
constexpr uint64_t kMinTransferBytes = 512;
constexpr uint32_t kPageBytes = 64 << 10;

// What is said of a file or directory; for the life of the program.
const std::vector<uint32_t>& NodeAttributes() {
  static const auto& numbers =
      *new std::vector<uint32_t>{v4::kType, v4::kSize, v4::kFileId, v4::kLinks, v4::kModified};
  return numbers;
}

uint64_t Verifier(const char (&wire)[NFS4_VERIFIER_SIZE]) {
  uint64_t verifier = 0;
  std::memcpy(&verifier, wire, sizeof verifier);
  return verifier;
}

bool NothingMore(const Results& /*results*/) { return true; }

class V4Protocol final : public Protocol {
 public:
  V4Protocol(EventLoop* loop, ThreadPool* resolver, const NfsTarget& target,
             const Patience& patience)
      : patience_(patience),
        maker_(&channel_, patience),
        channel_(
            loop, resolver,
            {target.host, target.port, target.uid, target.gid, kConnections, patience.longest}) {}

  void Enter(const std::vector<std::string>& path, Done<Entrance> done) override {
    channel_.Start(MakeCall<Entrance>(
        "PUTROOTFH", patience_.reading,
        [](Operations* operations) {
          operations->PutRoot();
          operations->GetHandle();
        },
        [path](const Results& results, Entrance* entrance) {
          entrance->rest = path;
          return results.TakeHandle(1, &entrance->handle);
        },
        std::move(done)));
  }

  void GetLimits(const Handle& root, Done<Limits> done) override {
    channel_.Start(MakeCall<Limits>(
        "GETATTR", patience_.reading,
        [root](Operations* operations) {
          operations->Put(root);
          operations->GetAttributes({v4::kMaxRead, v4::kMaxWrite});
        },
        [](const Results& results, Limits* limits) {
          v4::DecodedAttributes decoded;
          if (!results.TakeAttributes(1, &decoded)) return false;
          limits->read_bytes =
              static_cast<uint32_t>(std::clamp(decoded.max_read, kMinTransferBytes, kMaxReadBytes));
          limits->write_bytes = static_cast<uint32_t>(
              std::clamp(decoded.max_write, kMinTransferBytes, kMaxWriteBytes));
          return true;
        },
        std::move(done)));
  }

  void Lookup(const Handle& directory, const std::string& name, Done<Node> done) override {
    channel_.Start(MakeCall<Node>(
        "LOOKUP", patience_.reading,
        [directory, name](Operations* operations) {
          operations->Put(directory);
          operations->Lookup(name);
          operations->GetHandle();
          operations->GetAttributes(NodeAttributes());
        },
        [](const Results& results, Node* node) {
          v4::DecodedAttributes decoded;
          if (!results.TakeHandle(2, &node->handle) || !results.TakeAttributes(3, &decoded)) {
            return false;
          }
          node->attributes = decoded.attributes;
          return decoded.attributes.type != FileType::kUnknown;
        },
        std::move(done)));
  }

  void Read(const Handle& file, uint64_t offset, uint32_t size,
            std::function<void(const ReadPart&)> part,
            std::function<void(absl::Status)> done) override {
    channel_.Start(MakeCall(
        "READ", patience_.reading,
        [file, offset, size](Operations* operations) {
          operations->Put(file);
          READ4args& args = operations->Add(OP_READ).nfs_argop4_u.opread;
          args.offset = offset;
          args.count = size;
          operations->GetAttributes({v4::kLinks});
        },
        [size, part = std::move(part)](const Results& results) {
          const nfs_resop4* result = results.At(1, OP_READ);
          v4::DecodedAttributes decoded;
          if (result == nullptr || !results.TakeAttributes(2, &decoded)) return false;
          const READ4resok& ok = result->nfs_resop4_u.opread.READ4res_u.resok4;
          if (ok.data.data_len > size) return false;
          part({{ok.data.data_val, ok.data.data_len}, ok.eof != 0, decoded.attributes.links == 0});
          return true;
        },
        [done = std::move(done)](const absl::Status& status, bool /*resent*/) { done(status); }));
  }

  void Write(const Handle& file, uint64_t offset, std::string_view data,
             Done<WritePart> done) override {
    channel_.Start(MakeCall<WritePart>(
        "WRITE", patience_.writing,
        [file, offset, data](Operations* operations) {
          operations->Put(file);
          WRITE4args& args = operations->Add(OP_WRITE).nfs_argop4_u.opwrite;
          args.offset = offset;
          args.stable = UNSTABLE4;
          args.data = {static_cast<u_int>(data.size()), const_cast<char*>(data.data())};
        },
        [size = data.size()](const Results& results, WritePart* part) {
          const nfs_resop4* result = results.At(1, OP_WRITE);
          if (result == nullptr) return false;
          const WRITE4resok& ok = result->nfs_resop4_u.opwrite.WRITE4res_u.resok4;
          *part = {ok.count, NumberOf(ok.committed) == FILE_SYNC4, Verifier(ok.writeverf)};
          return ok.count > 0 && ok.count <= size;
        },
        std::move(done)));
  }

  void Commit(const Handle& file, Done<uint64_t> done) override {
    channel_.Start(MakeCall<uint64_t>(
        "COMMIT", patience_.writing,
        [file](Operations* operations) {
          operations->Put(file);
          operations->Add(OP_COMMIT);  // all of it
        },
        [](const Results& results, uint64_t* verifier) {
          const nfs_resop4* result = results.At(1, OP_COMMIT);
          if (result == nullptr) return false;
          *verifier = Verifier(result->nfs_resop4_u.opcommit.COMMIT4res_u.resok4.writeverf);
          return true;
        },
        std::move(done)));
  }

  void Link(const Handle& file, const Handle& directory, const std::string& name,
            DoneOnce done) override {
    channel_.Start(MakeCall(
        "LINK", patience_.writing,
        [file, directory, name](Operations* operations) {
          operations->Put(file);
          operations->Save();
          operations->Put(directory);
          operations->Add(OP_LINK).nfs_argop4_u.oplink.newname = WireName(name);
        },
        NothingMore, std::move(done)));
  }

  void Rename(const Handle& from_directory, const std::string& from, const Handle& to_directory,
              const std::string& to, DoneOnce done) override {
    channel_.Start(MakeCall(
        "RENAME", patience_.writing,
        [from_directory, from, to_directory, to](Operations* operations) {
          operations->Put(from_directory);
          operations->Save();
          operations->Put(to_directory);
          operations->Add(OP_RENAME).nfs_argop4_u.oprename = {WireName(from), WireName(to)};
        },
        NothingMore, std::move(done)));
  }

  void Remove(const Handle& directory, const std::string& name, DoneOnce done) override {
    channel_.Start(MakeCall(
        "REMOVE", patience_.writing,
        [directory, name](Operations* operations) {
          operations->Put(directory);
          operations->Add(OP_REMOVE).nfs_argop4_u.opremove.target = WireName(name);
        },
        NothingMore, std::move(done)));
  }

  void MakeDirectory(const Handle& directory, const std::string& name, DoneOnce done) override {
    channel_.Start(MakeCall(
        "CREATE", patience_.writing,
        [directory, name, mode = htonl(0755)](Operations* operations) mutable {
          operations->Put(directory);
          CREATE4args& args = operations->Add(OP_CREATE).nfs_argop4_u.opcreate;
          args.objtype.type = NF4DIR;
          args.objname = WireName(name);
          args.createattrs = operations->ModeAttributes(&mode);
        },
        NothingMore, std::move(done)));
  }

  void ReadDirectory(const Handle& directory, uint64_t cookie, uint64_t verifier,
                     Done<DirectoryPage> done) override {
    channel_.Start(MakeCall<DirectoryPage>(
        "READDIR", patience_.reading,
        [directory, cookie, verifier](Operations* operations) {
          operations->Put(directory);
          nfs_argop4& operation = operations->Add(OP_READDIR);
          READDIR4args& args = operation.nfs_argop4_u.opreaddir;
          args.cookie = cookie;
          std::memcpy(args.cookieverf, &verifier, sizeof verifier);
          args.dircount = kPageBytes;
          args.maxcount = kPageBytes;
          args.attr_request = operations->Bitmap({v4::kType, v4::kReadError, v4::kModified});
        },
        [cookie](const Results& results, DirectoryPage* page) {
          const nfs_resop4* result = results.At(1, OP_READDIR);
          if (result == nullptr) return false;
          const READDIR4resok& ok = result->nfs_resop4_u.opreaddir.READDIR4res_u.resok4;
          page->verifier = Verifier(ok.cookieverf);
          page->end = ok.reply.eof != 0;
          page->cookie = cookie;
          for (const entry4* entry = ok.reply.entries; entry != nullptr; entry = entry->nextentry) {
            page->cookie = entry->cookie;
            v4::DecodedAttributes decoded;
            if (!v4::DecodeAttributes(entry->attrs, &decoded)) return false;
            page->entries.push_back({{entry->name.utf8string_val, entry->name.utf8string_len},
                                     decoded.attributes.type,
                                     decoded.attributes.modified_unix_seconds});
          }
          // An empty page that is not the last would have us ask for ever.
          return page->end || ok.reply.entries != nullptr;
        },
        std::move(done)));
  }

  void CreateFile(const Handle& directory, const std::string& name, Done<Node> done) override {
    maker_.CreateFile(directory, name, std::move(done));
  }

  void Close() override { channel_.Close(); }

 private:
  const Patience patience_;
  V4FileMaker maker_;  // the channel's calls lead to it
  Channel channel_;
};

}  // namespace

std::unique_ptr<Protocol> NewV4Protocol(EventLoop* loop, ThreadPool* resolver,
                                        const NfsTarget& target, const Patience& patience) {
  return std::make_unique<V4Protocol>(loop, resolver, target, patience);
}

}  // namespace slacker::nfs
