// A store directory behind a web server that has the faults of real ones, as a test says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "backend/base/mutex.h"
#include "tests/support/http_server.h"

namespace slacker::testing {

enum class StoreFault : uint8_t {
  kNone,
  kRefusing,    // answers nothing but 503
  kHanging,     // until there is another fault, or none
  kSlow,        // 1 KiB/s
  kWrongBytes,  // no byte of any object is right
  kTruncated,   // every object ends early
  kDeleted,     // names are there, what they lead to is not
  kEmpty,       // another server has come in its place, with nothing on it
};

inline std::string NameOf(StoreFault fault) {
  constexpr const char* kNames[] = {"None",       "Refusing",  "Hanging", "Slow",
                                    "WrongBytes", "Truncated", "Deleted", "Empty"};
  return kNames[static_cast<size_t>(fault)];
}

// Thread-safe.
class FaultyWebStore {
 public:
  explicit FaultyWebStore(std::string directory) : directory_(std::move(directory)) {}
  ~FaultyWebStore() { Set(StoreFault::kRefusing); }  // ends what hangs
  FaultyWebStore(const FaultyWebStore&) = delete;
  FaultyWebStore& operator=(const FaultyWebStore&) = delete;

  std::string Url() const { return "http://" + server_.Host(); }
  void Set(StoreFault fault) {
    MutexLock lock(&mutex_);
    fault_ = fault;
    changed_.SignalAll();
  }
  size_t requests() { return server_.Requests().size(); }

 private:
  HttpAnswer Answer(const HttpRequest& request) {
    StoreFault fault = StoreFault::kNone;
    {
      MutexLock lock(&mutex_);
      while (fault_ == StoreFault::kHanging) changed_.Wait(&mutex_);
      fault = fault_;
    }
    const bool is_content = !request.path.starts_with("/manifests/") &&
                            !request.path.starts_with("/grants/");
    std::ifstream file(directory_ + request.path, std::ios::binary);
    if (fault == StoreFault::kRefusing) return {.status = 503};
    if (!file || fault == StoreFault::kEmpty || (fault == StoreFault::kDeleted && is_content)) {
      return {.status = 404};
    }
    HttpAnswer answer;
    answer.body = {std::istreambuf_iterator<char>(file), {}};
    if (fault == StoreFault::kWrongBytes) {
      for (char& byte : answer.body) byte = static_cast<char>(byte ^ 1);
    }
    if (fault == StoreFault::kTruncated) answer.body.resize(std::min<size_t>(answer.body.size(), 9));
    if (fault == StoreFault::kSlow) answer.then = HttpAnswer::Then::kTrickle;
    return answer;
  }

  const std::string directory_;
  Mutex mutex_;
  CondVar changed_;
  StoreFault fault_ ABSL_GUARDED_BY(mutex_) = StoreFault::kNone;
  HttpServer server_{[this](const HttpRequest& request) { return Answer(request); }};  // last
};

}  // namespace slacker::testing
