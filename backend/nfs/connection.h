// One TCP connection to a server of an RPC program, over libnfs. Loop thread only.
//
// A server that goes on sending without answering a call breaks it, as does a reply that does not end
// (libnfs_guard.h).
//
// libnfs' own reconnecting and timeouts are not used: 4.0 reconnects without back-off, and its
// scan for timeouts leaves a freed call as the tail of its queue.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "backend/nfs/call.h"
#include "backend/nfs/event_loop.h"
#include "backend/nfs/libnfs_guard.h"

namespace slacker::nfs {

class Connection final : public Source {
 public:
  // What its channel is told. The connection must not be destroyed within.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnConnected() = 0;
    // The server sent something.
    virtual void OnReceived() = 0;
    // A call was answered; `status` is its verdict.
    virtual void OnAnswer(std::unique_ptr<Call> call, const absl::Status& status) = 0;
    // It is of no use any more: take its calls and destroy it.
    virtual void OnBroken(Connection* connection, const std::string& why) = 0;
  };

  Connection(EventLoop* loop, Owner* owner) : loop_(loop), owner_(owner) {}
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Begins to connect; `address` is numeric.
  absl::Status Connect(const std::string& address, uint16_t port, uint32_t uid, uint32_t gid);
  bool connected() const { return connected_; }
  bool usable() const { return connected_ && !broken_; }
  size_t in_flight() const { return calls_.size(); }
  // INTERNAL with the call untouched when it cannot be encoded.
  absl::Status Send(std::unique_ptr<Call>* call);
  // Writes what was sent to the socket as far as it goes.
  void Flush();
  // Whether there is a call in flight that `matches` is true for.
  bool Any(const std::function<bool(const Call&)>& matches) const;
  // Ends the connection and hands out the calls without an answer.
  std::vector<std::unique_ptr<Call>> TakeCalls();

  int Fd() const override;
  short Events() const override;
  void Ready(short events) override;

 private:
  struct Pending {
    Connection* connection;
    std::unique_ptr<Call> call;
  };
  static void OnConnect(rpc_context* rpc, int status, void* data, void* cookie);
  static void OnReply(rpc_context* rpc, int status, void* data, void* cookie);
  void Reply(Pending* pending, int status, void* data);
  void Close();
  void Break(const std::string& why);

  EventLoop* const loop_;
  Owner* const owner_;
  rpc_context* rpc_ = nullptr;
  bool connected_ = false;
  bool broken_ = false;
  ReceivedBytes received_;
  std::unordered_set<Pending*> calls_;
};

}  // namespace slacker::nfs
