// NFS version 3; how it is entered is in v3_mount.h.
#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/base/status.h"
#include "backend/nfs/protocols.h"
#include "backend/nfs/v3_calls.h"
#include "backend/nfs/v3_mount.h"

namespace slacker::nfs {
namespace v3 {

Attributes AttributesOf(const fattr3& wire) {
  Attributes attributes;
  const uint32_t type = NumberOf(wire.type);
  attributes.type = type == NF3REG   ? FileType::kRegular
                    : type == NF3DIR ? FileType::kDirectory
                                     : FileType::kOther;
  attributes.size_bytes = wire.size;
  attributes.file_id = wire.fileid;
  attributes.links = wire.nlink;
  attributes.modified_unix_seconds = wire.mtime.seconds;
  return attributes;
}

Attributes AttributesOf(const post_op_attr& wire) {
  if (wire.attributes_follow == 0) return {};
  return AttributesOf(wire.post_op_attr_u.attributes);
}

}  // namespace v3

namespace {

using v3::AttributesOf;
using v3::Chars;
using v3::MakeCall;
using v3::TakeHandle;
using v3::WireHandle;
using v3::WireName;

// What libnfs takes in one reply.
constexpr uint32_t kMaxTransferBytes = 1 << 20;
constexpr uint32_t kMinTransferBytes = 512;
constexpr uint32_t kPageBytes = 64 << 10;
constexpr int kConnections = 4;

sattr3 Mode(uint32_t mode) {
  sattr3 attributes{};
  attributes.mode.set_it = 1;
  attributes.mode.set_mode3_u.mode = mode;
  return attributes;
}

uint64_t Verifier(const char (&wire)[8]) {
  uint64_t verifier = 0;
  std::memcpy(&verifier, wire, sizeof verifier);
  return verifier;
}

class V3Protocol final : public Protocol {
 public:
  V3Protocol(EventLoop* loop, ThreadPool* resolver, const NfsTarget& target,
             const Patience& patience)
      : patience_(patience),
        channel_(
            loop, resolver,
            {target.host, target.port, target.uid, target.gid, kConnections, patience.longest}),
        mounter_(loop, resolver, target, patience) {}

  void Enter(const std::vector<std::string>& path, Done<Entrance> done) override {
    mounter_.Enter(path, std::move(done));
  }

  void GetLimits(const Handle& root, Done<Limits> done) override {
    channel_.Start(MakeCall<FSINFO3res, Limits>(
        "FSINFO", patience_.reading,
        [root](rpc_context* rpc, RpcCallback callback, void* cookie) {
          FSINFO3args args{WireHandle(root)};
          return rpc_nfs3_fsinfo_async(rpc, callback, &args, cookie);
        },
        [](const FSINFO3res& reply, Limits* limits) {
          const FSINFO3resok& ok = reply.FSINFO3res_u.resok;
          limits->read_bytes = std::clamp(ok.rtmax, kMinTransferBytes, kMaxTransferBytes);
          limits->write_bytes = std::clamp(ok.wtmax, kMinTransferBytes, kMaxTransferBytes);
          return true;
        },
        std::move(done)));
  }

  void Lookup(const Handle& directory, const std::string& name, Done<Node> done) override {
    // Servers may leave attributes out: then they are asked for.
    auto complete = [this, done = std::move(done)](absl::StatusOr<Node> node) {
      if (!node.ok() || node->attributes.type != FileType::kUnknown) {
        done(std::move(node));
        return;
      }
      channel_.Start(MakeCall<GETATTR3res, Node>(
          "GETATTR", patience_.reading,
          [handle = node->handle](rpc_context* rpc, RpcCallback callback, void* cookie) {
            GETATTR3args args{WireHandle(handle)};
            return rpc_nfs3_getattr_async(rpc, callback, &args, cookie);
          },
          [handle = node->handle](const GETATTR3res& reply, Node* out) {
            *out = {handle, AttributesOf(reply.GETATTR3res_u.resok.obj_attributes)};
            return true;
          },
          done));
    };
    channel_.Start(MakeCall<LOOKUP3res, Node>(
        "LOOKUP", patience_.reading,
        [directory, name](rpc_context* rpc, RpcCallback callback, void* cookie) {
          LOOKUP3args args{WireName(directory, name)};
          return rpc_nfs3_lookup_async(rpc, callback, &args, cookie);
        },
        [](const LOOKUP3res& reply, Node* node) {
          const LOOKUP3resok& ok = reply.LOOKUP3res_u.resok;
          node->attributes = AttributesOf(ok.obj_attributes);
          return TakeHandle(ok.object, &node->handle);
        },
        Done<Node>(std::move(complete))));
  }

