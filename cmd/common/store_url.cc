#include "cmd/common/store_url.h"

#include <unistd.h>

#include <string>

#include "backend/base/status.h"
#include "backend/https/https_backend.h"
#include "backend/loopback/loopback_backend.h"
#include "backend/memory/memory_backend.h"
#include "backend/nfs/nfs_backend.h"
#include "backend/nfs/target.h"
#include "cmd/common/hint.h"

namespace slacker {
namespace {

using Opened = absl::StatusOr<std::shared_ptr<Backend>>;

absl::Status CheckLoopback(std::string_view rest) {
  if (rest.empty() || rest[0] != '/') return InvalidArgument("the path must be absolute");
  if (rest.find('\0') != std::string_view::npos) return InvalidArgument("there is a NUL in it");
  return absl::OkStatus();
}

Opened OpenLoopback(std::string_view rest, MissingStore missing) {
  // Publishing would mix with a node's state, and fsck would move that aside. Nodes check for
  // themselves: they must not wait for a store that hangs.
  if (missing != MissingStore::kAllow &&
      access((std::string(rest) + "/slacker.db").c_str(), F_OK) == 0) {
    return FailedPrecondition(std::string(rest) +
                              " is a root of slackerd (it has a slacker.db), and no store");
  }
  ASSIGN_OR_RETURN(auto backend, LoopbackBackend::Open(std::string(rest), missing));
  return std::shared_ptr<Backend>(std::move(backend));
}

absl::Status CheckMemory(std::string_view rest) {
  return rest.empty() ? absl::OkStatus() : InvalidArgument("nothing may follow \"memory:\"");
}

Opened OpenMemory(std::string_view /*rest*/, MissingStore /*missing*/) {
  return std::shared_ptr<Backend>(std::make_shared<MemoryBackend>());
}

absl::Status CheckHttps(std::string_view rest) {
  return HttpsBackend::CheckUrl("https:" + std::string(rest));
}

absl::Status CheckHttp(std::string_view rest) {
  return HttpsBackend::CheckUrl("http:" + std::string(rest));
}

absl::Status CheckNfs(std::string_view rest) {
  return ParseNfsUrl("nfs:" + std::string(rest)).status();
}

Opened OpenNfs(std::string_view rest, MissingStore missing) {
  ASSIGN_OR_RETURN(const NfsTarget target, ParseNfsUrl("nfs:" + std::string(rest)));
  ASSIGN_OR_RETURN(auto backend, NfsBackend::Open(target, missing));
  return std::shared_ptr<Backend>(std::move(backend));
}

struct Scheme {
  std::string_view name;
  absl::Status (*check)(std::string_view rest);
  Opened (*open)(std::string_view rest, MissingStore missing);  // null: can only be read
};

constexpr Scheme kSchemes[] = {
    {"loopback", CheckLoopback, OpenLoopback},
    {"memory", CheckMemory, OpenMemory},
    {"nfs", CheckNfs, OpenNfs},
    {"https", CheckHttps, nullptr},
    {"http", CheckHttp, nullptr},
};

struct Parsed {
  const Scheme* scheme;
  std::string_view rest;
};

absl::StatusOr<Parsed> Parse(std::string_view url) {
  const size_t colon = url.find(':');
  for (const Scheme& scheme : kSchemes) {
    if (colon == std::string_view::npos || url.substr(0, colon) != scheme.name) continue;
    const std::string_view rest = url.substr(colon + 1);
    if (absl::Status status = scheme.check(rest); !status.ok()) {
      return Annotate(status, "store URL \"" + std::string(url) + "\"");
    }
    return Parsed{&scheme, rest};
  }
  return InvalidArgument("store URL \"" + std::string(url) +
                         "\": must be loopback:/ABSOLUTE/PATH, nfs://HOST[:PORT]/PATH, "
                         "https://HOST[:PORT][/PATH] or memory:");
}

Opened Open(std::string_view url, MissingStore missing) {
  ASSIGN_OR_RETURN(const Parsed parsed, Parse(url));
  if (parsed.scheme->open == nullptr) {
    return InvalidArgument("a store behind a web server can only be read, and not be listed (" +
                           std::string(url) + "): open it where its server has it");
  }
  Opened opened = parsed.scheme->open(parsed.rest, missing);
  if (opened.ok() || missing != MissingStore::kFail) return opened;
  return WithHint(opened.status(),
                  "see whether this is the right store (--store), and whether it is mounted");
}

}  // namespace

absl::Status ValidateStoreUrl(std::string_view url) { return Parse(url).status(); }

bool CanBeListed(std::string_view url) {
  const absl::StatusOr<Parsed> parsed = Parse(url);
  return !parsed.ok() || parsed->scheme->open != nullptr;
}

absl::StatusOr<std::shared_ptr<Backend>> OpenBackend(std::string_view url) {
  return Open(url, MissingStore::kCreate);
}

absl::StatusOr<std::shared_ptr<Backend>> OpenExistingBackend(std::string_view url) {
  return Open(url, MissingStore::kFail);
}

absl::StatusOr<std::shared_ptr<Backend>> OpenNodeBackend(std::string_view url) {
  return Open(url, MissingStore::kAllow);
}

absl::StatusOr<std::shared_ptr<ReadBackend>> OpenReadBackend(std::string_view url,
                                                             const StoreAccess& access) {
  ASSIGN_OR_RETURN(const Parsed parsed, Parse(url));
  if (parsed.scheme->open == nullptr) {
    ASSIGN_OR_RETURN(auto backend,
                     HttpsBackend::Open(url, {.ca_file = access.ca_file,
                                              .client_certificate = access.client_certificate,
                                              .client_key = access.client_key,
                                              .token_file = access.token_file}));
    return std::shared_ptr<ReadBackend>(std::move(backend));
  }
  ASSIGN_OR_RETURN(std::shared_ptr<Backend> backend,
                   parsed.scheme->open(parsed.rest, MissingStore::kAllow));
  return std::shared_ptr<ReadBackend>(std::move(backend));
}

}  // namespace slacker
