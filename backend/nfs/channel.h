// Calls to one program of a server, over several connections. Loop thread only, but for the
// constructor and the destructor.
//
// A call goes to the connection with the fewest calls in flight, at most kCallsPerConnection; the
// rest waits in order. When a connection ends, its calls are sent again over another one, and it is
// made anew with a back-off of kRetryMin … kRetryMax. A call fails with UNAVAILABLE when the server
// has sent nothing on any connection for as long as the call's patience while it waited, when the
// server has asked it to wait (JUKEBOX, DELAY, GRACE) for longer than that, or after
// `longest_call`, whatever else was answered. The connection of a call that was given up is closed:
// nothing that comes late can be taken for something else.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/thread_pool.h"
#include "backend/nfs/call.h"
#include "backend/nfs/connection.h"
#include "backend/nfs/event_loop.h"

namespace slacker::nfs {

struct ChannelOptions {
  std::string host;
  uint16_t port = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int connections = 1;
  std::chrono::nanoseconds longest_call = Patience().longest;
};

class Channel final : public Connection::Owner {
 public:
  static constexpr size_t kCallsPerConnection = 64;
  static constexpr std::chrono::milliseconds kRetryMin{50};
  static constexpr std::chrono::seconds kRetryMax{5};

  // Host names are resolved on `resolver`, because that may block. Both outlive the channel.
  Channel(EventLoop* loop, ThreadPool* resolver, ChannelOptions options);
  // REQUIRES: on the loop's thread, or after its end. Calls that have no answer are dropped.
  ~Channel() override;

  // `call->done` runs later, exactly once.
  void Start(Call call);
  // All calls, and those that come later, fail with UNAVAILABLE.
  void Close();

 private:
  enum class Resolving { kNotYet, kNow, kDone };

  void OnConnected() override { PumpSoon(); }
  void OnReceived() override;
  void OnAnswer(std::unique_ptr<Call> call, const absl::Status& status) override;
  void OnBroken(Connection* connection, const std::string& why) override;

  // Sends what waits. Never within a callback of libnfs: hence by way of the loop.
  void PumpSoon();
  void Pump();
  void SendQueued();
  Connection* LeastLoaded() const;
  void ConnectMissing();
  void Resolve();
  void OnResolved(const std::string& address);
  void RetryLater(const std::string& why);
  // Its calls go back to the queue. False when it is gone already.
  bool Drop(const Connection* connection);
  void AskAgainLater(std::unique_ptr<Call> call);
  void Fail(std::unique_ptr<Call> call, const std::string& why);
  void WatchDeadlines();
  void CheckDeadlines();
  bool IsOverdue(const Call& call, Time now) const;
  // Runs `task` later unless the channel is gone by then.
  std::function<void()> IfAlive(std::function<void()> task);

  EventLoop* const loop_;
  ThreadPool* const resolver_;
  const ChannelOptions options_;
  const std::string server_;  // for messages

  std::deque<std::unique_ptr<Call>> queue_;
  std::vector<std::unique_ptr<Connection>> connections_;
  size_t waiting_ = 0;  // calls that the server asked to wait
  std::string address_;
  Resolving resolving_ = Resolving::kNotYet;
  std::string last_error_;
  int failures_ = 0;  // attempts to connect since the last answer
  bool retry_pending_ = false;
  bool pump_pending_ = false;
  bool deadlines_watched_ = false;
  bool closed_ = false;
  Time last_received_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace slacker::nfs