  void Read(const Handle& file, uint64_t offset, uint32_t size,
            std::function<void(const ReadPart&)> part,
            std::function<void(absl::Status)> done) override {
    Call call;
    call.name = "READ";
    call.patience = patience_.reading;
    call.send = [file, offset, size](rpc_context* rpc, RpcCallback callback, void* cookie) {
      READ3args args{WireHandle(file), offset, size};
      return rpc_nfs3_read_async(rpc, callback, &args, cookie);
    };
    call.decode = [size, part = std::move(part)](const void* data) {
      const auto& reply = *static_cast<const READ3res*>(data);
      if (const int error = ErrnoOfServerStatus(NumberOf(reply.status)); error != 0) return error;
      const READ3resok& ok = reply.READ3res_u.resok;
      if (ok.data.data_len > size || ok.count != ok.data.data_len) return EBADMSG;
      const Attributes attributes = AttributesOf(ok.file_attributes);
      part({{ok.data.data_val, ok.data.data_len},
            ok.eof != 0,
            attributes.type != FileType::kUnknown && attributes.links == 0});
      return 0;
    };
    call.done = [done = std::move(done)](const absl::Status& status, bool /*resent*/) {
      done(status);
    };
    channel_.Start(std::move(call));
  }

  void CreateFile(const Handle& directory, const std::string& name, Done<Node> done) override {
    // The handle is optional in the reply: then the name is looked up.
    auto complete = [this, directory, name, done = std::move(done)](absl::StatusOr<Node> node) {
      if (node.ok() && node->handle.empty()) {
        Lookup(directory, name, done);
      } else {
        done(std::move(node));
      }
    };
    channel_.Start(MakeCall<CREATE3res, Node>(
        "CREATE", patience_.writing,
        [directory, name](rpc_context* rpc, RpcCallback callback, void* cookie) {
          CREATE3args args{};
          args.where = WireName(directory, name);
          args.how.mode = UNCHECKED;
          args.how.createhow3_u.obj_attributes = Mode(0644);
          return rpc_nfs3_create_async(rpc, callback, &args, cookie);
        },
        [](const CREATE3res& reply, Node* node) {
          const CREATE3resok& ok = reply.CREATE3res_u.resok;
          node->attributes = AttributesOf(ok.obj_attributes);
          if (ok.obj.handle_follows == 0 || node->attributes.type == FileType::kUnknown)
            return true;
          return TakeHandle(ok.obj.post_op_fh3_u.handle, &node->handle);
        },
        Done<Node>(std::move(complete))));
  }

  void Write(const Handle& file, uint64_t offset, std::string_view data,
             Done<WritePart> done) override {
    channel_.Start(MakeCall<WRITE3res, WritePart>(
        "WRITE", patience_.writing,
        [file, offset, data](rpc_context* rpc, RpcCallback callback, void* cookie) {
          const auto size = static_cast<uint32_t>(data.size());
          WRITE3args args{WireHandle(file), offset, size, UNSTABLE, {size, Chars(data)}};
          return rpc_nfs3_write_async(rpc, callback, &args, cookie);
        },
        [size = data.size()](const WRITE3res& reply, WritePart* part) {
          const WRITE3resok& ok = reply.WRITE3res_u.resok;
          *part = {ok.count, NumberOf(ok.committed) == FILE_SYNC, Verifier(ok.verf)};
          return ok.count > 0 && ok.count <= size;
        },
        std::move(done)));
  }

  void Commit(const Handle& file, Done<uint64_t> done) override {
    channel_.Start(MakeCall<COMMIT3res, uint64_t>(
        "COMMIT", patience_.writing,
        [file](rpc_context* rpc, RpcCallback callback, void* cookie) {
          COMMIT3args args{WireHandle(file), 0, 0};  // all of it
          return rpc_nfs3_commit_async(rpc, callback, &args, cookie);
        },
        [](const COMMIT3res& reply, uint64_t* verifier) {
          *verifier = Verifier(reply.COMMIT3res_u.resok.verf);
          return true;
        },
        std::move(done)));
  }

