#include "cmd/hellobench/site/containerd_config.h"

#include <sstream>
#include <vector>

#include "backend/base/status.h"

namespace slacker::hellobench {
namespace {

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

// Of both versions: nothing of the node's is where the machine's own containerd has it.
std::string Common(const ContainerdConfig& config, const std::string& version,
                   const std::vector<std::string>& disabled) {
  std::string text = "version = " + version + "\nroot = " + Quoted(config.directory + "/root") +
                     "\nstate = " + Quoted(config.directory + "/run") +
                     "\ntemp = " + Quoted(config.directory + "/tmp") +
                     "\nimports = []\ndisabled_plugins = [";
  for (const std::string& plugin : disabled) {
    const bool wanted = plugin.find("." + config.snapshotter) != std::string::npos;
    if (!wanted) text += Quoted("io.containerd." + plugin) + ", ";
  }
  text += "]\n[grpc]\n  address = " + Quoted(config.socket) +
          "\n[ttrpc]\n  address = " + Quoted(config.socket + ".ttrpc") +
          "\n[plugins.\"io.containerd.internal.v1.opt\"]\n  path = " +
          Quoted(config.directory + "/opt") + "\n";
  if (!config.proxy_socket.empty()) {
    text += "[proxy_plugins." + config.snapshotter +
            "]\n  type = \"snapshot\"\n  address = " + Quoted(config.proxy_socket) + "\n";
  }
  return text;
}

std::string Version1(const ContainerdConfig& config) {
  const std::string cri = "[plugins.\"io.containerd.grpc.v1.cri\"";
  return Common(config, "2",
                {"snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper",
                 "snapshotter.v1.zfs", "tracing.processor.v1.otlp", "internal.v1.tracing"}) +
         // Where root lacks CAP_SYS_RESOURCE, runc could not start a container otherwise.
         cri + "]\n  restrict_oom_score_adj = true\n  sandbox_image = " + Quoted(config.pause) +
         "\n" + cri + ".containerd]\n  snapshotter = " + Quoted(config.snapshotter) +
         "\n  disable_snapshot_annotations = false\n  discard_unpacked_layers = false\n" + cri +
         ".cni]\n  conf_dir = " + Quoted(config.directory + "/cni") + "\n" + cri +
         ".registry]\n  config_path = " + Quoted(config.hosts) + "\n";
}

std::string Version2(const ContainerdConfig& config) {
  std::string text =
      Common(config, "3",
             {"snapshotter.v1.btrfs", "snapshotter.v1.devmapper", "snapshotter.v1.zfs",
              "snapshotter.v1.blockfile", "snapshotter.v1.erofs", "differ.v1.erofs",
              "mount-handler.v1.erofs", "tracing.processor.v1.otlp", "internal.v1.tracing"});
  if (!config.proxy_socket.empty()) {
    text += "  platform = \"linux\"\n  [proxy_plugins." + config.snapshotter +
            ".exports]\n    root = " + Quoted(config.proxy_root) +
            "\n    enable_remote_snapshot_annotations = \"true\"\n";
  }
  const std::string images = "[plugins.\"io.containerd.cri.v1.images\"";
  const std::string runtime = "[plugins.\"io.containerd.cri.v1.runtime\"";
  text +=
      "[plugins.\"io.containerd.nri.v1.nri\"]\n  disable = true\n" + images +
      "]\n  snapshotter = " + Quoted(config.snapshotter) +
      // With disable_snapshot_annotations = false the transfer service would not be used.
      "\n  discard_unpacked_layers = false\n" + images +
      ".pinned_images]\n  sandbox = " + Quoted(config.pause) + "\n" + images +
      ".registry]\n  config_path = " + Quoted(config.hosts) + "\n" + runtime +
      "]\n  restrict_oom_score_adj = true\n" + runtime +
      ".cni]\n  conf_dir = " + Quoted(config.directory + "/cni") +
      "\n[plugins.\"io.containerd.transfer.v1.local\"]\n  config_path = " + Quoted(config.hosts) +
      "\n  [[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\n"
      "    platform = \"linux\"\n    snapshotter = " +
      Quoted(config.snapshotter) + "\n";
  if (!config.differ.empty()) text += "    differ = " + Quoted(config.differ) + "\n";
  return text;
}

}  // namespace

std::string ToText(const ContainerdConfig& config) {
  return (config.version == "1" ? Version1(config) : Version2(config)) + config.further;
}

// "containerd github.com/containerd/containerd/v2 v2.4.2 …", or Debian's "1.6.20~ds1" in that place.
absl::StatusOr<std::string> MajorVersion(std::string_view printed) {
  std::istringstream words{std::string(printed)};
  std::string program, module, version;
  words >> program >> module >> version;
  if (version.starts_with('v')) version.erase(0, 1);
  const size_t dot = version.find('.');
  const std::string major = dot == std::string::npos ? "" : version.substr(0, dot);
  if (major == "1" || major == "2") return major;
  return InvalidArgument("no containerd of version 1 or 2: " + std::string(printed));
}

}  // namespace slacker::hellobench
