// Debian's nginx, serving a directory over TLS on an ephemeral loopback port until the object goes,
// and the certificates for it. Its server is that of deploy/nginx/slacker-store.conf, with other values.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "backend/base/unique_fd.h"

namespace slacker::testing {

// An authority of our own, and what it has certified; PEM files in a directory. Dies where openssl
// fails.
class TestCertificates {
 public:
  explicit TestCertificates(std::string directory);
  std::string ca() const { return directory_ + "/ca.pem"; }
  // For 127.0.0.1.
  std::string server() const { return directory_ + "/server.pem"; }
  std::string server_key() const { return directory_ + "/server.key"; }
  std::string client() const { return directory_ + "/client.pem"; }
  std::string client_key() const { return directory_ + "/client.key"; }

 private:
  void Certify(const std::string& name) const;
  const std::string directory_;
};

class NginxProcess {
 public:
  struct Options {
    std::string directory;  // for its configuration and logs
    std::string root;       // what it serves
    const TestCertificates* certificates = nullptr;
    bool http2 = true;
    bool client_certificate = false;  // demand one of our authority
    std::string token = {};           // demand this one; empty: none
    std::string directives = {};      // further ones of its server block
  };
  // Dies when nginx does not start.
  explicit NginxProcess(Options options);
  ~NginxProcess();
  NginxProcess(const NginxProcess&) = delete;
  NginxProcess& operator=(const NginxProcess&) = delete;

  std::string Url() const { return "https://127.0.0.1:" + std::to_string(port_); }

  void Kill();     // SIGKILL: connections break, new ones are refused
  void Start();    // again, on the same port; returns when it accepts connections
  void Suspend();  // SIGSTOP: connections are accepted, nothing is answered
  void Resume();

  int port() const { return port_; }
  // How many requests it has and has not answered to the end yet.
  size_t UnderWay() const;
  // Its log, a line a request, once it has `at_least` so many lines (they are written after the
  // answers) or half a minute has gone:
  // METHOD PATH STATUS PROTOCOL connection=N authorization="…" cache-control="…" answered="…"
  // where the last two are what the client said of caches, and nginx.
  std::vector<std::string> Requests(size_t at_least) const;

 private:
  std::string StatusSocket() const { return options_.directory + "/status"; }
  std::string Server() const;
  void WriteConfiguration() const;

  const Options options_;
  int port_ = 0;
  UniqueFd reserved_;
  pid_t pid_ = -1;
};

}  // namespace slacker::testing
