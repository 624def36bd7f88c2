// How registries are talked to.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace slacker {

struct RegistryOptions {
  std::chrono::milliseconds connect_timeout{10'000};
  // Within this long, waiting time only, at least 16 KiB must arrive (or the answer's end).
  std::chrono::milliseconds stall_timeout{30'000};
  // Before the first repetition of a request that failed for a passing reason; doubles each time.
  std::chrono::milliseconds retry_delay{500};
  // What a Retry-After may ask for; a longer one is an error at once.
  std::chrono::milliseconds max_retry_delay{60'000};
  int max_tries = 5;
  // How often one blob's download is taken up again after it broke without having brought 1 MiB.
  int max_resumes = 8;
  // Blobs larger than this that could not be uploaded in one piece are uploaded in pieces of it.
  uint64_t upload_piece_bytes = 32 << 20;
  // docker's config.json and files of its form, the first that has credentials counts.
  std::vector<std::string> credential_files = {};
  // How long a credential helper may take.
  std::chrono::milliseconds helper_timeout{30'000};
  // Directory of containerd's hosts.toml files ("/etc/containerd/certs.d"); empty = none.
  std::string hosts_directory = {};
};

}  // namespace slacker
