#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "cmd/slackerctl/node_client.h"
#include "cmd/slackerctl/verbs/node_images.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct StatusArguments {
  std::string address;
  bool json = false;
};

// What slackerd says, and what is in its root.
struct NodeView {
  node_v1::StatusResponse status;
  std::vector<NodeImage> images;
};

absl::StatusOr<NodeView> Look(const std::string& address) {
  NodeView view;
  ASSIGN_OR_RETURN(const std::unique_ptr<NodeClient> client, NodeClient::Open(address));
  ASSIGN_OR_RETURN(view.status, client->Status());
  ASSIGN_OR_RETURN(view.images, ReadNodeImages(view.status.root()));
  return view;
}

using Fields = std::vector<std::pair<std::string, Cell>>;

std::string PullsText(const node_v1::Breaker& breaker) {
  const std::string since = " since " + FormatTime(breaker.since_unix_seconds());
  const std::string why =
      ": " + breaker.error() + " (" + std::to_string(breaker.refused()) + " questions spared)";
  if (breaker.state() == "open") {
    return "not asked" + since + ", tried again at " +
           FormatTime(breaker.next_probe_unix_seconds()) + why;
  }
  if (breaker.state() == "half-open") return "not asked" + since + ", the next pull tries" + why;
  return "asked" + since;
}

std::string PlaceText(const node_v1::Place& place) {
  if (!place.aside()) return place.url();
  return place.url() + ", set aside since " + FormatTime(place.since_unix_seconds()) + ": " +
         place.error();
}

std::string ReadsText(const node_v1::Store& store) {
  if (!store.has_outage()) return "answered";
  const node_v1::Outage& outage = store.outage();
  return "not answered since " + FormatTime(outage.since_unix_seconds()) + ": " + outage.error() +
         " (" + std::to_string(outage.unanswered()) + " questions, " +
         std::to_string(outage.given_up()) + " chunks given up)";
}

std::string CachesText(const node_v1::Caches& caches) {
  std::string text = "within their limits";
  if (caches.over_since_unix_seconds() != 0) {
    text = "over a limit since " + FormatTime(caches.over_since_unix_seconds()) + " by " +
           HumanSize(caches.excess_bytes()) + ", nothing is added: " + caches.over_error();
  }
  if (caches.disk_bytes() > 0) {
    text += "; " + HumanSize(caches.free_bytes()) + " of the disk are free";
  }
  if (caches.failing_since_unix_seconds() != 0) {
    text += "; cannot be written since " + FormatTime(caches.failing_since_unix_seconds()) + ": " +
            caches.write_error() + " (" + std::to_string(caches.failed_writes()) + " writes)";
  }
  return text;
}

std::string FaultText(const node_v1::FaultyLayer& layer) {
  std::string text = layer.images() + ": since " + FormatTime(layer.since_unix_seconds()) + " " +
                     std::to_string(layer.chunks()) + " chunks of " + layer.record();
  // Those that the disk has damaged are fetched again: none of them is wrong any more.
  if (layer.wrong() > 0) text += ", " + std::to_string(layer.wrong()) + " of them still";
  return text + ": " + layer.error() + " (" + std::to_string(layer.times()) + " times)";
}

std::string KeptText(const node_v1::Keeper& keeper) {
  if (!keeper.alive()) return "away";
  std::string text = "holds";
  for (const std::string& name : keeper.kept()) text += " " + name;
  return text;
}

void PrintStatus(const NodeView& view, const Console& console) {
  const node_v1::StatusResponse& status = view.status;
  Fields fields = {
      {"slackerd", TextCell(status.version() + ", PID " + std::to_string(status.pid()) +
                            ", since " + FormatTime(status.started_unix_seconds()))},
      {"root", TextCell(status.root())}};
  for (const node_v1::Feature& feature : status.features()) {
    const std::string missing = feature.detail().empty() ? "no" : "no: " + feature.detail();
    fields.emplace_back("kernel " + feature.name(), TextCell(feature.found() ? "yes" : missing));
  }
  std::string fuse = status.fuse().alive() ? "connected at " : "aborted, was at ";
  fuse += status.fuse().directory() + (status.fuse().adopted() ? ", taken over" : "");
  fields.emplace_back("fuse", TextCell(fuse));
  fields.emplace_back("keeper", TextCell(KeptText(status.keeper())));
  if (!status.has_store()) fields.emplace_back("store", TextCell("none"));
  for (const node_v1::Place& place : status.store().places()) {
    fields.emplace_back("store", TextCell(PlaceText(place)));
  }
  if (status.has_store()) {
    fields.emplace_back("store for pulls", TextCell(PullsText(status.store().breaker())));
    fields.emplace_back("store for reads", TextCell(ReadsText(status.store())));
  }
  if (status.has_caches()) fields.emplace_back("caches", TextCell(CachesText(status.caches())));
  for (const node_v1::FaultyLayer& layer : status.faulty_layers()) {
    fields.emplace_back(layer.in_store() ? "wrong in the store" : "wrong on the disk",
                        TextCell(FaultText(layer)));
  }
  for (const node_v1::Counter& counter : status.counters()) {
    fields.emplace_back(counter.name(), TextCell(std::to_string(counter.value())));
  }
  PrintFields(console, fields);
  console.out << '\n';
  PrintNodeImages(view.images, console);
}

