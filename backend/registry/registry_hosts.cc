#include "backend/registry/registry_hosts.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/time/time.h"
#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/base/toml_nesting.h"

namespace slacker {
namespace {

namespace fs = std::filesystem;

constexpr std::streamsize kMaxFileBytes = 1 << 20;
constexpr size_t kMaxHosts = 64;

bool HasCertificates(const TlsOptions& tls) {
  return !tls.ca_files.empty() || !tls.client_certificate_file.empty() || tls.skip_verify;
}

// Where the registry itself is, if nothing says otherwise.
void SetDefaultServer(const std::string& registry, RegistryHost* host) {
  host->host = registry == "docker.io" ? "registry-1.docker.io" : registry;
  const bool plain = IsLoopbackHost(registry) && !HasCertificates(host->tls);
  host->url = (plain ? "http://" : "https://") + host->host + "/v2";
  host->resolves = host->pulls = true;
}

// Scheme, host and path of the API from a URL as it stands in the file.
absl::Status SetServer(std::string url, bool override_path, RegistryHost* host) {
  if (!url.starts_with("http")) url.insert(0, "https://");
  const size_t scheme_end = url.find("://");
  const std::string scheme = url.substr(0, scheme_end);
  if (scheme_end == std::string::npos || (scheme != "http" && scheme != "https")) {
    return InvalidArgument("\"" + url + "\" is not a URL");
  }
  const std::string rest = url.substr(scheme_end + 3);
  const size_t slash = std::min(rest.find('/'), rest.size());
  host->host = rest.substr(0, slash);
  const bool good = std::all_of(rest.begin(), rest.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '?' && c != '#' && c != '@' && c != '"' && c != '\\';
  });
  if (host->host.empty() || !good) return InvalidArgument("\"" + url + "\" is not a URL");
  std::string path = slash == rest.size() ? "" : fs::path(rest.substr(slash)).lexically_normal();
  while (path.ends_with('/')) path.pop_back();
  if (!override_path && !path.ends_with("/v2")) path += "/v2";
  host->url = scheme + "://" + host->host + path;
  return absl::OkStatus();
}

absl::StatusOr<std::string> TextOf(const toml::node& node, std::string_view key) {
  const auto text = node.value_exact<std::string>();
  if (!text.has_value()) return InvalidArgument("\"" + std::string(key) + "\" must be a string");
  return *text;
}

// A string, or an array of strings.
absl::StatusOr<std::vector<std::string>> TextsOf(const toml::node& node, std::string_view key) {
  std::vector<std::string> texts;
  if (const toml::array* array = node.as_array()) {
    for (const toml::node& item : *array) {
      ASSIGN_OR_RETURN(texts.emplace_back(), TextOf(item, key));
    }
  } else {
    ASSIGN_OR_RETURN(texts.emplace_back(), TextOf(node, key));
  }
  return texts;
}

absl::StatusOr<bool> FlagOf(const toml::node& node, std::string_view key) {
  const auto flag = node.value_exact<bool>();
  if (!flag.has_value()) {
    return InvalidArgument("\"" + std::string(key) + "\" must be true or false");
  }
  return *flag;
}

absl::Status SetCapabilities(const toml::node& node, RegistryHost* host) {
  ASSIGN_OR_RETURN(const auto capabilities, TextsOf(node, "capabilities"));
  if (capabilities.empty()) return absl::OkStatus();
  host->resolves = host->pulls = false;
  for (std::string capability : capabilities) {
    std::transform(capability.begin(), capability.end(), capability.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (capability == "resolve") {
      host->resolves = true;
    } else if (capability == "pull") {
      host->pulls = true;
    } else if (capability != "push" && capability != "referrers") {
      return InvalidArgument("unknown capability \"" + capability + "\"");
    }
  }
  return absl::OkStatus();
}

// "file", ["file"], or [["certificate", "key"]].
absl::Status SetClient(const toml::node& node, const fs::path& directory, RegistryHost* host) {
  std::vector<std::string> files;
  const toml::array* array = node.as_array();
  if (array != nullptr && array->size() > 1) {
    return InvalidArgument("\"client\" has several certificates: which one is wanted?");
  }
  if (array != nullptr && array->size() == 1 && array->get(0)->is_array()) {
    ASSIGN_OR_RETURN(files, TextsOf(*array->get(0), "client"));
    if (files.size() != 2) return InvalidArgument("\"client\" has an item that is no pair");
  } else {
    ASSIGN_OR_RETURN(files, TextsOf(node, "client"));
  }
  if (files.empty()) return absl::OkStatus();
  host->tls.client_certificate_file = directory / files[0];
  host->tls.client_key_file = directory / files.back();
  return absl::OkStatus();
}

absl::Status SetHeaders(const toml::node& node, RegistryHost* host) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return InvalidArgument("\"header\" must be a table");
  const auto breaks_lines = [](std::string_view text) {
    return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
  };
  for (const auto& [name, value] : *table) {
    ASSIGN_OR_RETURN(const auto texts, TextsOf(value, "header"));
    const std::string key(name.str());
    for (const std::string& text : texts) {
      if (key.empty() || key.find_first_of(": ") != std::string::npos || breaks_lines(key) ||
          breaks_lines(text)) {
        return InvalidArgument("\"header\" has a line that is no header");
      }
      host->headers.push_back(key + ": " + text);
    }
  }
  return absl::OkStatus();
}

// A duration as Go writes it: "1s", "1m30s", "300ms".
absl::Status SetDialTimeout(const toml::node& node, RegistryHost* host) {
  ASSIGN_OR_RETURN(const std::string text, TextOf(node, "dial_timeout"));
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration <= absl::ZeroDuration() ||
      duration > absl::Hours(1)) {
    return InvalidArgument("\"dial_timeout\" is no time up to an hour");
  }
  host->connect_timeout = absl::ToChronoMilliseconds(absl::Ceil(duration, absl::Milliseconds(1)));
  return absl::OkStatus();
}

