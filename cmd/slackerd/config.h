// slackerd's configuration: defaults, overridden by a TOML file, overridden by flags. Every key is
// described in docs/operations.md and shown in deploy/config.toml.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/log.h"
#include "cmd/common/store_url.h"

namespace slacker {

struct Config {
  std::string address = "/run/slacker/slackerd.sock";
  std::string root = "/var/lib/containerd/io.containerd.snapshotter.v1.slacker";
  std::string log_level = "info";
  std::string store_url;  // "" = no store: every pull is ordinary
  std::vector<std::string>
      store_replicas;                     // other places of the same, asked in this order after it
  StoreAccess store_access;               // files that a network store is asked with
  int64_t store_budget_ms = 500;          // what a Prepare may wait for the store
  int64_t store_stall_seconds = 300;      // what a read of missing data may wait for it
  std::vector<std::string> trusted_keys;  // files: whose manifests count
  std::string store_private = "off";      // who gets private images: nobody, "cri-annotations"
  bool store_insecure = false;            // a store on a network without keys is fine
  bool publish_request = false;           // ask for what is not published
  bool publish_auto = false;              // publish it from this node's containerd
  std::string publish_key;                // file: signs it; "" = unsigned
  std::string publish_containerd = "/run/containerd/containerd.sock";
  std::string cache_complete = "idle";       // what images lack is fetched in idle time, or "off"
  int64_t cache_complete_rate = 16LL << 20;  // bytes a second that this may take from the store
  int64_t cache_max_bytes = 0;               // of all blob caches; 0 = no limit
  std::string cache_min_free = "5%";         // of their file system
  std::string run_dir = "/run/slacker";
  int64_t keeper_deadline_seconds = 300;     // what readers may wait for a slackerd
  bool sync_commits = true;                  // what is unpacked is on the disk before it is committed
  // Where the file sets what it sets, for messages: "FILE:LINE" by full key ("store.url").
  std::map<std::string, std::string, std::less<>> places;

  bool operator==(const Config&) const = default;
};

inline constexpr std::string_view kLogLevels = "trace, debug, info, warn, warning or error";
inline constexpr std::string_view kPrivateByCri = "cri-annotations";
inline constexpr int64_t kMinBudgetMs = 1, kMaxBudgetMs = 60'000;
inline constexpr int64_t kMinWaitSeconds = 1, kMaxWaitSeconds = 24 * 60 * 60;
inline constexpr int64_t kMaxCacheBytes = 1LL << 50;
inline constexpr int64_t kMinCompleteRate = 64 << 10, kMaxCompleteRate = 1LL << 40;

// Overrides `config` with the text of a file called `name`. INVALID_ARGUMENT, with file, line and
// key, for what is not TOML, an unknown key, a value of the wrong type or one that CheckConfig
// refuses. `text` may be anything.
absl::Status ApplyToml(std::string_view text, const std::string& name, Config* config);

// Reads a file of at most 1 MiB.
absl::Status ApplyTomlFile(const std::string& path, Config* config);

// Checks of single values, for file and flags alike: INVALID_ARGUMENT without the key.
absl::Status CheckPath(const std::string& path);        // absolute, usable in mount options; UTF-8
absl::Status CheckAddress(const std::string& address);  // as a path of a file, at most 107 bytes
absl::Status CheckLogLevel(const std::string& level);
absl::Status CheckStoreUrl(const std::string& url);    // "" or what store_url.h accepts
absl::Status CheckPrivate(const std::string& value);   // off, cri-annotations
absl::Status CheckComplete(const std::string& value);  // idle, off
absl::Status CheckMinFree(const std::string& value);   // "0%" to "90%"

// REQUIRES: CheckMinFree.
uint64_t MinFreePercent(const Config& config);

}  // namespace slacker
