// HTTP over libcurl, answers as streams.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/layer/tar_reader.h"

namespace slacker {

// One answer. Next() yields the body in the pace of its reader, with at most about 1 MiB buffered;
// UNAVAILABLE when the connection breaks before the body is complete, DEADLINE_EXCEEDED when too
// little arrives (see HttpClient). Thread-compatible. Destroying it ends the transfer.
class HttpResponse : public ByteSource {
 public:
  virtual int status() const = 0;
  // A header of the final answer by its lower-case name; empty if missing. Of one that occurs
  // several times, all values, one a line.
  virtual std::string Header(std::string_view name) const = 0;
};

// What a request sends: bytes [offset, size_bytes), asked for in order, at least one at a time.
struct HttpBody {
  uint64_t size_bytes = 0;
  std::function<absl::StatusOr<std::string>(uint64_t offset)> read;
};

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers = {};  // whole lines ("Accept: x")
  // Sent to the origin (scheme, host and port) of `url` only, whatever it redirects to.
  std::vector<std::string> private_headers = {};
  // With a value: POST of this form (application/x-www-form-urlencoded); else GET.
  std::optional<std::string> form = std::nullopt;
  // "HEAD", "POST", "PUT", "PATCH"; empty = as above.
  std::string method = {};
  // Of another origin than the one that the client's TlsOptions are meant for: our certificate is not
  // shown, and `skip_verify` does not count.
  bool foreign = false;
  std::optional<HttpBody> body = std::nullopt;  // with the last three; none = an empty one
};

// Whom to believe, and what to show, when https is spoken.
struct TlsOptions {
  std::vector<std::string> ca_files = {};  // PEM; beside the system's authorities
  // PEM; shown to the origin of a request's URL only. The key may be in the certificate's file.
  std::string client_certificate_file = {};
  std::string client_key_file = {};
  bool skip_verify = false;  // believe every server
};

class HttpConnections;

// Follows up to ten redirects of a GET or HEAD, never from https to http. Thread-safe; must outlive its
// responses.
class HttpClient {
 public:
  struct Options {
    std::chrono::milliseconds connect_timeout{10'000};
    // Within this long, waiting time only, at least 16 KiB must arrive (or the answer's end).
    std::chrono::milliseconds stall_timeout{30'000};
    TlsOptions tls = {};
  };
  // INVALID_ARGUMENT: a certificate file is missing, or is not PEM.
  static absl::StatusOr<std::unique_ptr<HttpClient>> Open(const Options& options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Returns when the final answer's headers are there, whatever its status. UNAVAILABLE,
  // DEADLINE_EXCEEDED: no answer, or fewer than 16 KiB of the body taken within the stall timeout;
  // what `body.read` answered; PERMISSION_DENIED: the host's certificate is not trusted, or ours
  // is not; INVALID_ARGUMENT: bad URL or redirect.
  absl::StatusOr<std::unique_ptr<HttpResponse>> Send(const HttpRequest& request);

  // Ends what is under way, within a second, and all that would begin later: CANCELLED.
  void Cancel() { cancelled_ = true; }

 private:
  HttpClient(const Options& options, std::string authorities);

  const Options options_;
  const std::string authorities_;  // the content of ca_files
  const std::unique_ptr<HttpConnections> connections_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace slacker