// What the file says of one host, but for its URL.
absl::Status SetFields(const toml::table& table, const fs::path& directory, RegistryHost* host) {
  if (const toml::node* node = table.get("capabilities")) {
    RETURN_IF_ERROR(SetCapabilities(*node, host));
  }
  if (const toml::node* node = table.get("ca")) {
    ASSIGN_OR_RETURN(const auto files, TextsOf(*node, "ca"));
    for (const std::string& file : files) host->tls.ca_files.push_back(directory / file);
  }
  if (const toml::node* node = table.get("client")) {
    RETURN_IF_ERROR(SetClient(*node, directory, host));
  }
  if (const toml::node* node = table.get("skip_verify")) {
    ASSIGN_OR_RETURN(host->tls.skip_verify, FlagOf(*node, "skip_verify"));
  }
  if (const toml::node* node = table.get("header")) RETURN_IF_ERROR(SetHeaders(*node, host));
  if (const toml::node* node = table.get("dial_timeout")) {
    RETURN_IF_ERROR(SetDialTimeout(*node, host));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> OverridesPath(const toml::table& table) {
  const toml::node* node = table.get("override_path");
  if (node == nullptr) return false;
  return FlagOf(*node, "override_path");
}

// A registry's own host is no mirror of it.
void SetProxy(const std::string& registry, RegistryHost* host) {
  host->proxy =
      host->host != registry && !(registry == "docker.io" && host->host == "registry-1.docker.io");
}

absl::StatusOr<std::vector<RegistryHost>> HostsOf(const toml::table& file,
                                                  const fs::path& directory,
                                                  const std::string& registry) {
  std::vector<std::pair<toml::source_position, RegistryHost>> mirrors;
  if (const toml::node* node = file.get("host")) {
    if (!node->is_table()) return InvalidArgument("\"host\" must be a table of tables");
    for (const auto& [name, value] : *node->as_table()) {
      const toml::table* table = value.as_table();
      const std::string url(name.str());
      if (table == nullptr) return InvalidArgument("host." + url + " must be a table");
      RegistryHost host;
      ASSIGN_OR_RETURN(const bool override_path, OverridesPath(*table));
      RETURN_IF_ERROR(SetServer(url, override_path, &host));
      RETURN_IF_ERROR(Annotate(SetFields(*table, directory, &host), "host." + url));
      mirrors.emplace_back(value.source().begin, std::move(host));
    }
  }
  if (mirrors.size() > kMaxHosts) return InvalidArgument("more than 64 hosts");
  std::stable_sort(mirrors.begin(), mirrors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.line, a.first.column) < std::pair(b.first.line, b.first.column);
  });
  std::vector<RegistryHost> hosts;
  for (auto& [position, host] : mirrors) hosts.push_back(std::move(host));
  RegistryHost server;
  RETURN_IF_ERROR(SetFields(file, directory, &server));
  std::string url;
  if (const toml::node* node = file.get("server")) {
    ASSIGN_OR_RETURN(url, TextOf(*node, "server"));
  }
  if (url.empty()) {
    SetDefaultServer(registry, &server);
  } else {
    ASSIGN_OR_RETURN(const bool override_path, OverridesPath(file));
    RETURN_IF_ERROR(SetServer(url, override_path, &server));
  }
  hosts.push_back(std::move(server));
  for (RegistryHost& host : hosts) SetProxy(registry, &host);
  return hosts;
}

