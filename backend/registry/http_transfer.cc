#include "backend/registry/http_transfer.h"

#include <algorithm>
#include <cctype>
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

int PollMillis(SteadyClock::duration left) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(left).count() + 1;
  return static_cast<int>(std::clamp<int64_t>(millis, 1, 1000));
}

}  // namespace

HttpConnections::~HttpConnections() {
  MutexLock lock(&mutex_);
  for (CURLM* multi : idle_) (void)curl_multi_cleanup(multi);
}

CURLM* HttpConnections::Take() {
  {
    MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      CURLM* multi = idle_.back();
      idle_.pop_back();
      return multi;
    }
  }
  CURLM* multi = curl_multi_init();
  SLACKER_CHECK(multi != nullptr, "out of memory");
  return multi;
}

void HttpConnections::Return(CURLM* multi) {
  {
    MutexLock lock(&mutex_);
    if (idle_.size() < kMaxIdle) {
      idle_.push_back(multi);
      return;
    }
  }
  (void)curl_multi_cleanup(multi);
}

HttpTransfer::HttpTransfer(const Context& context, std::string url, UrlOrigin origin, bool own)
    : context_(context), url_(std::move(url)), origin_(std::move(origin)), own_(own) {}

HttpTransfer::~HttpTransfer() {
  if (multi_ != nullptr) {
    (void)curl_multi_remove_handle(multi_, easy_);
    context_.connections->Return(multi_);
  }
  curl_easy_cleanup(easy_);
  curl_slist_free_all(headers_);
}

template <typename T>
void HttpTransfer::Set(CURLoption option, T value) {
  const CURLcode code = curl_easy_setopt(easy_, option, value);
  SLACKER_CHECK(code == CURLE_OK, "libcurl knows every option that we set");
}

absl::Status HttpTransfer::Start(const HttpRequest& request) {
  easy_ = curl_easy_init();
  SLACKER_CHECK(easy_ != nullptr, "out of memory");
  AddHeaders(request.headers);
  if (own_) AddHeaders(request.private_headers);
  SetOptions();
  SetTls(request.foreign);
  if (request.form.has_value()) {
    Set(CURLOPT_POSTFIELDSIZE, static_cast<long>(request.form->size()));
    Set(CURLOPT_COPYPOSTFIELDS, request.form->c_str());
  }
  if (!request.method.empty()) SetMethod(request);
  multi_ = context_.connections->Take();
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

std::string HttpTransfer::Header(std::string_view name) const {
  const auto it = received_headers_.find(std::string(name));
  return it == received_headers_.end() ? std::string() : it->second;
}

absl::StatusOr<std::string_view> HttpTransfer::Next() {
  handed_.clear();
  if (buffer_.empty() && !done_) RETURN_IF_ERROR(Pump());
  std::swap(handed_, buffer_);
  if (handed_.empty() && result_ != CURLE_OK) return Failure();
  return std::string_view(handed_);
}

void HttpTransfer::AddHeaders(const std::vector<std::string>& headers) {
  for (const std::string& header : headers) {
    headers_ = curl_slist_append(headers_, header.c_str());
    SLACKER_CHECK(headers_ != nullptr, "out of memory");
  }
}

void HttpTransfer::SetOptions() {
  Set(CURLOPT_URL, url_.c_str());
  Set(CURLOPT_HTTPHEADER, headers_);
  Set(CURLOPT_USERAGENT, "slacker/" SLACKER_VERSION);
  Set(CURLOPT_NOSIGNAL, 1L);
  Set(CURLOPT_PROTOCOLS_STR, origin_.scheme.c_str());
  // Redirects are followed by Send: libcurl would take all headers along.
  Set(CURLOPT_FOLLOWLOCATION, 0L);
  Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(context_.options->connect_timeout.count()));
  Set(CURLOPT_BUFFERSIZE, 512L << 10);
  Set(CURLOPT_ERRORBUFFER, error_);
  Set(CURLOPT_WRITEFUNCTION, &HttpTransfer::OnBody);
  Set(CURLOPT_WRITEDATA, this);
  Set(CURLOPT_HEADERFUNCTION, &HttpTransfer::OnHeader);
  Set(CURLOPT_HEADERDATA, this);
  if (IsLoopbackHost(origin_.host)) Set(CURLOPT_PROXY, "");
}

void HttpTransfer::SetMethod(const HttpRequest& request) {
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
  Set(CURLOPT_SEEKFUNCTION, &HttpTransfer::OnSeek);
  Set(CURLOPT_SEEKDATA, this);
  Set(CURLOPT_READFUNCTION, &HttpTransfer::OnUpload);
  Set(CURLOPT_READDATA, this);
}

void HttpTransfer::SetTls(bool foreign) {
  const TlsOptions& tls = context_.options->tls;
  if (!context_.authorities->empty()) {
    // In place of the system's file of authorities; its directory of them still counts.
    curl_blob blob{const_cast<char*>(context_.authorities->data()), context_.authorities->size(),
                   CURL_BLOB_NOCOPY};
    Set(CURLOPT_CAINFO_BLOB, &blob);
  }
  if (foreign) return;
  if (tls.skip_verify) {
    Set(CURLOPT_SSL_VERIFYPEER, 0L);
    Set(CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!own_ || tls.client_certificate_file.empty()) return;
  Set(CURLOPT_SSLCERT, tls.client_certificate_file.c_str());
  Set(CURLOPT_SSLKEY,
      (tls.client_key_file.empty() ? tls.client_certificate_file : tls.client_key_file).c_str());
}

absl::Status HttpTransfer::Pump() {
  if (paused_) {
    paused_ = false;
    (void)curl_easy_pause(easy_, CURLPAUSE_CONT);  // a failure shows in the transfer's result
  }
  const SteadyClock::duration stall = context_.options->stall_timeout;
  while (buffer_.empty() && !done_) {
    if (*context_.cancelled) return Cancelled(url_ + ": nobody wants it any more");
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
                              std::to_string(context_.options->stall_timeout.count()) + " ms)");
    }
    waited_ = {};
    window_bytes_ = 0;
  }
  return absl::OkStatus();
}

void HttpTransfer::TakeResult() {
  int queued = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
    if (message->msg != CURLMSG_DONE) continue;
    done_ = true;
    result_ = message->data.result;
  }
}

absl::Status HttpTransfer::Failure() const {
  return upload_error_.ok() ? TransferError(result_, url_, error_) : upload_error_;
}

size_t HttpTransfer::OnUpload(char* out, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<HttpTransfer*>(self);
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
int HttpTransfer::OnSeek(void* self, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  auto* transfer = static_cast<HttpTransfer*>(self);
  transfer->upload_.clear();
  transfer->uploaded_ = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

size_t HttpTransfer::OnBody(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<HttpTransfer*>(self);
  if (transfer->buffer_.size() >= kBufferBytes) {
    transfer->paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  transfer->buffer_.append(data, size * count);
  transfer->window_bytes_ += size * count;
  return size * count;
}

size_t HttpTransfer::OnHeader(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<HttpTransfer*>(self);
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

}  // namespace slacker
