#include "cmd/common/image_sources.h"

#include <cstdlib>
#include <utility>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/source/docker_archive.h"
#include "backend/source/layout_source.h"

namespace slacker {
namespace {

// PATH[:TAG].
std::pair<std::string_view, std::string_view> SplitTag(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return {text, {}};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

constexpr std::string_view kDocker = "docker://";
constexpr std::string_view kContainerd = "containerd:";

using OpenFile = absl::StatusOr<std::unique_ptr<ImageSource>>(std::string_view path,
                                                              std::string_view tag);
constexpr std::pair<std::string_view, OpenFile*> kFiles[] = {
    {"oci:", OpenLayoutSource},
    {"oci-archive:", OpenOciArchiveSource},
    {"docker-archive:", OpenDockerArchiveSource},
};

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::vector<std::string> DefaultCredentialFiles() {
  std::vector<std::string> files;
  const auto add = [&files](const std::string& directory, const std::string& name) {
    if (!directory.empty()) files.push_back(directory + name);
  };
  const std::string home = Variable("HOME");
  const std::string docker = Variable("DOCKER_CONFIG");
  if (docker.empty()) {
    add(home, "/.docker/config.json");
  } else {
    add(docker, "/config.json");
  }
  if (const std::string file = Variable("REGISTRY_AUTH_FILE"); !file.empty()) {
    files.push_back(file);
    return files;
  }
  add(Variable("XDG_RUNTIME_DIR"), "/containers/auth.json");
  const std::string config = Variable("XDG_CONFIG_HOME");
  if (config.empty()) {
    add(home, "/.config/containers/auth.json");
  } else {
    add(config, "/containers/auth.json");
  }
  return files;
}

absl::Status ValidateImageSource(std::string_view spec) {
  if (spec.starts_with(kDocker)) return ParseImageReference(spec.substr(kDocker.size())).status();
  if (spec.starts_with(kContainerd)) return absl::OkStatus();
  for (const auto& [prefix, open] : kFiles) {
    if (spec.starts_with(prefix)) return absl::OkStatus();
  }
  return InvalidArgument("image source \"" + std::string(spec) +
                         "\" is none of docker://REFERENCE, oci:DIRECTORY[:TAG], "
                         "oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] and containerd:NAME");
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenImageSource(std::string_view spec,
                                                             const SourceOptions& options) {
  if (spec.starts_with(kDocker)) {
    ASSIGN_OR_RETURN(ImageReference reference, ParseImageReference(spec.substr(kDocker.size())));
    return OpenRegistrySource(reference, options.registry);
  }
  if (spec.starts_with(kContainerd)) {
    return OpenContainerdSource(spec.substr(kContainerd.size()), options.containerd,
                                options.registry);
  }
  for (const auto& [prefix, open] : kFiles) {
    if (!spec.starts_with(prefix)) continue;
    const auto [path, tag] = SplitTag(spec.substr(prefix.size()));
    return open(path, tag);
  }
  return ValidateImageSource(spec);
}

}  // namespace slacker