nlohmann::json StoreJson(const node_v1::Store& store) {
  nlohmann::json json = {{"places", nlohmann::json::array()}};
  for (const node_v1::Place& place : store.places()) {
    nlohmann::json one = {
        {"aside", place.aside()}, {"reads", place.reads()}, {"failures", place.failures()}};
    SetBytes(&one, "url", place.url());
    if (place.aside()) {
      one["since_unix_seconds"] = place.since_unix_seconds();
      one["spared"] = place.spared();
      SetBytes(&one, "error", place.error());
    }
    json["places"].push_back(std::move(one));
  }
  const node_v1::Breaker& breaker = store.breaker();
  json["breaker"] = {{"state", breaker.state()},
                     {"since_unix_seconds", breaker.since_unix_seconds()},
                     {"refused", breaker.refused()}};
  if (breaker.state() == "open") {
    json["breaker"]["next_probe_unix_seconds"] = breaker.next_probe_unix_seconds();
  }
  SetBytes(&json["breaker"], "error", breaker.error());
  json["outage"] = nlohmann::json();
  if (store.has_outage()) {
    json["outage"] = {{"since_unix_seconds", store.outage().since_unix_seconds()},
                      {"unanswered", store.outage().unanswered()},
                      {"given_up", store.outage().given_up()}};
    SetBytes(&json["outage"], "error", store.outage().error());
  }
  return json;
}

nlohmann::json CachesJson(const node_v1::Caches& caches) {
  nlohmann::json json = {
      {"max_bytes", caches.max_bytes()},   {"min_free_percent", caches.min_free_percent()},
      {"free_bytes", caches.free_bytes()}, {"disk_bytes", caches.disk_bytes()},
      {"over", nlohmann::json()},          {"failing", nlohmann::json()}};
  if (caches.over_since_unix_seconds() != 0) {
    json["over"] = {{"since_unix_seconds", caches.over_since_unix_seconds()},
                    {"excess_bytes", caches.excess_bytes()}};
    SetBytes(&json["over"], "error", caches.over_error());
  }
  if (caches.failing_since_unix_seconds() != 0) {
    json["failing"] = {{"since_unix_seconds", caches.failing_since_unix_seconds()},
                       {"failed_writes", caches.failed_writes()}};
    SetBytes(&json["failing"], "error", caches.write_error());
  }
  return json;
}

nlohmann::json FaultJson(const node_v1::FaultyLayer& layer) {
  nlohmann::json json = {{"record", layer.record()},
                         {"where", layer.in_store() ? "store" : "disk"},
                         {"since_unix_seconds", layer.since_unix_seconds()},
                         {"wrong", layer.wrong()},
                         {"chunks", layer.chunks()},
                         {"times", layer.times()}};
  SetBytes(&json, "images", layer.images());
  SetBytes(&json, "error", layer.error());
  return json;
}

nlohmann::json StatusJson(const NodeView& view) {
  const node_v1::StatusResponse& status = view.status;
  nlohmann::json json = {{"version", status.version()},
                         {"pid", status.pid()},
                         {"started_unix_seconds", status.started_unix_seconds()},
                         {"kernel", nlohmann::json::object()},
                         {"counters", nlohmann::json::object()}};
  SetBytes(&json, "root", status.root());
  for (const node_v1::Feature& feature : status.features()) {
    json["kernel"][feature.name()] = {{"found", feature.found()}, {"detail", feature.detail()}};
  }
  json["fuse"] = {{"alive", status.fuse().alive()}, {"adopted", status.fuse().adopted()}};
  SetBytes(&json["fuse"], "directory", status.fuse().directory());
  json["keeper"] = {{"alive", status.keeper().alive()}, {"kept", nlohmann::json::array()}};
  for (const std::string& name : status.keeper().kept()) json["keeper"]["kept"].push_back(name);
  json["caches"] = status.has_caches() ? CachesJson(status.caches()) : nlohmann::json();
  json["faulty_layers"] = nlohmann::json::array();
  for (const node_v1::FaultyLayer& layer : status.faulty_layers()) {
    json["faulty_layers"].push_back(FaultJson(layer));
  }
  json["store"] = status.has_store() ? StoreJson(status.store()) : nlohmann::json();
  for (const node_v1::Counter& counter : status.counters()) {
    json["counters"][counter.name()] = counter.value();
  }
  json["images"] = NodeImagesJson(view.images);
  return json;
}

int RunStatus(const StatusArguments& arguments, const Console& console) {
  const absl::StatusOr<NodeView> view = Look(arguments.address);
  if (!view.ok()) {
    PrintError(console.err, view.status());
    return kExitFailed;
  }
  if (arguments.json) {
    PrintJson(console.out, StatusJson(*view));
  } else {
    PrintStatus(*view, console);
  }
  return kExitOk;
}

Action DeclareStatus(Command* command) {
  auto arguments = std::make_shared<StatusArguments>();
  AddAddress(command, &arguments->address);
  command->Flag("--json", &arguments->json, "Write JSON");
  return [arguments](const Console& console) { return RunStatus(*arguments, console); };
}

}  // namespace

const Verb kStatusVerb = {"status", "Say how this node's slackerd is", DeclareStatus};

}  // namespace slacker::ctl
