#include "cmd/slackerd/config.h"

#include <sys/un.h>

#include <array>
#include <charconv>
#include <functional>
#include <utility>

#include "backend/base/status.h"
#include "cmd/common/store_url.h"
#include "cmd/common/toml_values.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxMinFreePercent = 90;

// A key of the file: where it goes and what it may be.
struct Key {
  std::string_view table;  // "" = top level
  std::string_view name;
  std::function<absl::Status(const toml::node&, Config*)> set;
};

auto Text(std::string Config::*field, absl::Status (*check)(const std::string&)) {
  return [field, check](const toml::node& node, Config* config) -> absl::Status {
    ASSIGN_OR_RETURN(const std::string value, TextOf(node));
    RETURN_IF_ERROR(check(value));
    config->*field = value;
    return absl::OkStatus();
  };
}

// A file of store_access; "" = none.
auto AccessFile(std::string StoreAccess::*field) {
  return [field](const toml::node& node, Config* config) -> absl::Status {
    ASSIGN_OR_RETURN(const std::string value, TextOf(node));
    if (!value.empty()) RETURN_IF_ERROR(CheckPath(value));
    config->store_access.*field = value;
    return absl::OkStatus();
  };
}

auto Number(int64_t Config::*field, int64_t min, int64_t max) {
  return [field, min, max](const toml::node& node, Config* config) -> absl::Status {
    ASSIGN_OR_RETURN(config->*field, NumberOf(node, min, max));
    return absl::OkStatus();
  };
}

// Seconds, written as in "5m".
auto Duration(int64_t Config::*field, int64_t min, int64_t max) {
  return [field, min, max](const toml::node& node, Config* config) -> absl::Status {
    ASSIGN_OR_RETURN(config->*field, SecondsOf(node, min, max));
    return absl::OkStatus();
  };
}

auto Flag(bool Config::*field) {
  return [field](const toml::node& node, Config* config) -> absl::Status {
    ASSIGN_OR_RETURN(config->*field, FlagOf(node));
    return absl::OkStatus();
  };
}

auto Texts(std::vector<std::string> Config::*field, absl::Status (*check)(const std::string&)) {
  return [field, check](const toml::node& node, Config* config) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<std::string> values, TextsOf(node));
    for (const std::string& value : values) RETURN_IF_ERROR(check(value));
    config->*field = std::move(values);
    return absl::OkStatus();
  };
}

// The first is the store, the others are replicas of it.
absl::Status SetStoreUrls(const toml::node& node, Config* config) {
  ASSIGN_OR_RETURN(const std::vector<std::string> urls, TextsOf(node));
  for (const std::string& url : urls) RETURN_IF_ERROR(ValidateStoreUrl(url));
  if (urls.empty()) return InvalidArgument("must have a URL");
  config->store_url = urls.front();
  config->store_replicas.assign(urls.begin() + 1, urls.end());
  return absl::OkStatus();
}

// Two keys for one thing: whoever wrote both wanted something else.
absl::Status CheckOneStore(const toml::table& parsed, const std::string& file) {
  const auto url = parsed["store"]["url"].value<std::string>();
  const toml::node* urls = parsed["store"]["urls"].node();
  if (urls == nullptr || !url.has_value() || url->empty()) return absl::OkStatus();
  return InvalidArgument(Place(file, urls->source()) + ": store.urls: store.url is set, too");
}

absl::Status CheckOptionalPath(const std::string& path) {
  return path.empty() ? absl::OkStatus() : CheckPath(path);
}

const std::array<Key, 25>& Keys() {
  static const std::array<Key, 25> keys = {{
      {"", "address", Text(&Config::address, CheckAddress)},
      {"", "root", Text(&Config::root, CheckPath)},
      {"", "log_level", Text(&Config::log_level, CheckLogLevel)},
      {"store", "url", Text(&Config::store_url, CheckStoreUrl)},
      {"store", "urls", SetStoreUrls},
      {"store", "ca_file", AccessFile(&StoreAccess::ca_file)},
      {"store", "client_certificate", AccessFile(&StoreAccess::client_certificate)},
      {"store", "client_key", AccessFile(&StoreAccess::client_key)},
      {"store", "token_file", AccessFile(&StoreAccess::token_file)},
      {"store", "budget_ms", Number(&Config::store_budget_ms, kMinBudgetMs, kMaxBudgetMs)},
      {"store", "stall_timeout",
       Duration(&Config::store_stall_seconds, kMinWaitSeconds, kMaxWaitSeconds)},
      {"store", "trusted_keys", Texts(&Config::trusted_keys, CheckPath)},
      {"store", "private", Text(&Config::store_private, CheckPrivate)},
      {"store", "insecure", Flag(&Config::store_insecure)},
      {"publish", "request", Flag(&Config::publish_request)},
      {"publish", "auto", Flag(&Config::publish_auto)},
      {"publish", "key", Text(&Config::publish_key, CheckOptionalPath)},
      {"publish", "containerd", Text(&Config::publish_containerd, CheckAddress)},
      {"cache", "complete", Text(&Config::cache_complete, CheckComplete)},
      {"cache", "complete_rate",
       Number(&Config::cache_complete_rate, kMinCompleteRate, kMaxCompleteRate)},
      {"cache", "max_bytes", Number(&Config::cache_max_bytes, 0, kMaxCacheBytes)},
      {"cache", "min_free", Text(&Config::cache_min_free, CheckMinFree)},
      {"node", "run_dir", Text(&Config::run_dir, CheckPath)},
      {"node", "keeper_deadline",
       Duration(&Config::keeper_deadline_seconds, kMinWaitSeconds, kMaxWaitSeconds)},
      {"node", "sync_commits", Flag(&Config::sync_commits)},
  }};
  return keys;
}