  void Link(const Handle& file, const Handle& directory, const std::string& name,
            DoneOnce done) override {
    channel_.Start(MakeCall<LINK3res>(
        "LINK", patience_.writing,
        [file, directory, name](rpc_context* rpc, RpcCallback callback, void* cookie) {
          LINK3args args{WireHandle(file), WireName(directory, name)};
          return rpc_nfs3_link_async(rpc, callback, &args, cookie);
        },
        std::move(done)));
  }

  void Rename(const Handle& from_directory, const std::string& from, const Handle& to_directory,
              const std::string& to, DoneOnce done) override {
    channel_.Start(MakeCall<RENAME3res>(
        "RENAME", patience_.writing,
        [from_directory, from, to_directory, to](rpc_context* rpc, RpcCallback callback,
                                                 void* cookie) {
          RENAME3args args{WireName(from_directory, from), WireName(to_directory, to)};
          return rpc_nfs3_rename_async(rpc, callback, &args, cookie);
        },
        std::move(done)));
  }

  void Remove(const Handle& directory, const std::string& name, DoneOnce done) override {
    channel_.Start(MakeCall<REMOVE3res>(
        "REMOVE", patience_.writing,
        [directory, name](rpc_context* rpc, RpcCallback callback, void* cookie) {
          REMOVE3args args{WireName(directory, name)};
          return rpc_nfs3_remove_async(rpc, callback, &args, cookie);
        },
        std::move(done)));
  }

  void MakeDirectory(const Handle& directory, const std::string& name, DoneOnce done) override {
    channel_.Start(MakeCall<MKDIR3res>(
        "MKDIR", patience_.writing,
        [directory, name](rpc_context* rpc, RpcCallback callback, void* cookie) {
          MKDIR3args args{WireName(directory, name), Mode(0755)};
          return rpc_nfs3_mkdir_async(rpc, callback, &args, cookie);
        },
        std::move(done)));
  }

  void ReadDirectory(const Handle& directory, uint64_t cookie, uint64_t verifier,
                     Done<DirectoryPage> done) override {
    channel_.Start(MakeCall<READDIRPLUS3res, DirectoryPage>(
        "READDIRPLUS", patience_.reading,
        [directory, cookie, verifier](rpc_context* rpc, RpcCallback callback, void* data) {
          READDIRPLUS3args args{};
          args.dir = WireHandle(directory);
          args.cookie = cookie;
          std::memcpy(args.cookieverf, &verifier, sizeof verifier);
          args.dircount = kPageBytes;
          args.maxcount = kPageBytes;
          return rpc_nfs3_readdirplus_async(rpc, callback, &args, data);
        },
        [cookie](const READDIRPLUS3res& reply, DirectoryPage* page) {
          const READDIRPLUS3resok& ok = reply.READDIRPLUS3res_u.resok;
          page->verifier = Verifier(ok.cookieverf);
          page->end = ok.reply.eof != 0;
          page->cookie = cookie;
          for (const entryplus3* entry = ok.reply.entries; entry != nullptr;
               entry = entry->nextentry) {
            page->cookie = entry->cookie;
            std::string name = entry->name;
            if (name == "." || name == "..") continue;
            const Attributes attributes = AttributesOf(entry->name_attributes);
            page->entries.push_back(
                {std::move(name), attributes.type, attributes.modified_unix_seconds});
          }
          // An empty page that is not the last would have us ask for ever.
          return page->end || ok.reply.entries != nullptr;
        },
        std::move(done)));
  }

  void Close() override {
    channel_.Close();
    mounter_.Close();
  }

 private:
  const Patience patience_;
  Channel channel_;
  V3Mounter mounter_;
};

}  // namespace

std::unique_ptr<Protocol> NewV3Protocol(EventLoop* loop, ThreadPool* resolver,
                                        const NfsTarget& target, const Patience& patience) {
  return std::make_unique<V3Protocol>(loop, resolver, target, patience);
}

}  // namespace slacker::nfs
