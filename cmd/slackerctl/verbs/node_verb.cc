#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/export/image_export.h"
#include "backend/source/platform.h"
#include "cmd/common/containerd_sink.h"
#include "cmd/common/image_sources.h"
#include "cmd/common/key_files.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct NodeArguments {
  std::string action;
  std::string image;
  bool all = false;
  CommonArguments common;
  std::vector<std::string> trusted_keys;
  ContainerdOptions containerd;
};

struct Released {
  std::string name;
  size_t layers = 0, missing = 0;  // of the image, of containerd's content store before
  absl::StatusOr<ExportedImage> exported = absl::UnknownError("not begun");  // if any was missing
};

class Release {
 public:
  Release(const ContainerdOptions& options, ContainerdClient* client, StoreReader reader)
      : options_(options), client_(client), reader_(std::move(reader)) {}

  // The image is read from containerd: its manifest, which says what the layers must become again,
  // and its configuration.
  absl::Status Run(Released* released, const Console& console) {
    ASSIGN_OR_RETURN(const auto source, OpenContainerdSource(released->name, options_, {}));
    ASSIGN_OR_RETURN(const ResolvedImage image, ResolveImage(*source, HostPlatform()));
    released->layers = image.layers.size();
    for (const Descriptor& layer : image.layers) {
      const absl::Status there = client_->GetSize(layer.digest).status();
      if (absl::IsNotFound(there)) {
        ++released->missing;
      } else {
        RETURN_IF_ERROR(there);
      }
    }
    if (released->missing == 0) return absl::OkStatus();
    ImageEntry entry;
    entry.name = source->Name();
    entry.platform = image.platform;
    entry.chain_id = ChainId(image.diff_ids);
    entry.manifest_digest = image.manifest_digest.ToString();
    entry.config_json = image.config_json;
    entry.manifest_json = image.manifest_json;
    const auto sink = NewContainerdSink(client_, released->name, image.manifest_digest);
    size_t shown = 0;
    released->exported = ExportImage(reader_, entry, *sink, [&](const ExportProgress& progress) {
      if (progress.layers_done == shown) return;
      shown = progress.layers_done;
      console.err << Printable(released->name) << ": layer " << shown << "/" << progress.layers
                  << std::endl;
    });
    return released->exported.status();
  }

 private:
  const ContainerdOptions options_;
  ContainerdClient* const client_;
  const StoreReader reader_;
};

absl::StatusOr<std::vector<std::string>> NamesOf(const NodeArguments& arguments,
                                                 ContainerdClient* client) {
  if (!arguments.all) return std::vector<std::string>{arguments.image};
  ASSIGN_OR_RETURN(const auto images, client->ListImages());
  std::vector<std::string> names;
  for (const auto& image : images) names.push_back(image.name());
  return names;
}

std::vector<Cell> Row(const Released& image, const absl::Status& status) {
  std::string what = "nothing was missing";
  if (!status.ok()) {
    what = Message(status);
  } else if (image.missing > 0) {
    what = image.exported->original_manifest
               ? "complete"
               : "complete, compressed anew: " + image.exported->manifest.digest.ToString();
  }
  return {TextCell(image.name), CountCell(image.layers), CountCell(image.missing), TextCell(what)};
}

nlohmann::json ToJson(const Released& image, const absl::Status& status) {
  nlohmann::json json = {{"layers", image.layers}, {"missing", image.missing}};
  SetBytes(&json, "image", image.name);
  if (!status.ok()) {
    SetBytes(&json, "error", Message(status));
  } else if (image.missing > 0) {
    json["manifest_digest"] = image.exported->manifest.digest.ToString();
    json["original_manifest"] = image.exported->original_manifest;
  }
  return json;
}

absl::StatusOr<int> RunRelease(const NodeArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const auto client, ContainerdClient::Open(arguments.containerd));
  ASSIGN_OR_RETURN(auto store, OpenReadBackend(arguments.common.store, arguments.common.access));
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesOf(arguments, client.get()));
  RETURN_IF_ERROR(client->TakeLease());
  Release release(arguments.containerd, client.get(), StoreReader(std::move(store), trust));
  std::vector<std::vector<Cell>> rows;
  nlohmann::json list = nlohmann::json::array();
  int exit_code = kExitOk;
  for (const std::string& name : names) {
    Released released;
    released.name = name;
    const absl::Status status = release.Run(&released, console);
    if (!status.ok()) {
      PrintError(console.err, Annotate(status, name));
      exit_code = kExitFailed;
    }
    rows.push_back(Row(released, status));
    list.push_back(ToJson(released, status));
  }
  RETURN_IF_ERROR(client->DropLease());
  if (arguments.common.json) {
    PrintJson(console.out, list);
  } else {
    PrintRows(console, {"IMAGE", "LAYERS", "MISSING", "NOW"}, rows);
  }
  return exit_code;
}

Action DeclareNode(Command* command) {
  auto arguments = std::make_shared<NodeArguments>();
  command->Add("ACTION", &arguments->action, "release").Required().OneOf({"release"});
  const Option image = command->Add("IMAGE", &arguments->image, "Its name in containerd");
  command->Flag("--all", &arguments->all, "Every image of the namespace").Excludes(image);
  AddCommon(command, &arguments->common);
  AddAccess(command, &arguments->common.access);
  AddTrustedKeys(command, &arguments->trusted_keys);
  command->Add("--containerd-address", &arguments->containerd.address, "containerd's socket")
      .ShowDefault();
  command
      ->Add("--containerd-namespace", &arguments->containerd.name_space,
            "Its namespace; kubelets use k8s.io")
      .ShowDefault();
  command->SetFooter(
      "release puts the layers that containerd never downloaded into its content store, rebuilt "
      "from the store, so that any snapshotter can unpack the image again.");
  command->Demand("IMAGE", "or --all is required",
                  [arguments] { return !arguments->image.empty() || arguments->all; });
  return [arguments](const Console& console) {
    const absl::StatusOr<int> code = RunRelease(*arguments, console);
    if (code.ok()) return *code;
    PrintError(console.err, code.status());
    return kExitFailed;
  };
}

}  // namespace

const Verb kNodeVerb = {"node", "Give what this node has of images back to containerd",
                        DeclareNode};

}  // namespace slacker::ctl
