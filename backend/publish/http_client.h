// HTTP GET over libcurl, as streams.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/layer/tar_reader.h"

namespace slacker {

// One answer. Next() yields the body in the pace of its reader, with at most about 1 MiB buffered;
// UNAVAILABLE when the connection breaks before the body is complete, DEADLINE_EXCEEDED when too
// little arrives (see HttpClient). Thread-compatible. Destroying it ends the transfer.
class HttpResponse : public ByteSource {
 public:
  virtual int status() const = 0;
  // A header of the final answer by its lower-case name, its first occurrence; empty if missing.
  virtual std::string Header(std::string_view name) const = 0;
};

// Follows up to ten redirects, never from https to http; credentials in `headers` are sent to the
// first host only. Thread-safe; must outlive its responses.
class HttpClient {
 public:
  struct Options {
    std::chrono::milliseconds connect_timeout{10'000};
    // Within this long, waiting time only, at least 16 KiB must arrive (or the answer's end).
    std::chrono::milliseconds stall_timeout{30'000};
  };
  explicit HttpClient(const Options& options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Returns when the final answer's headers are there, whatever its status. `headers` are whole
  // lines ("Accept: x"). UNAVAILABLE, DEADLINE_EXCEEDED: no answer; PERMISSION_DENIED: the host's
  // certificate is not trusted; INVALID_ARGUMENT: bad URL or redirect.
  absl::StatusOr<std::unique_ptr<HttpResponse>> Get(const std::string& url,
                                                    const std::vector<std::string>& headers);

 private:
  class Transfer;
  // A multi handle carries a cache of open connections; it serves one transfer at a time.
  void* TakeConnections();
  void ReturnConnections(void* multi);

  const Options options_;
  Mutex mutex_;
  std::vector<void*> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker
