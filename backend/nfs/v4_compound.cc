#include "backend/nfs/v4_compound.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/nfs/server_status.h"

namespace slacker::nfs::v4 {
namespace {

constexpr uint32_t kRegularFile = 1;
constexpr uint32_t kDirectory = 2;

char* Chars(std::string_view text) { return const_cast<char*>(text.data()); }

// XDR's integers from an untrusted string.
class Reader {
 public:
  explicit Reader(const attrlist4& wire) : left_(wire.attrlist4_val, wire.attrlist4_len) {}
  bool Take32(uint32_t* value) {
    if (left_.size() < 4) return false;
    *value = 0;
    for (size_t i = 0; i < 4; ++i) *value = *value << 8 | static_cast<unsigned char>(left_[i]);
    left_.remove_prefix(4);
    return true;
  }
  bool Take64(uint64_t* value) {
    uint32_t high = 0;
    uint32_t low = 0;
    if (!Take32(&high) || !Take32(&low)) return false;
    *value = uint64_t{high} << 32 | low;
    return true;
  }

 private:
  std::string_view left_;
};

bool DecodeOne(uint32_t number, Reader* reader, DecodedAttributes* decoded) {
  Attributes& attributes = decoded->attributes;
  uint32_t small = 0;
  uint64_t large = 0;
  switch (number) {
    case kType:
      if (!reader->Take32(&small)) return false;
      attributes.type = small == kRegularFile ? FileType::kRegular
                        : small == kDirectory ? FileType::kDirectory
                                              : FileType::kOther;
      return true;
    case kSize:
      return reader->Take64(&attributes.size_bytes);
    case kReadError:
      return reader->Take32(&small);
    case kFileId:
      return reader->Take64(&attributes.file_id);
    case kMaxRead:
      return reader->Take64(&decoded->max_read);
    case kMaxWrite:
      return reader->Take64(&decoded->max_write);
    case kLinks:
      return reader->Take32(&attributes.links);
    case kModified:
      if (!reader->Take64(&large) || !reader->Take32(&small)) return false;
      attributes.modified_unix_seconds = static_cast<int64_t>(large);
      return true;
    default:
      return false;  // of unknown length
  }
}

}  // namespace

bool DecodeAttributes(const fattr4& wire, DecodedAttributes* decoded) {
  Reader reader(wire.attr_vals);
  const uint32_t words = std::min<uint32_t>(wire.attrmask.bitmap4_len, 2);
  for (uint32_t number = 0; number < words * 32; ++number) {
    if ((wire.attrmask.bitmap4_val[number / 32] >> (number % 32) & 1) == 0) continue;
    if (!DecodeOne(number, &reader, decoded)) return false;
  }
  return true;
}

component4 WireName(std::string_view name) {
  return {static_cast<u_int>(name.size()), Chars(name)};
}

nfs_argop4& Operations::Add(nfs_opnum4 operation) {
  nfs_argop4 added{};
  added.argop = operation;
  operations_.push_back(added);
  return operations_.back();
}

void Operations::Put(const Handle& handle) {
  nfs_fh4& wire = Add(OP_PUTFH).nfs_argop4_u.opputfh.object;
  wire.nfs_fh4_len = static_cast<u_int>(handle.size());
  wire.nfs_fh4_val = Chars(handle);
}

void Operations::Lookup(const std::string& name) {
  Add(OP_LOOKUP).nfs_argop4_u.oplookup.objname = WireName(name);
}

void Operations::GetAttributes(const std::vector<uint32_t>& numbers) {
  nfs_argop4& operation = Add(OP_GETATTR);
  operation.nfs_argop4_u.opgetattr.attr_request = Bitmap(numbers);
}

bitmap4 Operations::Bitmap(const std::vector<uint32_t>& numbers) {
  std::vector<uint32_t> words(2, 0);
  for (const uint32_t number : numbers) words[number / 32] |= 1u << (number % 32);
  bitmaps_.push_back(std::move(words));
  return {2, bitmaps_.back().data()};
}

fattr4 Operations::ModeAttributes(uint32_t* mode) {
  fattr4 attributes{};
  attributes.attrmask = Bitmap({kMode});
  attributes.attr_vals = {sizeof *mode, reinterpret_cast<char*>(mode)};
  return attributes;
}

const nfs_resop4* Results::At(size_t index, nfs_opnum4 operation) const {
  if (index >= reply_.resarray.resarray_len) return nullptr;
  const nfs_resop4& result = reply_.resarray.resarray_val[index];
  // Every answer begins with a status, and only a good one has more.
  if (NumberOf(result.resop) != operation ||
      NumberOf(result.nfs_resop4_u.opputfh.status) != NFS4_OK)
    return nullptr;
  return &result;
}

bool Results::TakeHandle(size_t index, Handle* handle) const {
  const nfs_resop4* result = At(index, OP_GETFH);
  if (result == nullptr) return false;
  const nfs_fh4& wire = result->nfs_resop4_u.opgetfh.GETFH4res_u.resok4.object;
  if (wire.nfs_fh4_len == 0 || wire.nfs_fh4_len > NFS4_FHSIZE) return false;
  handle->assign(wire.nfs_fh4_val, wire.nfs_fh4_len);
  return true;
}

bool Results::TakeAttributes(size_t index, DecodedAttributes* decoded) const {
  const nfs_resop4* result = At(index, OP_GETATTR);
  return result != nullptr &&
         DecodeAttributes(result->nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes,
                          decoded);
}

Call MakeCall(const char* name, std::chrono::nanoseconds patience,
              std::function<void(Operations*)> build, std::function<bool(const Results&)> take,
              std::function<void(const absl::Status&, bool resent)> done) {
  Call call;
  call.name = name;
  call.patience = patience;
  call.send = [build = std::move(build)](rpc_context* rpc, RpcCallback callback, void* cookie) {
    Operations operations;
    build(&operations);
    COMPOUND4args args{};
    args.argarray.argarray_len = static_cast<u_int>(operations.all().size());
    args.argarray.argarray_val = operations.all().data();
    return rpc_nfs4_compound_async(rpc, callback, &args, cookie);
  };
  call.decode = [take = std::move(take)](const void* data) {
    const auto& reply = *static_cast<const COMPOUND4res*>(data);
    if (const int error = ErrnoOfServerStatus(NumberOf(reply.status)); error != 0) return error;
    return take(Results(reply)) ? 0 : EBADMSG;
  };
  call.done = std::move(done);
  return call;
}

}  // namespace slacker::nfs::v4
