#include "cmd/slackerctl/verbs/node_images.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace slacker::ctl {
namespace {

struct Totals {
  uint64_t size_bytes = 0, cached_bytes = 0;
  size_t proved = 0, refuted = 0, switched = 0;
};

Totals Sum(const NodeImage& image) {
  Totals totals;
  for (const NodeLayer& layer : image.layers) {
    totals.size_bytes += layer.size_bytes;
    // Where all of it is there, a file system that stores it smaller does not matter.
    totals.cached_bytes += layer.complete ? layer.size_bytes : layer.cached_bytes;
    totals.switched += layer.switched ? 1 : 0;
    totals.proved += layer.proof == Proof::kProved ? 1 : 0;
    totals.refuted += layer.proof == Proof::kRefuted ? 1 : 0;
  }
  return totals;
}

// Rounded down, and 100 only where every layer is complete.
std::string Percent(const NodeImage& image, const Totals& totals) {
  bool complete = true;
  for (const NodeLayer& layer : image.layers) complete = complete && layer.complete;
  if (complete) return "100%";
  const uint64_t percent = totals.cached_bytes / (totals.size_bytes / 100 + 1);
  return std::to_string(std::min<uint64_t>(percent, 99)) + "%";
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
  return {TextCell(Names(image)),
          DigestCell(image.chain_id),
          CountCell(image.layers.size()),
          SizeCell(totals.size_bytes),
          SizeCell(totals.cached_bytes),
          TextCell(proved),
          TextCell(Percent(image, totals)),
          CountCell(totals.switched),
          TextCell(image.attached ? "yes" : "no")};
}

nlohmann::json ToJson(const NodeImage& image) {
  nlohmann::json json;
  json["chain_id"] = image.chain_id.ToString();
  json["names"] = nlohmann::json::array();
  for (const std::string& name : image.names) json["names"].push_back(Printable(name));
  json["attached"] = image.attached;
  json["layers"] = nlohmann::json::array();
  for (const NodeLayer& layer : image.layers) {
    json["layers"].push_back({{"record", layer.record.ToString()},
                              {"size_bytes", layer.size_bytes},
                              {"cached_bytes", layer.cached_bytes},
                              {"proof", ProofName(layer.proof)},
                              {"complete", layer.complete},
                              {"switched", layer.switched}});
  }
  return json;
}

}  // namespace

void PrintNodeImages(const std::vector<NodeImage>& images, const Console& console) {
  std::vector<std::vector<Cell>> rows;
  for (const NodeImage& image : images) rows.push_back(Row(image));
  PrintRows(console,
            {"PULLED AS", "CHAIN", "LAYERS", "SIZE", "ON THIS NODE", "PROVED", "COMPLETE",
             "SWITCHED", "ATTACHED"},
            rows);
}

nlohmann::json NodeImagesJson(const std::vector<NodeImage>& images) {
  nlohmann::json list = nlohmann::json::array();
  for (const NodeImage& image : images) list.push_back(ToJson(image));
  return list;
}

int ListNodeImages(const std::string& root, bool json, const Console& console) {
  const auto images = ReadNodeImages(root);
  if (!images.ok()) {
    PrintError(console.err, images.status());
    return kExitFailed;
  }
  if (json) {
    PrintJson(console.out, NodeImagesJson(*images));
  } else {
    PrintNodeImages(*images, console);
  }
  return kExitOk;
}

}  // namespace slacker::ctl
