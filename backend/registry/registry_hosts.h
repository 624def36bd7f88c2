// Where a registry's API is, and its mirrors: containerd's hosts.toml.
//
// Below a root directory ("/etc/containerd/certs.d") the first of <host>_<port>_, <host>:<port> (or
// <host>) and _default that is there speaks for a registry. Its hosts.toml lists hosts, which are
// asked in the order of the file, then the `server`; without such a file *.crt, *.cert and *.key in
// it are certificates as docker has them. Without a directory the registry is where its name says:
// over https, except that loopback hosts without certificates speak plain HTTP, and docker.io is
// registry-1.docker.io.
//
// Unlike containerd, a file that cannot be read is an error (containerd logs it and goes on without
// it), and so are several client certificates for one host. Keys that nobody here knows do not
// matter.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/registry/http_client.h"

namespace slacker {

struct RegistryHost {
  std::string url;       // of the API: "https://mirror.example.com/v2"
  std::string host;      // with the port if there is one: whose credentials count
  bool resolves = true;  // may be asked what a tag means
  bool pulls = true;     // may be asked for what has a digest
  TlsOptions tls = {};
  std::vector<std::string> headers = {};                          // whole lines, for this host only
  std::optional<std::chrono::milliseconds> connect_timeout = {};  // instead of the usual one
  // A mirror: it is told (?ns=) which registry is meant.
  bool proxy = false;
};

// The hosts to ask for images of `registry` ("docker.io", "localhost:5000"), in this order. An
// empty `root` is no directory. INVALID_ARGUMENT names the file and what is wrong with it.
absl::StatusOr<std::vector<RegistryHost>> LoadRegistryHosts(const std::string& root,
                                                            const std::string& registry);

// The content of a hosts.toml; relative file names in it are below `directory`.
absl::StatusOr<std::vector<RegistryHost>> ParseHostsToml(std::string_view text,
                                                         const std::string& directory,
                                                         const std::string& registry);

}  // namespace slacker
