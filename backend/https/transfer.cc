#include "backend/https/transfer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/https/https_url.h"
#include "backend/https/token_file.h"

namespace slacker::https {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxTries = 3;
constexpr int kMaxRedirects = 5;

milliseconds TimeFor(const HttpsOptions& options, uint64_t size) {
  return options.deadline + milliseconds(size * 1000 / options.min_bytes_per_second);
}

// The kernel gives up a connection whose peer is gone without a word; otherwise requests would be
// put on it for many minutes.
int OnSocket(void* /*self*/, curl_socket_t socket, curlsocktype /*purpose*/) {
  const int millis = 15'000;
  (void)setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &millis, sizeof millis);
  return CURL_SOCKOPT_OK;
}

bool IsBrokenConnection(CURLcode code) {
  switch (code) {
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

}  // namespace

Transfer::Transfer(const HttpsOptions* options, Request request)
    : options_(options),
      request_(std::move(request)),
      deadline_(std::chrono::steady_clock::now() + TimeFor(*options, request_.size)),
      url_(request_.url) {}

Transfer::~Transfer() {
  curl_easy_cleanup(easy_);
  curl_slist_free_all(headers_);
}

template <typename T>
void Transfer::Set(CURLoption option, T value) {
  const CURLcode code = curl_easy_setopt(easy_, option, value);
  SLACKER_CHECK(code == CURLE_OK, "libcurl knows every option that we set");
}

absl::StatusOr<CURL*> Transfer::Prepare() {
  const auto left =
      std::chrono::duration_cast<milliseconds>(deadline_ - std::chrono::steady_clock::now());
  if (left.count() <= 0) return Unavailable("GET " + url_ + ": no answer in time");
  // A new one: libcurl 7.88 leaves buffers in those whose connection broke, and refuses options then.
  curl_easy_cleanup(std::exchange(easy_, curl_easy_init()));
  SLACKER_CHECK(easy_ != nullptr, "out of memory");
  answer_.emplace(request_.offset, request_.size);
  error_[0] = '\0';
  Set(CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
  Set(CURLOPT_URL, url_.c_str());
  Set(CURLOPT_PRIVATE, this);
  if (request_.size == 0) Set(CURLOPT_NOBODY, 1L);
  SetConnection();
  RETURN_IF_ERROR(SetHeaders());
  Set(CURLOPT_ERRORBUFFER, error_);
  Set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  Set(CURLOPT_WRITEDATA, this);
  Set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  Set(CURLOPT_HEADERDATA, this);
  return easy_;
}

void Transfer::SetConnection() {
  const bool secure = url_.starts_with("https://");
  Set(CURLOPT_NOSIGNAL, 1L);
  Set(CURLOPT_PROTOCOLS_STR, secure ? "https" : "http");
  Set(CURLOPT_FOLLOWLOCATION, 0L);  // Redirected() decides
  Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  Set(CURLOPT_PIPEWAIT, 1L);  // rather one connection of HTTP/2 than one for each request
  Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_->connect_timeout.count()));
  Set(CURLOPT_BUFFERSIZE, 256L << 10);
  Set(CURLOPT_SOCKOPTFUNCTION, &OnSocket);
  Set(CURLOPT_TCP_KEEPALIVE, 1L);
  Set(CURLOPT_TCP_KEEPIDLE, 10L);
  Set(CURLOPT_TCP_KEEPINTVL, 5L);
  const size_t host = url_.find("://") + 3;
  if (IsLoopbackHost(std::string_view(url_).substr(host, url_.find('/', host) - host))) {
    Set(CURLOPT_PROXY, "");
  }
  if (!options_->ca_file.empty()) Set(CURLOPT_CAINFO, options_->ca_file.c_str());
  if (own_host_ && !options_->client_certificate.empty()) {
    Set(CURLOPT_SSLCERT, options_->client_certificate.c_str());
    Set(CURLOPT_SSLKEY, options_->client_key.c_str());
  }
}

absl::Status Transfer::SetHeaders() {
  curl_slist_free_all(std::exchange(headers_, nullptr));
  const auto add = [this](const std::string& line) {
    headers_ = curl_slist_append(headers_, line.c_str());
    SLACKER_CHECK(headers_ != nullptr, "out of memory");
  };
  add("Accept-Encoding: identity");
  if (request_.revalidate) add("Cache-Control: no-cache");
  if (request_.size > 0) {
    add("Range: bytes=" + std::to_string(request_.offset) + "-" +
        std::to_string(request_.offset + request_.size - 1));
  }
  if (own_host_ && !options_->token_file.empty()) {
    ASSIGN_OR_RETURN(const std::string token, ReadToken(options_->token_file));
    add("Authorization: Bearer " + token);
  }
  Set(CURLOPT_HTTPHEADER, headers_);
  Set(CURLOPT_USERAGENT, "slacker/" SLACKER_VERSION);
  return absl::OkStatus();
}

std::optional<absl::StatusOr<Reply>> Transfer::Ended(CURLcode code) {
  if (code != CURLE_OK && !answer_->complete()) {
    if (IsBrokenConnection(code) && ++tries_ < kMaxTries) return std::nullopt;
    return TransportError(code);
  }
  if (const int status = answer_->status(); status >= 301 && status <= 308 && status != 304) {
    return Redirected();
  }
  const std::string what = "GET " + url_;
  Reply reply;
  if (request_.size == 0) {
    const absl::StatusOr<ObjectInfo> info = answer_->Info();
    if (!info.ok()) return Annotate(info.status(), what);
    reply.info = *info;
  } else {
    absl::StatusOr<std::string> bytes = answer_->TakeBytes();
    if (!bytes.ok()) return Annotate(bytes.status(), what);
    reply.bytes = *std::move(bytes);
  }
  return reply;
}

std::optional<absl::StatusOr<Reply>> Transfer::Redirected() {
  char* location = nullptr;
  (void)curl_easy_getinfo(easy_, CURLINFO_REDIRECT_URL, &location);
  const std::string target = location == nullptr ? "" : location;
  switch (JudgeRedirect(url_, target)) {
    case Redirect::kDirectory:
      return NotFound("GET " + url_ + ": is a directory");
    case Redirect::kRefuse:
      return Internal("GET " + url_ + ": not followed to \"" + target.substr(0, 200) + "\"");
    case Redirect::kFollow:
      own_host_ = false;
      break;
    case Redirect::kFollowWithinHost:
      break;
  }
  if (++redirects_ > kMaxRedirects) return Internal("GET " + url_ + ": too many redirects");
  url_ = target;
  return std::nullopt;
}

absl::Status Transfer::TransportError(CURLcode code) const {
  const std::string message =
      "GET " + url_ + ": " + (error_[0] != '\0' ? error_ : curl_easy_strerror(code));
  switch (code) {
    case CURLE_WRITE_ERROR:  // too long a head: the only one that Answer ends without completing
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_OUT_OF_MEMORY:
      return Internal(message);
    default:
      return Unavailable(message);
  }
}

size_t Transfer::OnHeader(char* data, size_t size, size_t count, void* self) {
  const std::string_view line(data, size * count);
  return static_cast<Transfer*>(self)->answer_->OnHeader(line) ? line.size() : 0;
}

size_t Transfer::OnBody(char* data, size_t size, size_t count, void* self) {
  const std::string_view piece(data, size * count);
  return static_cast<Transfer*>(self)->answer_->OnBody(piece) ? piece.size() : 0;
}

}  // namespace slacker::https
