// A client of one store on one server: the loop, the protocol and the tree of names, and what
// callers' threads ask of them. Thread-safe. Calls that wait must not come from the loop's thread.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/thread_pool.h"
#include "backend/nfs/call.h"
#include "backend/nfs/event_loop.h"
#include "backend/nfs/name_tree.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/read_limit.h"
#include "backend/nfs/target.h"

namespace slacker::nfs {

class Session {
 public:
  // Connects when something is asked.
  static absl::StatusOr<std::unique_ptr<Session>> Open(const NfsTarget& target,
                                                       const Patience& patience);
  ~Session();

  // `task` runs on the loop's thread.
  void Post(std::function<void()> task) { loop_->Post(std::move(task)); }
  // Ends all calls, and those to come, with UNAVAILABLE.
  void Close();
  // Loop thread only.
  Protocol* protocol() { return protocol_.get(); }
  NameTree* tree() { return tree_.get(); }
  ReadLimit* read_limit() { return &read_limit_; }

  // Runs `start` on the loop's thread and waits until what it is given has been called.
  template <class T>
  absl::StatusOr<T> Await(std::function<void(Done<T>)> start) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<T>>>();
    auto future = promise->get_future();
    Post([start = std::move(start), promise] {
      start([promise](absl::StatusOr<T> result) { promise->set_value(std::move(result)); });
    });
    return future.get();
  }
  // For calls that may have been carried out twice.
  struct Verdict {
    absl::Status status;
    bool resent = false;
  };
  Verdict AwaitOnce(std::function<void(DoneOnce)> start);

  // ENOENT or ENOTDIR (ErrnoOf): there is no such name. A stale handle on the way is looked up
  // again, once.
  absl::StatusOr<Found> Find(const std::string& name);
  // A directory of the store ("" is its root, which must be there), made if need be, with those
  // above it.
  absl::StatusOr<Found> MakeDirectory(const std::string& name);
  absl::Status MakeRoot();
  void Forget(const std::string& name);

 private:
  Session() = default;

  // In the order in which they may go: last declared, first destroyed.
  ReadLimit read_limit_;
  std::unique_ptr<Protocol> protocol_;
  std::unique_ptr<NameTree> tree_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<ThreadPool> resolver_;
};

// "a/b" and "c" of "a/b/c"; "" and "c" of "c".
std::pair<std::string, std::string> SplitName(std::string_view name);
// ENOENT or ENOTDIR.
bool IsMissing(const absl::Status& status);
// NOT_FOUND for those, other statuses as they are.
absl::Status ObjectError(const absl::Status& status, std::string_view name);

}  // namespace slacker::nfs
