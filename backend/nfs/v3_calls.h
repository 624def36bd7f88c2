// Between libnfs' structures of NFS version 3 and ours.
#pragma once

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "backend/nfs/call.h"
#include "backend/nfs/libnfs.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/server_status.h"

namespace slacker::nfs::v3 {

// libnfs takes pointers to char, and writes nothing there when it encodes.
inline char* Chars(std::string_view text) { return const_cast<char*>(text.data()); }

inline nfs_fh3 WireHandle(const Handle& handle) {
  nfs_fh3 wire{};
  wire.data.data_len = static_cast<u_int>(handle.size());
  wire.data.data_val = Chars(handle);
  return wire;
}

inline diropargs3 WireName(const Handle& directory, const std::string& name) {
  return {WireHandle(directory), Chars(name)};
}

// False when it is longer than the protocol allows.
inline bool TakeHandle(const nfs_fh3& wire, Handle* handle) {
  if (wire.data.data_len == 0 || wire.data.data_len > NFS3_FHSIZE) return false;
  handle->assign(wire.data.data_val, wire.data.data_len);
  return true;
}

Attributes AttributesOf(const fattr3& wire);
// FileType::kUnknown when the server sent none.
Attributes AttributesOf(const post_op_attr& wire);

// A call whose reply begins with a status: `take` fills `out` from a successful one and returns
// false when it is against the protocol.
template <class Reply, class Out>
Call MakeCall(const char* name, std::chrono::nanoseconds patience, decltype(Call::send) send,
              std::function<bool(const Reply&, Out*)> take,
              std::function<void(const absl::Status&, Out*, bool resent)> done) {
  auto out = std::make_shared<Out>();
  Call call;
  call.name = name;
  call.patience = patience;
  call.send = std::move(send);
  call.decode = [out, take = std::move(take)](const void* data) {
    const auto& reply = *static_cast<const Reply*>(data);
    if (const int error = ErrnoOfServerStatus(NumberOf(reply.status)); error != 0) return error;
    return take(reply, out.get()) ? 0 : EBADMSG;
  };
  call.done = [out, done = std::move(done)](const absl::Status& status, bool resent) {
    done(status, out.get(), resent);
  };
  return call;
}

// The same for what hands its result on.
template <class Reply, class Out>
Call MakeCall(const char* name, std::chrono::nanoseconds patience, decltype(Call::send) send,
              std::function<bool(const Reply&, Out*)> take, Done<Out> done) {
  return MakeCall<Reply, Out>(
      name, patience, std::move(send), std::move(take),
      [done = std::move(done)](const absl::Status& status, Out* out, bool /*resent*/) {
        if (status.ok()) {
          done(std::move(*out));
        } else {
          done(status);
        }
      });
}

// And for what has no result.
template <class Reply>
Call MakeCall(const char* name, std::chrono::nanoseconds patience, decltype(Call::send) send,
              DoneOnce done) {
  struct Nothing {};
  return MakeCall<Reply, Nothing>(
      name, patience, std::move(send), [](const Reply&, Nothing*) { return true; },
      [done = std::move(done)](const absl::Status& status, Nothing*, bool resent) {
        done(status, resent);
      });
}

}  // namespace slacker::nfs::v3
