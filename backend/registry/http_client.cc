#include "backend/registry/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/image_reference.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kBufferBytes = 1 << 20;
constexpr size_t kMinWindowBytes = 16 << 10;
constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr size_t kMaxIdle = 4;
constexpr int kMaxRedirects = 10;

// What OpenSSL says when the server does not take our certificate, or wants one.
bool IsRefusalOfOurCertificate(std::string_view detail) {
  if (detail.find("alert") == std::string_view::npos) return false;
  return detail.find("certificate") != std::string_view::npos ||
         detail.find("unknown ca") != std::string_view::npos ||
         detail.find("handshake failure") != std::string_view::npos;
}

absl::Status TransferError(CURLcode code, const std::string& url, const char* detail) {
  const std::string message = url + ": " + (*detail != '\0' ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return DeadlineExceeded(message);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return PermissionDenied(message);
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return InvalidArgument(message);
    default:
      return IsRefusalOfOurCertificate(detail) ? PermissionDenied(message) : Unavailable(message);
  }
}

struct CurlFree {
  void operator()(char* text) const { curl_free(text); }
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using CurlUrl = std::unique_ptr<CURLU, CurlFree>;

std::string UrlPart(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  return std::unique_ptr<char, CurlFree>(text).get();
}

struct Origin {
  std::string scheme, host, port;
  bool operator==(const Origin&) const = default;
};

// `url`, relative to `base` if that is not empty; its origin.
absl::StatusOr<std::string> ResolveUrl(const std::string& base, const std::string& url,
                                       Origin* origin) {
  const CurlUrl handle(curl_url());
  SLACKER_CHECK(handle != nullptr, "out of memory");
  CURLUcode code = CURLUE_OK;
  if (!base.empty()) code = curl_url_set(handle.get(), CURLUPART_URL, base.c_str(), 0);
  if (code == CURLUE_OK) {
    code = curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME);
  }
  origin->scheme = UrlPart(handle.get(), CURLUPART_SCHEME);
  origin->host = UrlPart(handle.get(), CURLUPART_HOST);
  origin->port = UrlPart(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  std::transform(origin->host.begin(), origin->host.end(), origin->host.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (code != CURLUE_OK || origin->host.empty() ||
      (origin->scheme != "http" && origin->scheme != "https")) {
    return InvalidArgument("bad URL \"" + url.substr(0, 200) + "\"");
  }
  return UrlPart(handle.get(), CURLUPART_URL);
}

absl::StatusOr<std::string> ReadPem(const std::string& path, std::string_view what) {
  constexpr std::streamsize kMaxPemBytes = 1 << 20;
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(kMaxPemBytes), '\0');
  if (!file) return InvalidArgument(std::string(what) + " " + path + " cannot be read");
  file.read(text.data(), kMaxPemBytes);
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.find("-----BEGIN ") == std::string::npos) {
    return InvalidArgument(std::string(what) + " " + path + " is not PEM");
  }
  return text;
}

}  // namespace

class HttpClient::Transfer final : public HttpResponse {
 public:
  // `own`: the URL has the origin of the request, so that it may see our certificate.
  Transfer(HttpClient* client, std::string url, Origin origin, bool own)
      : client_(client), url_(std::move(url)), origin_(std::move(origin)), own_(own) {}
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

