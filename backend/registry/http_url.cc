#include "backend/registry/http_url.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "backend/base/check.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

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

}  // namespace

absl::StatusOr<std::string> ResolveUrl(const std::string& base, const std::string& url,
                                       UrlOrigin* origin) {
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

int64_t HttpDate(const std::string& text) {
  return std::max<int64_t>(curl_getdate(text.c_str(), nullptr), 0);
}

absl::StatusOr<std::string> ResolveLocation(const std::string& base, const std::string& location) {
  UrlOrigin origin;
  return ResolveUrl(base, location, &origin);
}

bool SameOrigin(const std::string& a, const std::string& b) {
  UrlOrigin first, second;
  return ResolveUrl("", a, &first).ok() && ResolveUrl("", b, &second).ok() && first == second;
}

}  // namespace slacker
