#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backend/base/status.h"
#include "cmd/slackerctl/node_client.h"
#include "cmd/slackerctl/verbs/verbs.h"
#include "snapshotter/images/node_report.h"

namespace slacker::ctl {
namespace {

struct ScrubArguments {
  std::string address, image;
  bool json = false;
};

// A chain ID, or a name by which it was pulled to this node.
absl::StatusOr<std::vector<std::string>> ChainsOf(const std::string& image,
                                                  const std::string& root) {
  if (const auto chain = Digest::Parse(image); chain.ok()) {
    return std::vector<std::string>{chain->ToString()};
  }
  ASSIGN_OR_RETURN(const std::vector<NodeImage> images, ReadNodeImages(root));
  std::vector<std::string> chains;
  for (const NodeImage& one : images) {
    if (std::ranges::find(one.names, image) != one.names.end()) {
      chains.push_back(one.chain_id.ToString());
    }
  }
  if (chains.empty()) return NotFound("no image on this node was pulled as " + image);
  return chains;
}

std::vector<Cell> Row(const node_v1::ScrubbedLayer& layer) {
  const auto record = Digest::Parse(layer.record());
  return {record.ok() ? DigestCell(*record) : TextCell(layer.record()),
          CountCell(layer.chunks()),
          SizeCell(layer.bytes()),
          CountCell(layer.damaged()),
          CountCell(layer.repaired()),
          TextCell(layer.error().empty() ? "-" : layer.error())};
}

nlohmann::json ToJson(const node_v1::ScrubbedLayer& layer) {
  nlohmann::json json = {{"record", layer.record()},
                         {"chunks", layer.chunks()},
                         {"bytes", layer.bytes()},
                         {"damaged", layer.damaged()},
                         {"repaired", layer.repaired()}};
  if (!layer.error().empty()) SetBytes(&json, "error", layer.error());
  return json;
}

// Whether all is right in the end.
absl::StatusOr<bool> Scrub(const ScrubArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const std::unique_ptr<NodeClient> client, NodeClient::Open(arguments.address));
  node_v1::ScrubRequest request;
  if (!arguments.image.empty()) {
    ASSIGN_OR_RETURN(const node_v1::StatusResponse status, client->Status());
    ASSIGN_OR_RETURN(const std::vector<std::string> chains,
                     ChainsOf(arguments.image, status.root()));
    for (const std::string& chain : chains) request.add_chain_ids(chain);
  }
  bool right = true;
  std::vector<std::vector<Cell>> rows;
  nlohmann::json list = nlohmann::json::array();
  const absl::Status scrubbed = client->Scrub(request, [&](const node_v1::ScrubbedLayer& layer) {
    right = right && layer.error().empty() && layer.damaged() == layer.repaired();
    rows.push_back(Row(layer));
    list.push_back(ToJson(layer));
  });
  RETURN_IF_ERROR(scrubbed);
  if (arguments.json) {
    PrintJson(console.out, list);
  } else {
    PrintRows(console, {"LAYER", "CHUNKS", "SIZE", "DAMAGED", "REPAIRED", "ERROR"}, rows);
  }
  return right;
}

int RunScrub(const ScrubArguments& arguments, const Console& console) {
  const absl::StatusOr<bool> right = Scrub(arguments, console);
  if (!right.ok()) PrintError(console.err, right.status());
  return right.ok() && *right ? kExitOk : kExitFailed;
}

Action DeclareScrub(Command* command) {
  auto arguments = std::make_shared<ScrubArguments>();
  command->Add("IMAGE", &arguments->image,
               "The name by which it was pulled, or its chain ID (default: all)");
  AddAddress(command, &arguments->address);
  command->Flag("--json", &arguments->json, "Write JSON");
  return [arguments](const Console& console) { return RunScrub(*arguments, console); };
}

}  // namespace

const Verb kScrubVerb = {"scrub", "Read this node's caches back, and repair them", DeclareScrub};

}  // namespace slacker::ctl
