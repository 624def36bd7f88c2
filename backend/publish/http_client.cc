#include "backend/publish/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/base/image_reference.h"

namespace slacker {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kBufferBytes = 1 << 20;
constexpr size_t kMinWindowBytes = 16 << 10;
constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr size_t kMaxIdle = 4;

absl::Status TransferError(CURLcode code, const std::string& url, const char* detail) {
  const std::string message =
      "GET " + url + ": " + (*detail != '\0' ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return DeadlineExceeded(message);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return PermissionDenied(message);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
      return InvalidArgument(message);
    default:
      return Unavailable(message);
  }
}

// Host and port of a URL without user information.
std::string_view HostOf(std::string_view url) {
  const size_t start = url.find("://");
  if (start == std::string_view::npos) return {};
  url.remove_prefix(start + 3);
  return url.substr(0, url.find_first_of("/?#"));
}

}  // namespace

class HttpClient::Transfer final : public HttpResponse {
 public:
  Transfer(HttpClient* client, std::string url) : client_(client), url_(std::move(url)) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  ~Transfer() override {
    if (multi_ != nullptr) {
      (void)curl_multi_remove_handle(multi_, easy_);
      client_->ReturnConnections(multi_);
    }
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
  }

  absl::Status Start(const std::vector<std::string>& headers) {
    easy_ = curl_easy_init();
    SLACKER_CHECK(easy_ != nullptr, "out of memory");
    for (const std::string& header : headers) {
      headers_ = curl_slist_append(headers_, header.c_str());
      SLACKER_CHECK(headers_ != nullptr, "out of memory");
    }
    SetOptions();
    multi_ = static_cast<CURLM*>(client_->TakeConnections());
    if (const CURLMcode code = curl_multi_add_handle(multi_, easy_); code != CURLM_OK) {
      return Internal(std::string("libcurl: ") + curl_multi_strerror(code));
    }
    RETURN_IF_ERROR(Pump());
    long status = 0;
    (void)curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    status_ = static_cast<int>(status);
    if (done_ && result_ != CURLE_OK && buffer_.empty()) return Failure();
    return absl::OkStatus();
  }

  int status() const override { return status_; }

  std::string Header(std::string_view name) const override {
    const auto it = received_headers_.find(std::string(name));
    return it == received_headers_.end() ? std::string() : it->second;
  }

  absl::StatusOr<std::string_view> Next() override {
    handed_.clear();
    if (buffer_.empty() && !done_) RETURN_IF_ERROR(Pump());
    std::swap(handed_, buffer_);
    if (handed_.empty() && result_ != CURLE_OK) return Failure();
    return std::string_view(handed_);
  }

 private:
  template <typename T>
  void Set(CURLoption option, T value) {
    const CURLcode code = curl_easy_setopt(easy_, option, value);
    SLACKER_CHECK(code == CURLE_OK, "libcurl knows every option that we set");
  }

