#include "cmd/slackerctl/verbs/node_images.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "snapshotter/images/node_report.h"

namespace slacker::ctl {
namespace {

struct Totals {
  uint64_t size_bytes = 0, cached_bytes = 0;
  size_t proved = 0, refuted = 0;
};

Totals Sum(const NodeImage& image) {
  Totals totals;
  for (const NodeLayer& layer : image.layers) {
    totals.size_bytes += layer.size_bytes;
    totals.cached_bytes += layer.cached_bytes;
    totals.proved += layer.proof == Proof::kProved ? 1 : 0;
    totals.refuted += layer.proof == Proof::kRefuted ? 1 : 0;
  }
  return totals;
}

const char* ProofName(Proof proof) {
  switch (proof) {
    case Proof::kProved:
      return "proved";
    case Proof::kRefuted:
      return "refuted";
    case Proof::kNotYet:
      break;
  }
  return "not yet";
}

std::string Names(const NodeImage& image) {
  std::string names;
  for (const std::string& name : image.names) names += (names.empty() ? "" : ",") + name;
  return names.empty() ? "-" : names;
}

std::vector<Cell> Row(const NodeImage& image) {
  const Totals totals = Sum(image);
  std::string proved = std::to_string(totals.proved) + "/" + std::to_string(image.layers.size());
  if (totals.refuted > 0) proved += ", " + std::to_string(totals.refuted) + " refuted";
  return {TextCell(Names(image)),         DigestCell(image.chain_id),
          CountCell(image.layers.size()), SizeCell(totals.size_bytes),
          SizeCell(totals.cached_bytes),  TextCell(proved)};
}

nlohmann::json ToJson(const NodeImage& image) {
  nlohmann::json json;
  json["chain_id"] = image.chain_id.ToString();
  json["names"] = nlohmann::json::array();
  for (const std::string& name : image.names) json["names"].push_back(Printable(name));
  json["layers"] = nlohmann::json::array();
  for (const NodeLayer& layer : image.layers) {
    json["layers"].push_back({{"record", layer.record.ToHex()},
                              {"size_bytes", layer.size_bytes},
                              {"cached_bytes", layer.cached_bytes},
                              {"proof", ProofName(layer.proof)}});
  }
  return json;
}

}  // namespace

int ListNodeImages(const std::string& root, bool json, const Console& console) {
  const auto images = ReadNodeImages(root);
  if (!images.ok()) {
    PrintError(console.err, images.status());
    return kExitFailed;
  }
  nlohmann::json list = nlohmann::json::array();
  std::vector<std::vector<Cell>> rows;
  for (const NodeImage& image : *images) {
    list.push_back(ToJson(image));
    rows.push_back(Row(image));
  }
  if (json) {
    PrintJson(console.out, list);
  } else {
    PrintRows(console, {"PULLED AS", "CHAIN", "LAYERS", "SIZE", "ON THIS NODE", "PROVED"}, rows);
  }
  return kExitOk;
}

}  // namespace slacker::ctl
