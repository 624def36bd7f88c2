#include "cmd/slackerd/flags.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr char kDefaultConfig[] = "/etc/slacker/config.toml";

// A shell makes "" of a variable that is not set: whoever wrote the flag did not mean the default.
absl::Status RefuseEmpty(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() > 0 && option->get_items_expected_max() > 0 &&
        option->as<std::string>().empty()) {
      return InvalidArgument(option->get_name() + ": must not be empty");
    }
  }
  return absl::OkStatus();
}

absl::Status Override(const char* flag, const std::string& value,
                      absl::Status (*check)(const std::string&), std::string* field) {
  if (value.empty()) return absl::OkStatus();  // not given
  RETURN_IF_ERROR(Annotate(check(value), flag));
  *field = value;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Config>> Combine(const Flags& flags) {
  RETURN_IF_ERROR(RefuseEmpty(*flags.app));
  Config config;
  if (!flags.config.empty()) {
    RETURN_IF_ERROR(ApplyTomlFile(flags.config, &config));
  } else if (access(kDefaultConfig, F_OK) == 0) {
    RETURN_IF_ERROR(ApplyTomlFile(kDefaultConfig, &config));
  }
  RETURN_IF_ERROR(Override("--address", flags.address, CheckAddress, &config.address));
  RETURN_IF_ERROR(Override("--root", flags.root, CheckPath, &config.root));
  RETURN_IF_ERROR(Override("--store", flags.store, CheckStoreUrl, &config.store_url));
  if (!flags.store.empty()) config.store_replicas.clear();
  RETURN_IF_ERROR(Override("--log-level", flags.log_level, CheckLogLevel, &config.log_level));
  if (config.publish_request && config.store_url.empty()) {
    return InvalidArgument("publish.request: there is no store to ask; set store.url");
  }
  return config;
}

}  // namespace

Flags::Flags()
    : app(std::make_unique<CLI::App>(
          "containerd snapshotter that runs published images without downloading them",
          "slackerd")) {
  app->set_version_flag("--version", "slackerd " SLACKER_VERSION);
  const Config defaults;
  const auto with_default = [](const std::string& text, const std::string& value) {
    return text + " (default: " + value + ")";
  };
  app->add_option("--address", address, with_default("unix socket to serve", defaults.address));
  app->add_option(
      "--config", config,
      std::string("configuration file (default: ") + kDefaultConfig + ", if it exists)");
  app->add_option("--root", root, with_default("directory of this node's state", defaults.root));
  app->add_option(
      "--store", store,
      "URL of the store: loopback:/path, nfs://host/path, https://host/path (default: none)");
  app->add_option("--log-level", log_level,
                  with_default(std::string(kLogLevels), defaults.log_level));
}

Flags::~Flags() = default;

absl::StatusOr<std::optional<Config>> ReadFlags(int argc, const char* const* argv) {
  const Flags flags;
  try {
    flags.app->parse(argc, argv);
  } catch (const CLI::Success& asked) {
    (void)flags.app->exit(asked);  // prints what was asked for
    return std::optional<Config>();
  } catch (const CLI::ParseError& error) {
    return InvalidArgument(error.what());
  }
  return Combine(flags);
}

}  // namespace slacker