// docker's layout: *.crt are authorities, *.cert with *.key the client's certificate.
absl::StatusOr<std::vector<RegistryHost>> HostOfCertificates(const fs::path& directory,
                                                             const std::string& registry) {
  RegistryHost host;
  std::error_code error;
  std::vector<std::string> certificates;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const fs::path& path = it->path();
    if (path.extension() == ".crt") host.tls.ca_files.push_back(path);
    if (path.extension() == ".cert") certificates.push_back(path);
  }
  if (error) return ErrnoError(error.value(), "list " + directory.string());
  if (certificates.size() > 1) {
    return InvalidArgument(directory.string() + " has several client certificates (*.cert)");
  }
  std::sort(host.tls.ca_files.begin(), host.tls.ca_files.end());
  if (!certificates.empty()) {
    host.tls.client_certificate_file = certificates[0];
    const fs::path key = fs::path(certificates[0]).replace_extension(".key");
    if (fs::exists(key, error)) host.tls.client_key_file = key;
  }
  SetDefaultServer(registry, &host);
  return std::vector<RegistryHost>{std::move(host)};
}

// The first directory that is there; empty = none.
absl::StatusOr<fs::path> FindDirectory(const fs::path& root, const std::string& registry) {
  std::vector<std::string> names = {registry, "_default"};
  const size_t colon = registry.rfind(':');
  if (colon != std::string::npos && registry.find(']', colon) == std::string::npos) {
    names.insert(names.begin(), registry.substr(0, colon) + "_" + registry.substr(colon + 1) + "_");
  }
  for (const std::string& name : names) {
    std::error_code error;
    const fs::path path = root / name;
    if (fs::exists(path, error)) return path;
    if (error) return ErrnoError(error.value(), "look at " + path.string());
  }
  return fs::path();
}

}  // namespace

absl::StatusOr<std::vector<RegistryHost>> ParseHostsToml(std::string_view text,
                                                         const std::string& directory,
                                                         const std::string& registry) {
  RETURN_IF_ERROR(CheckTomlNesting(text));
  toml::table file;
  try {
    file = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return InvalidArgument("line " + std::to_string(error.source().begin.line) + ": " +
                           std::string(error.description()));
  }
  return HostsOf(file, directory, registry);
}

absl::StatusOr<std::vector<RegistryHost>> LoadRegistryHosts(const std::string& root,
                                                            const std::string& registry) {
  fs::path directory;
  if (!root.empty()) {
    ASSIGN_OR_RETURN(directory, FindDirectory(root, registry));
  }
  if (directory.empty()) {
    RegistryHost host;
    SetDefaultServer(registry, &host);
    return std::vector<RegistryHost>{std::move(host)};
  }
  const std::string path = directory / "hosts.toml";
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory || (!error && size == 0)) {
    return HostOfCertificates(directory, registry);
  }
  if (error) return ErrnoError(error.value(), "look at " + path);
  if (size > static_cast<uintmax_t>(kMaxFileBytes)) {
    return InvalidArgument(path + " is larger than 1 MiB");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoError(errno, "open " + path);
  std::string text(static_cast<size_t>(kMaxFileBytes), '\0');
  file.read(text.data(), kMaxFileBytes);
  text.resize(static_cast<size_t>(file.gcount()));
  auto hosts = ParseHostsToml(text, directory, registry);
  if (!hosts.ok()) return Annotate(hosts.status(), path);
  return hosts;
}

}  // namespace slacker
