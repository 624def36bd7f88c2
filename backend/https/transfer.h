// One request to the web server, on one libcurl handle: its tries, redirects and result.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/https/answer.h"
#include "backend/https/https_options.h"

namespace slacker::https {

struct Reply {
  std::string bytes;  // of a range
  ObjectInfo info;    // of a HEAD
};

struct Request {
  std::string url;
  uint64_t offset = 0;
  uint64_t size = 0;        // 0: HEAD
  bool revalidate = false;  // caches on the way must ask the server
  std::function<void(absl::StatusOr<Reply>)> done;
};

// One thread. Usage: while Prepare() gives a handle, run it, remove it and ask Ended().
class Transfer {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `options` must outlive it. The deadline begins now.
  Transfer(const HttpsOptions* options, Request request);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // The handle, set up for the next try; or why there can be none.
  absl::StatusOr<CURL*> Prepare();
  // What a try that has ended means: the answer, or nothing when there must be another one: a
  // connection that broke is tried again twice, because servers close those that they kept open
  // when they like; a redirect is followed five times.
  std::optional<absl::StatusOr<Reply>> Ended(CURLcode code);

  const Request& request() const { return request_; }

 private:
  template <typename T>
  void Set(CURLoption option, T value);
  void SetConnection();
  absl::Status SetHeaders();
  std::optional<absl::StatusOr<Reply>> Redirected();
  absl::Status TransportError(CURLcode code) const;

  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);

  const HttpsOptions* const options_;
  const Request request_;
  const TimePoint deadline_;
  std::string url_;       // of this try
  bool own_host_ = true;  // gets our credentials
  int tries_ = 0, redirects_ = 0;
  CURL* easy_ = nullptr;  // of this try
  curl_slist* headers_ = nullptr;
  std::optional<Answer> answer_;
  char error_[CURL_ERROR_SIZE] = {};
};

}  // namespace slacker::https
