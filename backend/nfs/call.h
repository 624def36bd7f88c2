// One remote procedure call, from the first attempt to send it to its answer.
#pragma once

#include <chrono>
#include <functional>

#include "absl/status/status.h"
#include "backend/nfs/event_loop.h"

struct rpc_context;

namespace slacker::nfs {

// libnfs' rpc_cb.
using RpcCallback = void (*)(rpc_context* rpc, int status, void* data, void* cookie);

// How long the server may be silent while a call waits for its answer. Servers stand still for some
// ten seconds when their disk hangs, their virtual machine is moved, or another one takes over:
// nobody who reads, least of all a verb that would fail, is to notice that.
struct Patience {
  std::chrono::nanoseconds reading = std::chrono::seconds(20);
  std::chrono::nanoseconds writing = std::chrono::seconds(60);
  // One call, while the server answers others.
  std::chrono::nanoseconds longest = std::chrono::minutes(5);
};

struct Call {
  // For messages: "READ".
  const char* name = "";
  // Gives the call to libnfs. Not 0: it cannot be encoded. Called again when the connection was
  // lost before the answer.
  std::function<int(rpc_context* rpc, RpcCallback callback, void* cookie)> send;
  // Takes what is wanted out of libnfs' decoded reply, which lives no longer than this call, and
  // returns the server's verdict as an errno value: 0 for success, EAGAIN for "ask again later".
  // Called at most once with success. What it is given is the server's: believe no length.
  std::function<int(const void* reply)> decode;
  // OK, the verdict (ErrnoError), or UNAVAILABLE: no answer within `patience`. `resent`: an earlier
  // attempt may have been carried out, too.
  std::function<void(const absl::Status& status, bool resent)> done;
  std::chrono::nanoseconds patience = Patience().reading;

  // Of the channel.
  bool resent = false;
  bool sent = false;
  int waits = 0;  // times that the server asked to wait
  Time started;
};

}  // namespace slacker::nfs
