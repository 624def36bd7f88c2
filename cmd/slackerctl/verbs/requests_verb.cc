#include <memory>
#include <nlohmann/json.hpp>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "backend/store/requests.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

absl::StatusOr<std::vector<StoredRequest>> ReadRequests(const std::string& url) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenExistingBackend(url));
  return ListRequests(*store);
}

std::string StateOf(const StoredRequest& stored) {
  if (!stored.request.ok()) return "not a request";
  if (!stored.request.ok() && !absl::IsDataLoss(stored.request.status())) return "unreadable";
  if (!stored.failure.has_value()) return "waiting";
  return stored.failure->given_up ? "given up"
                                  : "again at " + FormatTime(stored.failure->until_unix_seconds);
}

nlohmann::json RequestJson(const StoredRequest& stored) {
  nlohmann::json json = {{"object", stored.name}, {"state", StateOf(stored)}};
  if (stored.request.ok()) {
    json["reference"] = stored.request->reference;
    json["platform"] = FormatPlatform(stored.request->platform);
    json["chain_id"] = stored.request->chain_id.ToString();
  }
  if (stored.failure.has_value()) {
    json["attempts"] = stored.failure->attempts;
    json["reason"] = stored.failure->reason;
  }
  return json;
}

int RunRequests(const CommonArguments& common, const Console& console) {
  const absl::StatusOr<std::vector<StoredRequest>> requests = ReadRequests(common.store);
  if (!requests.ok()) {
    PrintError(console.err, requests.status());
    return kExitFailed;
  }
  if (common.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const StoredRequest& stored : *requests) list.push_back(RequestJson(stored));
    PrintJson(console.out, list);
    return kExitOk;
  }
  std::vector<std::vector<Cell>> rows;
  for (const StoredRequest& stored : *requests) {
    const bool known = stored.request.ok();
    rows.push_back({TextCell(known ? stored.request->reference : stored.name),
                    TextCell(known ? FormatPlatform(stored.request->platform) : "-"),
                    known ? DigestCell(stored.request->chain_id) : TextCell("-"),
                    CountCell(stored.failure.has_value() ? stored.failure->attempts : 0),
                    TextCell(StateOf(stored)),
                    TextCell(stored.failure.has_value() ? stored.failure->reason : "-")});
  }
  PrintRows(console, {"IMAGE", "PLATFORM", "CHAIN", "TRIES", "STATE", "REASON"}, rows);
  return kExitOk;
}

Action DeclareRequests(Command* command) {
  auto common = std::make_shared<CommonArguments>();
  AddCommon(command, common.get());
  return [common](const Console& console) { return RunRequests(*common, console); };
}

}  // namespace

const Verb kRequestsVerb = {"requests", "List what nodes want to be published", DeclareRequests};

}  // namespace slacker::ctl
