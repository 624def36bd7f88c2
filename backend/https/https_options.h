#pragma once

#include <chrono>
#include <string>

namespace slacker {

struct HttpsOptions {
  // PEM files; all may be empty.
  std::string ca_file = {};  // whom servers are to be certified by, instead of the system's
  std::string client_certificate = {};  // with client_key: what we prove to servers
  std::string client_key = {};
  // Sent as bearer token; read anew for every request, so that it can be replaced.
  std::string token_file = {};

  // Transfers under way at once; others wait for their turn.
  int max_transfers = 64;
  std::chrono::milliseconds connect_timeout{5'000};
  // For a request once it has its turn, repetitions and redirects included; and so much more as
  // min_bytes_per_second needs for its size.
  std::chrono::milliseconds deadline{30'000};
  uint64_t min_bytes_per_second = 128 << 10;
};

}  // namespace slacker
