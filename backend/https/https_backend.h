// A store behind a web server: read-only. The object a/b/c is the file URL/a/b/c; any server, cache
// or object store that serves files with ranges will do.
//
// Requests. GET with Range for reads, HEAD for Stat and for reads of nothing; HTTP/2 where the
// server offers it, else HTTP/1.1 over connections that are kept. At most options.max_transfers are
// under way, others wait for their turn; each has a deadline from then on. What may be replaced in
// a store (everything but records/, tars/ and packs/) is asked for with "Cache-Control: no-cache",
// so that caches between revalidate it; the rest may come from any cache.
//
// Trust. The server's certificate is checked; plain http is for loopback addresses only. Redirects
// are followed to https only, up to five times, and token and client certificate are never shown to
// another host or port than the URL's. An answer is believed only if it fits the question
// (backend/https/answer.h). What it says is verified by whoever reads it, as everywhere.
//
// Errors: those of backend.h. UNAVAILABLE is also a refused connection, a certificate that is not
// trusted, a deadline, 5xx, 429, a body that is cut short; NOT_FOUND: 404, 410 and directories;
// PERMISSION_DENIED: 400, 401, 403; INTERNAL: answers that make no sense. A connection that breaks
// is tried again twice at once; everything else is for the caller to try again.
//
// Thread-safe. One thread of its own for all transfers, TransferLoop::kCallbackThreads for the
// callbacks. The destructor ends what is under way: it gets UNAVAILABLE.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "backend/https/https_options.h"
#include "backend/https/https_url.h"
#include "backend/https/transfer_loop.h"

namespace slacker {

class HttpsBackend final : public ReadBackend {
 public:
  // Whether `url` is one that Open takes (https_url.h).
  static absl::Status CheckUrl(std::string_view url);
  // INVALID_ARGUMENT: a bad URL, or a certificate without its key or the other way round; the
  // errors of ErrnoError: a file of `options` that cannot be read; RESOURCE_EXHAUSTED: there are no threads for it. Does not
  // ask the server.
  static absl::StatusOr<std::unique_ptr<HttpsBackend>> Open(std::string_view url,
                                                            HttpsOptions options);

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size, ReadCallback done) override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override;
  std::string Url() const override { return url_.ToString(); }

 private:
  HttpsBackend(https::Url url, std::unique_ptr<https::TransferLoop> loop);
  https::Request MakeRequest(std::string_view name) const;

  const https::Url url_;
  const std::unique_ptr<https::TransferLoop> loop_;
};

}  // namespace slacker