absl::Status ApplyTable(const toml::table& table, std::string_view table_name,
                        const std::string& file, Config* config) {
  for (const auto& [toml_key, node] : table) {
    const std::string name(toml_key.str());
    const std::string full = table_name.empty() ? name : std::string(table_name) + "." + name;
    const std::string context = Place(file, node.source()) + ": " + full;
    bool is_table = false;
    bool known = false;
    for (const Key& key : Keys()) {
      is_table = is_table || (table_name.empty() && !name.empty() && key.table == name);
      if (key.table != table_name || key.name != name) continue;
      known = true;
      RETURN_IF_ERROR(Annotate(key.set(node, config), context));
      config->places[full] = Place(file, node.source());
    }
    if (known) continue;
    if (!is_table) return InvalidArgument(context + ": unknown key");
    if (!node.is_table()) return InvalidArgument(context + ": must be a table");
    RETURN_IF_ERROR(ApplyTable(*node.as_table(), name, file, config));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ApplyToml(std::string_view text, const std::string& name, Config* config) {
  ASSIGN_OR_RETURN(const toml::table parsed, ParseSettings(text, name));
  RETURN_IF_ERROR(CheckOneStore(parsed, name));
  Config changed = *config;
  RETURN_IF_ERROR(ApplyTable(parsed, "", name, &changed));
  *config = changed;
  return absl::OkStatus();
}

absl::Status ApplyTomlFile(const std::string& path, Config* config) {
  ASSIGN_OR_RETURN(const std::string text, ReadSettings(path));
  return ApplyToml(text, path, config);
}

absl::Status CheckPath(const std::string& path) {
  if (!path.starts_with('/')) return InvalidArgument("must be an absolute path");
  if (path.find_first_of(std::string_view(":,\\\n\0", 5)) != std::string::npos) {
    return InvalidArgument("must not contain ':', ',', '\\', newline or NUL");
  }
  // gRPC's answers, in which paths of the root go to containerd, hold nothing else. Comments of TOML
  // are such text.
  if (ParseSettings("#" + path, "").ok()) return absl::OkStatus();
  return InvalidArgument("must be UTF-8 without control characters");
}

absl::Status CheckAddress(const std::string& address) {
  RETURN_IF_ERROR(CheckPath(address));
  if (address.ends_with('/')) return InvalidArgument("must be a file, not a directory");
  constexpr size_t kMax = sizeof(sockaddr_un{}.sun_path) - 1;
  if (address.size() > kMax) {
    return InvalidArgument("must have at most " + std::to_string(kMax) + " bytes");
  }
  return absl::OkStatus();
}

absl::Status CheckLogLevel(const std::string& level) {
  LogLevel parsed;
  if (ParseLogLevel(level, &parsed)) return absl::OkStatus();
  return InvalidArgument("must be " + std::string(kLogLevels));
}

absl::Status CheckPrivate(const std::string& value) {
  if (value == "off" || value == kPrivateByCri) return absl::OkStatus();
  return InvalidArgument("must be off or " + std::string(kPrivateByCri));
}

absl::Status CheckComplete(const std::string& value) {
  if (value == "idle" || value == "off") return absl::OkStatus();
  return InvalidArgument("must be idle or off");
}

absl::Status CheckMinFree(const std::string& value) {
  uint64_t percent = 0;
  const char* const end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, percent);
  if (error == std::errc() && std::string_view(stop, end) == "%" && percent <= kMaxMinFreePercent) {
    return absl::OkStatus();
  }
  return InvalidArgument("must be a part of the disk, from 0% to 90%");
}

uint64_t MinFreePercent(const Config& config) {
  uint64_t percent = 0;
  const std::string& value = config.cache_min_free;
  (void)std::from_chars(value.data(), value.data() + value.size(), percent);  // checked before
  return percent;
}

absl::Status CheckStoreUrl(const std::string& url) {
  return url.empty() ? absl::OkStatus() : ValidateStoreUrl(url);
}

}  // namespace slacker