  void SetOptions() {
    const bool secure = url_.starts_with("https://");
    Set(CURLOPT_URL, url_.c_str());
    Set(CURLOPT_HTTPHEADER, headers_);
    Set(CURLOPT_USERAGENT, "slacker/" SLACKER_VERSION);
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_PROTOCOLS_STR, secure ? "https" : "http");
    Set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
    Set(CURLOPT_FOLLOWLOCATION, 1L);
    Set(CURLOPT_MAXREDIRS, 10L);
    Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(client_->options_.connect_timeout.count()));
    Set(CURLOPT_BUFFERSIZE, 512L << 10);
    Set(CURLOPT_ERRORBUFFER, error_);
    Set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
    Set(CURLOPT_WRITEDATA, this);
    Set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
    Set(CURLOPT_HEADERDATA, this);
    if (IsLoopbackHost(HostOf(url_))) Set(CURLOPT_PROXY, "");
  }

  // Runs the transfer until there is something of the body, or the end.
  absl::Status Pump() {
    if (paused_) {
      paused_ = false;
      (void)curl_easy_pause(easy_, CURLPAUSE_CONT);  // a failure shows in the transfer's result
    }
    const SteadyClock::duration stall = client_->options_.stall_timeout;
    while (buffer_.empty() && !done_) {
      const SteadyClock::time_point before = SteadyClock::now();
      int running = 0;
      CURLMcode code = curl_multi_perform(multi_, &running);
      if (code == CURLM_OK) {
        TakeResult();
        if (!buffer_.empty() || done_) break;
        code = curl_multi_poll(multi_, nullptr, 0, PollMillis(stall - waited_), nullptr);
      }
      if (code != CURLM_OK) return Internal(std::string("libcurl: ") + curl_multi_strerror(code));
      waited_ += SteadyClock::now() - before;
      if (waited_ < stall) continue;
      if (window_bytes_ < kMinWindowBytes) {
        return DeadlineExceeded("GET " + url_ + ": the server stalls (fewer than 16 KiB within " +
                                std::to_string(client_->options_.stall_timeout.count()) + " ms)");
      }
      waited_ = {};
      window_bytes_ = 0;
    }
    return absl::OkStatus();
  }

  static int PollMillis(SteadyClock::duration left) {
    const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(left).count() + 1;
    return static_cast<int>(std::clamp<int64_t>(millis, 1, 1000));
  }

  void TakeResult() {
    int queued = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
      if (message->msg != CURLMSG_DONE) continue;
      done_ = true;
      result_ = message->data.result;
    }
  }

  absl::Status Failure() const { return TransferError(result_, url_, error_); }

  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    if (transfer->buffer_.size() >= kBufferBytes) {
      transfer->paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    transfer->buffer_.append(data, size * count);
    transfer->window_bytes_ += size * count;
    return size * count;
  }

  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) {  // the next answer of a chain of redirects
      transfer->received_headers_.clear();
      transfer->header_bytes_ = 0;
    }
    transfer->header_bytes_ += line.size();
    if (transfer->header_bytes_ > kMaxHeaderBytes) return 0;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return size * count;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && std::isspace(static_cast<unsigned char>(value.front())) != 0) {
      value.remove_prefix(1);
    }
    while (!value.empty() && std::isspace(static_cast<unsigned char>(value.back())) != 0) {
      value.remove_suffix(1);
    }
    transfer->received_headers_.emplace(std::move(name), value);
    return size * count;
  }

  HttpClient* const client_;
  const std::string url_;
  CURL* easy_ = nullptr;
  CURLM* multi_ = nullptr;
  curl_slist* headers_ = nullptr;
  char error_[CURL_ERROR_SIZE] = {};
  std::map<std::string, std::string> received_headers_;
  size_t header_bytes_ = 0;
  std::string buffer_;  // received, not yet handed out
  std::string handed_;  // what the last Next() returned
  int status_ = 0;
  bool done_ = false;
  bool paused_ = false;
  CURLcode result_ = CURLE_OK;
  SteadyClock::duration waited_{};  // in the current window
  size_t window_bytes_ = 0;
};

HttpClient::HttpClient(const Options& options) : options_(options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  SLACKER_CHECK(ready == CURLE_OK, "libcurl starts");
}

HttpClient::~HttpClient() {
  MutexLock lock(&mutex_);
  for (void* multi : idle_) (void)curl_multi_cleanup(static_cast<CURLM*>(multi));
}

void* HttpClient::TakeConnections() {
  {
    MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      void* multi = idle_.back();
      idle_.pop_back();
      return multi;
    }
  }
  CURLM* multi = curl_multi_init();
  SLACKER_CHECK(multi != nullptr, "out of memory");
  return multi;
}

void HttpClient::ReturnConnections(void* multi) {
  {
    MutexLock lock(&mutex_);
    if (idle_.size() < kMaxIdle) {
      idle_.push_back(multi);
      return;
    }
  }
  (void)curl_multi_cleanup(static_cast<CURLM*>(multi));
}

absl::StatusOr<std::unique_ptr<HttpResponse>> HttpClient::Get(
    const std::string& url, const std::vector<std::string>& headers) {
  auto transfer = std::make_unique<Transfer>(this, url);
  RETURN_IF_ERROR(transfer->Start(headers));
  return std::unique_ptr<HttpResponse>(std::move(transfer));
}

}  // namespace slacker
