#include "backend/nfs/target.h"

#include <unistd.h>

#include <charconv>
#include <limits>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr std::string_view kScheme = "nfs://";
constexpr uint64_t kMaxPort = 65535;
// Of a component; more than a name of NFS may have.
constexpr size_t kMaxNameBytes = 255;
// A mount path of NFS (MNTPATHLEN).
constexpr size_t kMaxPathBytes = 1024;

absl::StatusOr<uint32_t> Number(std::string_view text, uint64_t minimum, uint64_t maximum) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < minimum ||
      value > maximum) {
    return InvalidArgument("\"" + std::string(text) + "\" is not a number from " +
                           std::to_string(minimum) + " to " + std::to_string(maximum));
  }
  return static_cast<uint32_t>(value);
}

absl::StatusOr<uint16_t> Port(std::string_view text) {
  ASSIGN_OR_RETURN(const uint32_t port, Number(text, 1, kMaxPort));
  return static_cast<uint16_t>(port);
}

absl::Status ParseServer(std::string_view server, NfsTarget* target) {
  size_t colon = server.rfind(':');
  if (!server.empty() && server[0] == '[') {
    const size_t close = server.find(']');
    if (close == std::string_view::npos) return InvalidArgument("a ']' is missing");
    target->host = server.substr(1, close - 1);
    colon = close + 1 < server.size() ? close + 1 : std::string_view::npos;
    if (colon != std::string_view::npos && server[colon] != ':') {
      return InvalidArgument("after ']' comes \":PORT\" or nothing");
    }
  } else {
    target->host = server.substr(0, colon);
    if (target->host.find(':') != std::string::npos) {
      return InvalidArgument("an IPv6 address stands in brackets");
    }
  }
  if (target->host.empty() || target->host.find('\0') != std::string::npos) {
    return InvalidArgument("a host is missing");
  }
  if (colon == std::string_view::npos) return absl::OkStatus();
  ASSIGN_OR_RETURN(target->port, Port(server.substr(colon + 1)));
  target->mount_port = target->port;
  return absl::OkStatus();
}

absl::Status ParsePath(std::string_view path, NfsTarget* target) {
  if (path.size() > kMaxPathBytes) return InvalidArgument("the path is too long");
  if (path.find('\0') != std::string_view::npos) return InvalidArgument("a NUL in the path");
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::string_view name = path.substr(0, path.find('/'));
    if (name.empty() || name == "." || name == ".." || name.size() > kMaxNameBytes) {
      return InvalidArgument("the path has an empty component, \".\", \"..\" or one too long");
    }
    target->path.emplace_back(name);
    path.remove_prefix(name.size());
  }
  return target->path.empty() ? InvalidArgument("the path of an export is missing")
                              : absl::OkStatus();
}

absl::Status ParseOption(std::string_view option, NfsTarget* target) {
  const size_t equals = option.find('=');
  const std::string_view key = option.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
  // libnfs keeps them as int.
  constexpr uint64_t kMaxId = std::numeric_limits<int32_t>::max();
  if (key == "version") {
    ASSIGN_OR_RETURN(const uint32_t version, Number(value, 3, 4));
    target->version = static_cast<int>(version);
  } else if (key == "uid") {
    ASSIGN_OR_RETURN(target->uid, Number(value, 0, kMaxId));
  } else if (key == "gid") {
    ASSIGN_OR_RETURN(target->gid, Number(value, 0, kMaxId));
  } else if (key == "nfsport") {
    ASSIGN_OR_RETURN(target->port, Port(value));
  } else if (key == "mountport") {
    ASSIGN_OR_RETURN(target->mount_port, Port(value));
  } else {
    return InvalidArgument("unknown option \"" + std::string(key) +
                           "\"; there are version, uid, gid, nfsport, mountport");
  }
  return absl::OkStatus();
}

absl::Status Parse(std::string_view rest, NfsTarget* target) {
  std::string_view options;
  if (const size_t question = rest.find('?'); question != std::string_view::npos) {
    options = rest.substr(question + 1);
    rest = rest.substr(0, question);
  }
  const size_t slash = rest.find('/');
  RETURN_IF_ERROR(ParseServer(rest.substr(0, slash), target));
  RETURN_IF_ERROR(
      ParsePath(slash == std::string_view::npos ? std::string_view() : rest.substr(slash), target));
  while (!options.empty()) {
    const size_t end = options.find('&');
    RETURN_IF_ERROR(ParseOption(options.substr(0, end), target));
    options = end == std::string_view::npos ? std::string_view() : options.substr(end + 1);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<NfsTarget> ParseNfsUrl(std::string_view url) {
  NfsTarget target;
  target.url = url;
  target.uid = getuid();
  target.gid = getgid();
  if (url.substr(0, kScheme.size()) != kScheme) return InvalidArgument("must begin with nfs://");
  RETURN_IF_ERROR(Parse(url.substr(kScheme.size()), &target));
  return target;
}

}  // namespace slacker
