// An RPC server on the loopback interface that answers calls with whatever bytes a test wants it to,
// and what such bytes are made with (RFC 4506, RFC 5531).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker::testing {

// XDR, put together piece by piece.
class Xdr {
 public:
  Xdr& U32(uint32_t value);
  Xdr& U64(uint64_t value);
  // With its length, and padded.
  Xdr& Opaque(std::string_view value);
  Xdr& Raw(std::string_view value);
  Xdr& Zeros(size_t bytes);
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// A fragment with its record mark.
std::string Fragment(std::string_view bytes, bool last = true);
// The header of a reply to the call `xid` that was carried out; its results follow.
std::string Accepted(uint32_t xid);

// Thread-safe.
class ScriptedRpcServer {
 public:
  // What is sent for a call, record marks included. Called on threads of the server.
  using Script = std::function<std::string(uint32_t xid)>;
  explicit ScriptedRpcServer(Script script);
  // Connections are reset.
  ~ScriptedRpcServer();
  ScriptedRpcServer(const ScriptedRpcServer&) = delete;
  ScriptedRpcServer& operator=(const ScriptedRpcServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  struct Client {
    UniqueFd socket;
    std::atomic<bool> gone = false;
    std::thread thread;
  };
  void Accept();
  void RemoveGone();
  void Serve(int socket) const;

  const Script script_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  Mutex mutex_;
  std::list<Client> clients_ ABSL_GUARDED_BY(mutex_);
  std::thread accept_;
};

}  // namespace slacker::testing
