#include <chrono>
#include <nlohmann/json.hpp>

#include "backend/base/status.h"
#include "cmd/hellobench/site/addresses.h"
#include "cmd/hellobench/site/files.h"
#include "cmd/hellobench/site/servers.h"

namespace slacker::hellobench {
namespace {

std::string Configuration(const std::string& storage) {
  // The access log, in the combined format on standard output, is what counts.
  return "version: 0.1\nlog: {level: warn, accesslog: {disabled: false}}\n"
         "storage: {filesystem: {rootdirectory: " +
         storage + ", maxthreads: 1000}}\nhttp: {addr: \":" + std::to_string(kRegistryPort) +
         "\"}\n";
}

// Null for what is not JSON.
nlohmann::json Parse(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> Registry::Start(Programs& programs,
                                                          const Compartment& servers,
                                                          const std::string& directory) {
  auto registry = std::make_unique<Registry>();
  registry->storage_ = directory + "/storage";
  registry->log_ = directory + "/log";
  const std::string configuration = directory + "/config.yml";
  RETURN_IF_ERROR(MakeDirectories(registry->storage_));
  RETURN_IF_ERROR(WriteText(configuration, Configuration(registry->storage_)));
  ASSIGN_OR_RETURN(registry->daemon_,
                   programs.Start({.words = {"docker-registry", "serve", configuration},
                                   .where = servers.where(),
                                   .environment = {{"OTEL_TRACES_EXPORTER", "none"}}},
                                  registry->log_));
  RETURN_IF_ERROR(
      Await(programs, *registry->daemon_, "docker-registry", "listen", kStartLimit, [&servers] {
        bool accepts = false;
        return servers.Enter([&] { accepts = Accepts(kServerAddress, kRegistryPort); }).ok() &&
               accepts;
      }));
  return registry;
}

absl::StatusOr<Served> Registry::ServedTo(std::string_view address) const {
  return ReadAccessLog(log_, address);
}

absl::StatusOr<Registry::Size> Registry::SizeOf(const std::string& repository,
                                                const std::string& tag) const {
  const std::string root = storage_ + "/docker/registry/v2/";
  const absl::StatusOr<std::string> link =
      ReadText(root + "repositories/" + repository + "/_manifests/tags/" + tag + "/current/link");
  if (!link.ok()) return NotFound("the registry has no " + repository + ":" + tag);
  const auto read = [&root](const std::string& digest) -> absl::StatusOr<nlohmann::json> {
    const size_t colon = digest.find(':');
    if (colon == std::string::npos || digest.size() < colon + 3) {
      return DataLoss("no digest: " + digest);
    }
    const std::string hex = digest.substr(colon + 1);
    ASSIGN_OR_RETURN(const std::string text,
                     ReadText(root + "blobs/" + digest.substr(0, colon) + "/" + hex.substr(0, 2) +
                              "/" + hex + "/data"));
    return Parse(text);
  };
  ASSIGN_OR_RETURN(nlohmann::json manifest, read(*link));
  // What a conversion makes may be an index; what is for this machine stands first in it.
  if (manifest.is_object() && manifest.contains("manifests") && manifest["manifests"].is_array() &&
      !manifest["manifests"].empty()) {
    ASSIGN_OR_RETURN(manifest, read(manifest["manifests"][0].value("digest", "")));
  }
  if (!manifest.is_object() || !manifest.contains("layers") || !manifest["layers"].is_array()) {
    return DataLoss(repository + ":" + tag + " has no manifest");
  }
  Size size;
  for (const nlohmann::json& layer : manifest["layers"]) {
    size.bytes += layer.is_object() ? layer.value("size", int64_t{0}) : 0;
    ++size.layers;
  }
  return size;
}

}  // namespace slacker::hellobench