  absl::Status Start(const HttpRequest& request) {
    easy_ = curl_easy_init();
    SLACKER_CHECK(easy_ != nullptr, "out of memory");
    AddHeaders(request.headers);
    if (own_) AddHeaders(request.private_headers);
    SetOptions();
    SetTls();
    if (request.form.has_value()) {
      Set(CURLOPT_POSTFIELDSIZE, static_cast<long>(request.form->size()));
      Set(CURLOPT_COPYPOSTFIELDS, request.form->c_str());
    }
    if (!request.method.empty()) SetMethod(request);
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
  void AddHeaders(const std::vector<std::string>& headers) {
    for (const std::string& header : headers) {
      headers_ = curl_slist_append(headers_, header.c_str());
      SLACKER_CHECK(headers_ != nullptr, "out of memory");
    }
  }

  template <typename T>
  void Set(CURLoption option, T value) {
    const CURLcode code = curl_easy_setopt(easy_, option, value);
    SLACKER_CHECK(code == CURLE_OK, "libcurl knows every option that we set");
  }

  void SetOptions() {
    Set(CURLOPT_URL, url_.c_str());
    Set(CURLOPT_HTTPHEADER, headers_);
    Set(CURLOPT_USERAGENT, "slacker/" SLACKER_VERSION);
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_PROTOCOLS_STR, origin_.scheme.c_str());
    // Redirects are followed by Send: libcurl would take all headers along.
    Set(CURLOPT_FOLLOWLOCATION, 0L);
    Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(client_->options_.connect_timeout.count()));
    Set(CURLOPT_BUFFERSIZE, 512L << 10);
    Set(CURLOPT_ERRORBUFFER, error_);
    Set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
    Set(CURLOPT_WRITEDATA, this);
    Set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
    Set(CURLOPT_HEADERDATA, this);
    if (IsLoopbackHost(origin_.host)) Set(CURLOPT_PROXY, "");
  }

  void SetMethod(const HttpRequest& request) {
    if (request.method == "HEAD") {
      Set(CURLOPT_NOBODY, 1L);
      return;
    }
    Set(CURLOPT_UPLOAD, 1L);
    Set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    // On a kept connection that ends without an answer curl would send the request again by itself; a
    // piece that the server has taken must not be sent twice.
    if (request.method == "PATCH") Set(CURLOPT_FRESH_CONNECT, 1L);
    body_ = request.body.value_or(HttpBody());
    Set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body_.size_bytes));
    Set(CURLOPT_SEEKFUNCTION, &Transfer::OnSeek);
    Set(CURLOPT_SEEKDATA, this);
    Set(CURLOPT_READFUNCTION, &Transfer::OnUpload);
    Set(CURLOPT_READDATA, this);
  }

  void SetTls() {
    const TlsOptions& tls = client_->options_.tls;
    if (!client_->authorities_.empty()) {
      // In place of the system's file of authorities; its directory of them still counts.
      curl_blob blob{const_cast<char*>(client_->authorities_.data()), client_->authorities_.size(),
                     CURL_BLOB_NOCOPY};
      Set(CURLOPT_CAINFO_BLOB, &blob);
    }
    if (tls.skip_verify) {
      Set(CURLOPT_SSL_VERIFYPEER, 0L);
      Set(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!own_ || tls.client_certificate_file.empty()) return;
    Set(CURLOPT_SSLCERT, tls.client_certificate_file.c_str());
    Set(CURLOPT_SSLKEY,
        (tls.client_key_file.empty() ? tls.client_certificate_file : tls.client_key_file).c_str());
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
        return DeadlineExceeded(url_ + ": the server stalls (fewer than 16 KiB within " +
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

  absl::Status Failure() const {
    return upload_error_.ok() ? TransferError(result_, url_, error_) : upload_error_;
  }

  static size_t OnUpload(char* out, size_t size, size_t count, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    if (transfer->upload_.empty() && transfer->uploaded_ < transfer->body_.size_bytes) {
      absl::StatusOr<std::string> bytes = transfer->body_.read(transfer->uploaded_);
      if (!bytes.ok()) {
        transfer->upload_error_ = bytes.status();
        return CURL_READFUNC_ABORT;
      }
      transfer->upload_ = *std::move(bytes);
    }
    const size_t now = std::min(transfer->upload_.size(), size * count);
    std::copy_n(transfer->upload_.data(), now, out);
    transfer->upload_.erase(0, now);
    transfer->uploaded_ += now;
    transfer->window_bytes_ += now;
    return now;
  }

  // A kept connection was found closed, and the request is sent again on another.
  static int OnSeek(void* self, curl_off_t offset, int origin) {
    if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
    auto* transfer = static_cast<Transfer*>(self);
    transfer->upload_.clear();
    transfer->uploaded_ = static_cast<uint64_t>(offset);
    return CURL_SEEKFUNC_OK;
  }

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
    if (line.starts_with("HTTP/")) {  // the answer after an interim one
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
    std::string& all = transfer->received_headers_[std::move(name)];
    all += (all.empty() ? "" : "\n") + std::string(value);
    return size * count;
  }

  HttpClient* const client_;
  const std::string url_;
  const Origin origin_;
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
  SteadyClock::duration waited_{};  // in the current window
  size_t window_bytes_ = 0;
};

HttpClient::HttpClient(const Options& options, std::string authorities)
    : options_(options), authorities_(std::move(authorities)) {}

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Open(const Options& options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  SLACKER_CHECK(ready == CURLE_OK, "libcurl starts");
  std::string authorities;
  for (const std::string& path : options.tls.ca_files) {
    ASSIGN_OR_RETURN(const std::string pem, ReadPem(path, "the certificate authority"));
    authorities += pem + "\n";
  }
  for (const std::string& path :
       {options.tls.client_certificate_file, options.tls.client_key_file}) {
    if (!path.empty()) RETURN_IF_ERROR(ReadPem(path, "the client certificate").status());
  }
  return std::unique_ptr<HttpClient>(new HttpClient(options, std::move(authorities)));
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

int64_t HttpDate(const std::string& text) {
  return std::max<int64_t>(curl_getdate(text.c_str(), nullptr), 0);
}

absl::StatusOr<std::string> ResolveLocation(const std::string& base, const std::string& location) {
  Origin origin;
  return ResolveUrl(base, location, &origin);
}

bool SameOrigin(const std::string& a, const std::string& b) {
  Origin first, second;
  return ResolveUrl("", a, &first).ok() && ResolveUrl("", b, &second).ok() && first == second;
}

absl::StatusOr<std::unique_ptr<HttpResponse>> HttpClient::Send(const HttpRequest& request) {
  Origin first;
  ASSIGN_OR_RETURN(std::string url, ResolveUrl("", request.url, &first));
  Origin origin = first;
  for (int redirects = 0;; ++redirects) {
    auto transfer = std::make_unique<Transfer>(this, url, origin, origin == first);
    RETURN_IF_ERROR(transfer->Start(request));
    const std::string location = transfer->Header("location");
    const int status = transfer->status();
    const bool redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    if (!redirect || location.empty() || request.form.has_value() || !request.method.empty()) {
      return std::unique_ptr<HttpResponse>(std::move(transfer));
    }
    if (redirects == kMaxRedirects) return InvalidArgument(request.url + ": too many redirects");
    const bool secure = origin.scheme == "https";
    absl::StatusOr<std::string> next = ResolveUrl(url, location, &origin);
    if (!next.ok()) return Annotate(next.status(), request.url + ": redirect");
    if (secure && origin.scheme != "https") {
      return InvalidArgument(request.url + ": redirect from https to " + origin.host +
                             " without encryption");
    }
    url = *std::move(next);
  }
}

}  // namespace slacker
