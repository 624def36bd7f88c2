// One request and its answer, over a connection of a pool: the part of http_client.h that libcurl does.
#pragma once

#include <curl/curl.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/mutex.h"
#include "backend/registry/http_client.h"
#include "backend/registry/http_url.h"

namespace slacker {

// Open connections for the next transfer. A multi handle carries a cache of them; it serves one transfer
// at a time. Thread-safe.
class HttpConnections {
 public:
  HttpConnections() = default;
  ~HttpConnections();
  HttpConnections(const HttpConnections&) = delete;
  HttpConnections& operator=(const HttpConnections&) = delete;

  CURLM* Take();
  void Return(CURLM* multi);

 private:
  Mutex mutex_;
  std::vector<CURLM*> idle_ ABSL_GUARDED_BY(mutex_);
};

// Thread-compatible.
class HttpTransfer final : public HttpResponse {
 public:
  struct Context {  // of the client; outlives the transfer
    const HttpClient::Options* options;
    const std::string* authorities;  // PEM; empty = the system's
    HttpConnections* connections;
    const std::atomic<bool>* cancelled;
  };
  // `own`: the URL has the origin of the request, so that it may see our certificate and what the
  // request says to its own origin only.
  HttpTransfer(const Context& context, std::string url, UrlOrigin origin, bool own);
  ~HttpTransfer() override;
  HttpTransfer(const HttpTransfer&) = delete;
  HttpTransfer& operator=(const HttpTransfer&) = delete;

  // To be called once. Returns when the headers of the answer are there; does not follow redirects.
  // Errors: those of HttpClient::Send.
  absl::Status Start(const HttpRequest& request);

  int status() const override { return status_; }
  std::string Header(std::string_view name) const override;
  absl::StatusOr<std::string_view> Next() override;

 private:
  template <typename T>
  void Set(CURLoption option, T value);
  void AddHeaders(const std::vector<std::string>& headers);
  void SetOptions();
  void SetMethod(const HttpRequest& request);
  void SetTls(bool foreign);

  // Runs the transfer until there is something of the body, or the end.
  absl::Status Pump();
  void TakeResult();
  absl::Status Failure() const;

  // What libcurl calls; `self` is the transfer.
  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static size_t OnUpload(char* out, size_t size, size_t count, void* self);
  static int OnSeek(void* self, curl_off_t offset, int origin);

  const Context context_;
  const std::string url_;
  const UrlOrigin origin_;
  const bool own_;
  CURL* easy_ = nullptr;
  CURLM* multi_ = nullptr;
  curl_slist* headers_ = nullptr;
  char error_[CURL_ERROR_SIZE] = {};
  std::map<std::string, std::string> received_headers_;
  size_t header_bytes_ = 0;
  HttpBody body_;       // of the request
  std::string upload_;  // read from it, not yet sent
  uint64_t uploaded_ = 0;
  absl::Status upload_error_;
  std::string buffer_;  // received, not yet handed out
  std::string handed_;  // what the last Next() returned
  int status_ = 0;
  bool done_ = false;
  bool paused_ = false;
  CURLcode result_ = CURLE_OK;
  std::chrono::steady_clock::duration waited_{};  // in the current window
  size_t window_bytes_ = 0;
};

}  // namespace slacker
