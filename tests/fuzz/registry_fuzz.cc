// What a registry, its configuration and archives say: hosts.toml, config.json, challenges, tokens,
// indexes, manifests, configurations. The first byte chooses.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "backend/base/check.h"
#include "backend/registry/credentials.h"
#include "backend/registry/registry_auth.h"
#include "backend/registry/registry_hosts.h"
#include "backend/source/docker_archive.h"
#include "backend/source/oci_documents.h"
#include "backend/source/start_command.h"

namespace {

bool IsOneLine(const std::string& text) {
  return text.find_first_of(std::string("\r\n\0", 3)) == std::string::npos;
}

void ReadHosts(std::string_view text) {
  const auto hosts = slacker::ParseHostsToml(text, "/d", "r.x");
  if (!hosts.ok()) return;
  SLACKER_CHECK(!hosts->empty(), "there is always the server");
  for (const slacker::RegistryHost& host : *hosts) {
    SLACKER_CHECK(host.url.starts_with("http") && IsOneLine(host.url), "a URL");
    for (const std::string& header : host.headers) SLACKER_CHECK(IsOneLine(header), "a header");
  }
}

void ReadAnswers(std::string_view text) {
  if (const auto challenge = slacker::ParseChallenge(text); challenge.ok()) {
    SLACKER_CHECK(IsOneLine(slacker::TokenUrl(*challenge)), "a URL");
    (void)slacker::RefreshForm(*challenge, "token");
  }
  if (const auto token = slacker::ParseToken(text); token.ok()) {
    SLACKER_CHECK(slacker::IsHeaderSafe(*token), "a token fits into a header");
  }
}

void ReadDocuments(std::string_view text) {
  (void)slacker::ClassifyDocument(text, "");
  (void)slacker::ParseIndex(text);
  (void)slacker::ParseManifest(text);
  (void)slacker::ParseConfig(text);
  (void)slacker::ParseStartCommand(text);
  (void)slacker::ParseDockerArchiveManifest(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      ReadHosts(text);
      break;
    case 1:
      (void)slacker::ParseCredentialFile(text, "r.x", "team/app");
      break;
    case 2:
      ReadAnswers(text);
      break;
    default:
      ReadDocuments(text);
  }
  return 0;
}
